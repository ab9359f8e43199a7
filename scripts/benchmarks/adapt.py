"""Does training on the collection pay? Five labels per class, by the encoder that ships and by what it becomes there.

    scripts/bench adapt --images FOLDER --out FOLDER [--preset texture] [--epochs N] [--minutes M] [--quick]

From the encoder that ships (--model: from another) it trains on a folder of class folders, without the classes, and
fits a probe from five labels per class, 20 draws. Both models are given the same draws, so the interval is that of the
difference.

- transductive: it trains on the very pictures that are then searched and labelled. This is how Likeness is used: the
  collection is there before the labels are.
- held out: it trains on one half of every class, and both models are judged on the other half alone. This says what the
  new encoder brings for pictures that come later.

With --minutes, or after SIGTERM, it stops with its state saved; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np

from model.errors import LikenessError
from model.evaluate import few_shot_right, precision_at
from model.files import write_atomically
from model.learner import pick_device
from model.network import Start
from model.paired import paired
from model.pixels import encoding_side, learning_side, load_pixels
from model.settings import TrainSettings, sensible
from model.train import pretrain
from model.train_command import Stop
from scripts.benchmarks.calls import Calls, Teller, say
from scripts.benchmarks.labelled import Labelled, encoder_of, read, start_of
from scripts.benchmarks.table import Row, aim, document, quick, report, row

SHOTS, DRAWS, NEAR, SEED = 5, 20, 10, 0
TARGET_POINTS, TARGET_MINUTES = 10, 10
CHOSEN = {"epochs": int, "batch_size": int, "image_size": int, "learning_rate": float, "temperature": float}
QUICK_EACH, QUICK_DRAWS = 16, 3  # pictures of a class


def main(arguments: Sequence[str] | None = None) -> int:
    """0; or 1 after one sentence, also when there is more to train and the command is to be run again."""
    options = _parser().parse_args(arguments)
    stop = Stop(options.minutes)
    try:
        rows, notes = run(options, stop)
    except LikenessError as error:
        print(error, file=sys.stderr)
        return 1
    report("adapt", "the encoder it was trained from", rows, options.json, notes)
    return 0


def run(options: argparse.Namespace, stop: Callable[[], bool]) -> tuple[list[Row], list[str]]:
    """Train, or go on training, both variants, then judge. Raises Cancelled when it was stopped before the end."""
    whole = read(options.images, QUICK_EACH if options.quick else None)
    start, device = start_of(options.model), pick_device(options.device).type
    learnt, judged = halves(whole)
    rows: list[Row] = []
    notes = [f"from {start.started_from}; {len(whole.classes):,} pictures, {len(set(whole.classes))} classes"]
    for variant, pictures, asked in (("transductive", whole, whole), ("held out", learnt, judged)):
        if variant not in options.variant:
            continue
        settings = settings_for(options, len(pictures.previews), device)
        folder = options.out / run_name(options, settings, variant, start)
        side = median_low([min(each.size) for each in pictures.pictures(0, 64)])
        with Calls(folder) as calls:
            pixels = load_pixels(pictures.previews, learning_side(settings.image_size, side), start.preparation.fit)
            trained = pretrain(pixels, start, settings, folder / "run", Teller(), stop)
        say(f"{variant}: judging")
        adapted = Start(trained.backbone, start.preparation, start.started_from)
        encode_at = encoding_side(settings.image_size, side)
        with tempfile.TemporaryDirectory() as scratch:
            before = asked.vectors(encoder_of(start, Path(scratch), device))
            after = asked.vectors(encoder_of(adapted, Path(scratch), device, image_size=encode_at, crop=1.0))
        found = compared(variant, before, after, asked.classes, QUICK_DRAWS if options.quick else DRAWS)
        found.append(aim(row(f"{variant}: minutes of training", calls.minutes(), "min"), at_most=TARGET_MINUTES))
        found = quick(found) if options.quick else found
        notes.append(f"{variant}: {len(pictures.previews):,} trained on, {len(asked.previews):,} judged; {settings}")
        whole_report = document("adapt", found, notes[:1] + notes[-1:])
        write_atomically(folder / "report.json", json.dumps(whole_report, indent=2).encode())
        rows += found
    return rows, notes


def halves(whole: Labelled) -> tuple[Labelled, Labelled]:
    """Two halves with as many of every class in each."""
    names, rng = np.array(whole.classes), np.random.default_rng(SEED)
    shuffled = [rng.permutation(np.flatnonzero(names == name)) for name in sorted(set(whole.classes))]
    one, other = ([rows[part::2] for rows in shuffled] for part in (0, 1))
    return whole.only(np.sort(np.concatenate(one))), whole.only(np.sort(np.concatenate(other)))


def settings_for(options: argparse.Namespace, pictures: int, device: str) -> TrainSettings:
    chosen: dict[str, Any] = {name: getattr(options, name) for name in CHOSEN}
    if options.quick:
        chosen |= {"epochs": 1, "batch_size": 16, "image_size": 32}
    settings, _ = sensible(pictures, device, preset=options.preset, seed=SEED, checkpoint_minutes=2, **chosen)
    return settings


def run_name(options: argparse.Namespace, settings: TrainSettings, variant: str, start: Start) -> str:
    """A folder for every set of settings, so that what was tried stays beside what is tried next."""
    said = f"{settings.preset}-{settings.epochs}x{settings.batch_size}-{settings.image_size}px-"
    said += f"{settings.learning_rate:g}-{settings.temperature:g}"
    return f"{'quick-' if options.quick else ''}{variant.replace(' ', '-')}-{start.started_from[:6]}-{said}"


def compared(variant: str, before: np.ndarray, after: np.ndarray, classes: list[str], draws: int) -> list[Row]:
    """Accuracy of both in per cent, and the points between them, paired, with their 95 % interval."""
    shots = paired("", *(few_shot_right(each, classes, SHOTS, draws, SEED) for each in (before, after)))
    low, high = (100 * end for end in shots["interval"])
    near = [100 * precision_at(min(NEAR, len(each) - 1), each, classes) for each in (before, after)]
    points = row(
        f"{variant}: {SHOTS}-shot, points gained ({low:+.1f} to {high:+.1f})", 100 * shots["difference"], "points"
    )
    return [
        row(f"{variant}: {SHOTS}-shot, adapted", 100 * shots["after"], "%", 100 * shots["before"]),
        aim(points, at_least=TARGET_POINTS),
        row(f"{variant}: precision@{NEAR}, adapted", near[1], "%", near[0]),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench adapt")
    parser.add_argument("--images", type=Path, required=True, help="folder of class folders")
    parser.add_argument("--out", type=Path, required=True, help="folder for the state and the report of every run")
    parser.add_argument("--model", type=Path, help="folder of the model to start from, instead of the one that ships")
    parser.add_argument("--preset", default="texture", help="what counts as the same (default: %(default)s)")
    for name, kind in CHOSEN.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help="chosen for the collection when not given")
    parser.add_argument("--variant", nargs="+", default=("transductive", "held out"), help="only these")
    parser.add_argument("--minutes", type=float, help="stop after so many, state saved; run again to go on")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="show that it runs: a few pictures, one epoch")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
