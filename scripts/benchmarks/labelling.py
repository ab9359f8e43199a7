"""What to label next: accuracy after 10, 20, 50 and 100 labels that Likeness asks for, beside as many drawn at random.

    scripts/bench labelling --images FOLDER [--images FOLDER]... [--model FOLDER] [--json] [--quick]

It asks as the Label page does, `app.labelling.suggest` over a real catalog and index; the answers are the folders'
names, ten at a time. Then a probe is fitted and asked about every picture without a label. 20 seeds, each another order
of the pictures in the catalog and so other pictures to choose from where there are more than the queue looks at; the
interval is of the mean difference, paired by seed. A class never drawn is answered wrongly. Beside it stands the queue
without its mixture: what the probe is unsure of and what stands for many others, alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from app.engine import Engine
from app.labelling import AT_FIRST, POOL, suggest
from app.settings import Settings
from app.workspace import Workspace
from indexer.catalog import collection_named
from indexer.home import Home
from indexer.labels import label_each
from model.choosing import covering, typical_in_turn, unsureness
from model.errors import LikenessError
from model.probe import Probe, fit_probe
from scripts.benchmarks.calls import say
from scripts.benchmarks.clicks import fill
from scripts.benchmarks.labelled import encoded, read, start_of
from scripts.benchmarks.table import Row, aim, quick, report, row

Ask = Callable[[np.ndarray, Probe | None], np.ndarray]  # rows labelled so far, a probe of them → rows to label next
BUDGETS, BATCH, SEEDS = (10, 20, 50, 100), 10, 20
AHEAD = 24  # that the page asks for at a time (ui/grid/queue.js)
TARGETS = {("imagenette-val", 10): 10}  # points above random at one label a class
QUICK_EACH, QUICK_SEEDS, QUICK_BUDGETS = 24, 2, (10, 20)


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 after one sentence."""
    options = _parser().parse_args(arguments)
    try:
        rows, notes = run(options)
    except LikenessError as error:
        print(error, file=sys.stderr)
        return 1
    report("labelling", "as many labels of pictures drawn at random", rows, options.json, notes)
    return 0


def run(options: argparse.Namespace) -> tuple[list[Row], list[str]]:
    start, rows, notes = start_of(options.model), [], []
    for folder in options.images:
        pictures = read(folder, QUICK_EACH if options.quick else None)
        vectors, note = encoded(pictures, start, options.device)
        notes.append(note)
        seeds = QUICK_SEEDS if options.quick else options.seeds
        rows += compared(pictures.name, vectors, np.array(pictures.classes), seeds, options.quick)
    return (quick(rows) if options.quick else rows), notes


def compared(name: str, vectors: np.ndarray, classes: np.ndarray, seeds: int, short: bool) -> list[Row]:
    budgets = QUICK_BUDGETS if short else BUDGETS
    right = {way: np.zeros((seeds, len(budgets))) for way in WAYS}
    for seed in range(seeds):
        say(f"{name}: seed {seed}")
        order = np.random.default_rng(seed).permutation(len(classes))
        for way, opened in WAYS.items():
            with opened(vectors[order], classes[order]) as ask:
                right[way][seed] = accuracies(vectors[order], classes[order], budgets, ask)
    rows = []
    for at, budget in enumerate(budgets):
        queue, alone, random = (each[:, at] for each in right.values())
        difference = queue - random
        half = 1.96 * float(difference.std(ddof=1)) / seeds**0.5
        low, high = difference.mean() - half, difference.mean() + half
        points = row(f"{name}, {budget} labels: points above random ({low:+.1f} to {high:+.1f})",
                     float(difference.mean()), "points")  # fmt: skip
        target = TARGETS.get((name, budget), 0)
        rows += [
            row(f"{name}, {budget} labels: right", float(queue.mean()), "%", float(random.mean())),
            aim(points, at_least=target),
            row(f"{name}, {budget} labels: right, without the mixture", float(alone.mean()), "%", float(random.mean())),
        ]
    return rows


def accuracies(vectors: np.ndarray, classes: np.ndarray, budgets: Sequence[int], ask: Ask) -> list[float]:
    """Per cent right on the pictures without a label, after each of `budgets`."""
    labelled, probe = np.zeros(0, np.int64), None
    found = []
    for budget in budgets:
        while len(labelled) < budget:
            labelled = np.concatenate([labelled, ask(labelled, probe)[: min(BATCH, budget - len(labelled))]])
            names = classes[labelled]
            probe = fit_probe(vectors[labelled], names.tolist()) if len(set(names)) > 1 else None
        hidden = np.setdiff1d(np.arange(len(classes)), labelled)
        if probe is None:
            found.append(100 * float((classes[hidden] == classes[labelled[0]]).mean()))
        else:
            said = np.array(probe.classes)[probe.probabilities(vectors[hidden]).argmax(axis=1)]
            found.append(100 * float((said == classes[hidden]).mean()))
    return found


@contextmanager
def the_queue(vectors: np.ndarray, classes: np.ndarray) -> Iterator[Ask]:
    """What the Label page asks for: image number n + 1 of a catalog is row n."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Home(Path(folder)), vectors, classes, labels=0)
        workspace = Workspace.open(Settings(home=Path(folder), threads=1))
        engine = Engine(workspace)
        told: set[int] = set()

        def ask(labelled: np.ndarray, probe: Probe | None) -> np.ndarray:
            collection = collection_named(workspace.engine, "photos")
            fresh = sorted(set(labelled.tolist()) - told)
            label_each(workspace.engine, collection, {row + 1: str(classes[row]) for row in fresh}, "hand")
            told.update(fresh)
            return np.array([each.image_id - 1 for each in suggest(engine, collection, AHEAD).items], np.int64)

        yield ask
        workspace.engine.dispose()


@contextmanager
def alone(vectors: np.ndarray, classes: np.ndarray) -> Iterator[Ask]:
    """Typical pictures, then what the probe is unsure of and covers most, of one pool."""
    pool = np.arange(min(POOL, len(vectors)))

    def ask(labelled: np.ndarray, probe: Probe | None) -> np.ndarray:
        waiting = np.setdiff1d(pool, labelled)
        if probe is None or len(labelled) < AT_FIRST:
            return waiting[list(islice(typical_in_turn(vectors[waiting], vectors[labelled]), AHEAD))]
        weights = unsureness(probe.probabilities(vectors[waiting]))
        return waiting[covering(vectors[waiting], vectors[labelled], weights, AHEAD)]

    yield ask


@contextmanager
def at_random(vectors: np.ndarray, classes: np.ndarray) -> Iterator[Ask]:
    yield lambda labelled, probe: np.arange(len(labelled), len(classes))


WAYS: dict[str, Callable[[np.ndarray, np.ndarray], AbstractContextManager[Ask]]] = {
    "queue": the_queue, "alone": alone, "random": at_random,
}  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench labelling")
    parser.add_argument("--images", type=Path, action="append", required=True, help="class folders; may be repeated")
    parser.add_argument("--model", type=Path, help="a model's folder; default: the encoder that ships")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
