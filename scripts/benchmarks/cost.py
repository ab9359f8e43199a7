"""What a training is said to cost beside what it costs: estimate, then the very training, through the API.

    scripts/bench cost --images FOLDER [--epochs N] [--json] [--quick]

The folder is imported into a home of its own, served by `likeness serve`, and trained on with the settings that
Likeness chooses, but for the epochs. The baseline of each row is what the training then took, by the times of its job
and by the views a second that it wrote down itself.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median

from scripts.benchmarks.calls import say
from scripts.benchmarks.served import serving
from scripts.benchmarks.table import Row, aim, quick, report, row
from ui.answers import Job
from ui.client import Likeness

EPOCHS, QUICK_EPOCHS = 8, 1
OFF = 0.3  # how far the estimate may lie from what came, as a share of it
PATIENCE = 3600  # seconds
NAME = "bench"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench cost")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one epoch")
    options = parser.parse_args(arguments)
    epochs = options.epochs or (QUICK_EPOCHS if options.quick else EPOCHS)
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as address, Likeness(address) as likeness:
        rows = compared(likeness, options.images, epochs)
    report("cost", "the training itself", quick(rows) if options.quick else rows, options.json)
    return 0


def compared(likeness: Likeness, folder: Path, epochs: int) -> list[Row]:
    likeness.create_collection(NAME)
    likeness.wait(likeness.import_path(NAME, folder.absolute()), timeout=PATIENCE)
    likeness.wait(likeness.index(NAME), timeout=PATIENCE)
    said = likeness.wait(likeness.estimate(NAME, epochs=epochs), timeout=PATIENCE)["result"]
    say(said["sentence"])
    training = likeness.wait(likeness.train(NAME, epochs=epochs), timeout=PATIENCE)
    took = seconds(training)
    say(f"It took {took:.0f} s. {training['result']['sentence']}")
    rates = [line["views_per_s"] for line in likeness.metrics(training["id"])]
    return [
        row("pictures", said["pictures"], "pictures"),
        row("epochs", epochs, "epochs"),
        off(row("the whole training", said["seconds"], "s", took)),
        row("views a second while it learns", said["views_per_second"], "1/s", median(rates)),
    ]


def off(each: Row) -> Row:
    """With the target: at most so far from the truth, either way."""
    return aim(each, at_least=round(each.baseline * (1 - OFF), 1), at_most=round(each.baseline * (1 + OFF), 1))


def seconds(job: Job) -> float:
    """From its start to its end."""
    began, ended = (datetime.fromisoformat(str(job[name])) for name in ("started_at", "finished_at"))
    return (ended - began).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
