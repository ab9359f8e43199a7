"""What to label next: accuracy after 10, 20, 50 and 100 labels that Likeness asks for, beside as many drawn at random.

    scripts/bench labelling --images FOLDER [--images FOLDER]... [--model FOLDER] [--json] [--quick]

Ten labels at a time, as a person would give them; the answers are the folders' names. Then a probe is fitted and asked
about every picture without a label. 20 seeds, each with other pictures to choose from where there are more than the
queue looks at; the interval is of the mean difference, paired by seed. A class never drawn is answered wrongly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.labelling import AT_FIRST, POOL
from model.choosing import covering, typical, unsureness
from model.errors import LikenessError
from model.probe import Probe, fit_probe
from scripts.benchmarks.calls import say
from scripts.benchmarks.labelled import encoded, read, start_of
from scripts.benchmarks.table import Row, aim, quick, report, row

BUDGETS, BATCH, SEEDS = (10, 20, 50, 100), 10, 20
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
    ours, theirs = np.zeros((seeds, len(budgets))), np.zeros((seeds, len(budgets)))
    for seed in range(seeds):
        say(f"{name}: seed {seed}")
        ours[seed] = accuracies(vectors, classes, budgets, seed, ask=True)
        theirs[seed] = accuracies(vectors, classes, budgets, seed, ask=False)
    rows = []
    for at, budget in enumerate(budgets):
        difference = ours[:, at] - theirs[:, at]
        half = 1.96 * float(difference.std(ddof=1)) / seeds**0.5
        low, high = difference.mean() - half, difference.mean() + half
        points = row(f"{name}, {budget} labels: points above random ({low:+.1f} to {high:+.1f})",
                     float(difference.mean()), "points")  # fmt: skip
        target = TARGETS.get((name, budget), 0)
        rows += [
            row(f"{name}, {budget} labels: right", float(ours[:, at].mean()), "%", float(theirs[:, at].mean())),
            aim(points, at_least=target),
        ]
    return rows


def accuracies(vectors: np.ndarray, classes: np.ndarray, budgets: Sequence[int], seed: int, ask: bool) -> list[float]:
    """Per cent right on the pictures without a label, after each of `budgets`."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(classes))
    pool, labelled, probe = order[:POOL], np.zeros(0, np.int64), None
    found = []
    for budget in budgets:
        while len(labelled) < budget:
            count = min(BATCH, budget - len(labelled))
            open_ = pool[~np.isin(pool, labelled)] if ask else order[len(labelled) :]
            new = asked(vectors, open_, labelled, probe, count) if ask else open_[:count]
            labelled = np.concatenate([labelled, new])
            names = classes[labelled]
            probe = fit_probe(vectors[labelled], names.tolist()) if len(set(names)) > 1 else None
        hidden = np.setdiff1d(np.arange(len(classes)), labelled)
        if probe is None:
            found.append(100 * float((classes[hidden] == classes[labelled[0]]).mean()))
        else:
            said = np.array(probe.classes)[probe.probabilities(vectors[hidden]).argmax(axis=1)]
            found.append(100 * float((said == classes[hidden]).mean()))
    return found


def asked(
    vectors: np.ndarray, waiting: np.ndarray, labelled: np.ndarray, probe: Probe | None, count: int
) -> np.ndarray:
    """What the queue would ask for, of pictures `waiting` for a label."""
    if probe is None or len(labelled) < AT_FIRST:
        return waiting[typical(vectors[waiting], vectors[labelled], count)]
    weights = unsureness(probe.probabilities(vectors[waiting]))
    return waiting[covering(vectors[waiting], vectors[labelled], weights, count)]


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
