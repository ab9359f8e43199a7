"""The probe: how right it is from few labels, and how long a click takes, each beside scikit-learn on the same vectors.

    scripts/bench probe --images FOLDER [--images FOLDER]... [--model FOLDER] [--only accuracy|choosing|clicks]
                        [--shots N]... [--size N]... [--json] [--quick]

- accuracy: 1, 5 and 20 labels a class, right on all the rest, mean of 20 draws with its 95 % interval, and the interval
  of the difference (paired: both have the same labels). Beside it scikit-learn's LogisticRegressionCV as it comes
  (ten strengths, up to five folds, more iterations so that it converges); with one label a class, of which none can be
  set aside, its LogisticRegression.
- calibration: the expected calibration error (Guo et al., arXiv:1706.04599): how many points the probability of the
  class named is off from how often it is right, in ten bins of probability weighted by how many pictures lie there.
- choosing: seconds until strength and temperature are chosen for 60, 300 and 1,000 labels drawn at random, beside
  scikit-learn's LogisticRegressionCV, which chooses among ten strengths and no temperature; and until the probe is also
  judged (nested cross-validation, with copies kept together and without, and a learning curve).
- a click: POST a label, then GET the first page of predictions, over HTTP from a server in a process of its own, with
  100,000 vectors like those of the first folder (each lies between a picture's and one of its ten nearest of its
  class, with noise); median of 20 clicks after 100 labels. Beside it a refit and a predict of scikit-learn in memory,
  without server, catalog or page. --size 1000000 for a million.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from app.crossvalidation import cross_validate
from model.errors import LikenessError
from model.probe import fit_probe
from model.softmax import one_thread_each
from scripts.benchmarks.calls import say
from scripts.benchmarks.clicks import Clicks, clicks, enlarged
from scripts.benchmarks.labelled import encoded, read, start_of
from scripts.benchmarks.table import Row, aim, quick, report, row

SHOTS, DRAWS, SEED = (1, 5, 20), 20, 0
LABELS = (60, 300, 1000)  # to choose by
BINS = 10  # of probability, for the calibration error
SIZES, CLICKS, TARGET_MS = (100_000,), 20, {100_000: 150, 1_000_000: 1500}
QUICK_EACH, QUICK_DRAWS, QUICK_SIZES, QUICK_CLICKS = 24, 3, (2_000,), 3


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 after one sentence."""
    options = _parser().parse_args(arguments)
    try:
        rows, notes = run(options)
    except LikenessError as error:
        print(error, file=sys.stderr)
        return 1
    report("probe", "scikit-learn on the same vectors and labels", rows, options.json, notes)
    return 0


def run(options: argparse.Namespace) -> tuple[list[Row], list[str]]:
    warnings.filterwarnings("ignore", module="sklearn")
    rows: list[Row] = []
    notes = []
    start = start_of(options.model)
    first: tuple[np.ndarray, np.ndarray] | None = None
    for folder in options.images:
        pictures = read(folder, QUICK_EACH if options.quick else None)
        vectors, note = encoded(pictures, start, options.device)
        notes.append(note)
        first = first or (vectors, np.array(pictures.classes))
        if options.only == "clicks":
            break
        if options.only in (None, "choosing"):
            rows += choosing(pictures.name, vectors, np.array(pictures.classes), options.quick)
        if options.only == "choosing":
            continue
        smallest = min(np.unique(pictures.classes, return_counts=True)[1])
        for shots in (each for each in options.shots or SHOTS if each < smallest):
            say(f"{pictures.name}: {shots} labels a class")
            draws = QUICK_DRAWS if options.quick else DRAWS
            rows += compared(pictures.name, vectors, np.array(pictures.classes), shots, draws)
    for size in options.size or (QUICK_SIZES if options.quick else SIZES):
        if first is None or options.only in ("accuracy", "choosing"):
            break
        say(f"clicks among {size:,}")
        rows += clicked(*enlarged(*first, size), QUICK_CLICKS if options.quick else CLICKS)
    return (quick(rows) if options.quick else rows), notes


def compared(name: str, vectors: np.ndarray, classes: np.ndarray, shots: int, draws: int) -> list[Row]:
    """Accuracy in per cent beside scikit-learn's; the difference; calibration beside scikit-learn's."""
    ours, theirs, our_miss, their_miss = [], [], [], []
    for draw in range(draws):
        rng = np.random.default_rng([SEED, draw])
        known = np.concatenate(
            [rng.choice(np.flatnonzero(classes == each), shots, replace=False) for each in np.unique(classes)]
        )
        hidden = np.setdiff1d(np.arange(len(classes)), known)
        probe = fit_probe(vectors[known], classes[known].tolist())
        reference = their_fit(vectors[known], classes[known], shots)
        for names, p, right, miss in (
            (np.array(probe.classes), probe.probabilities(vectors[hidden]), ours, our_miss),
            (reference.classes_, reference.predict_proba(vectors[hidden]), theirs, their_miss),
        ):
            correct = names[p.argmax(axis=1)] == classes[hidden]
            right.append(100 * float(correct.mean()))
            miss.append(100 * calibration_error(p.max(axis=1), correct))
    difference = np.array(ours) - theirs
    half = 1.96 * float(np.std(ours, ddof=1)) / draws**0.5
    gained = 1.96 * float(difference.std(ddof=1)) / draws**0.5
    of = f"{name}, {shots} a class"
    low, high = difference.mean() - gained, difference.mean() + gained
    points = row(f"{of}: points above it ({low:+.1f} to {high:+.1f})", float(difference.mean()), "points")
    return [
        row(f"{of}: right (± {half:.1f})", float(np.mean(ours)), "%", float(np.mean(theirs))),
        aim(points, at_least=0),
        row(f"{of}: calibration error (± {1.96 * float(np.std(our_miss, ddof=1)) / draws**0.5:.1f})",
            float(np.mean(our_miss)), "points", float(np.mean(their_miss))),
    ]  # fmt: skip


def choosing(name: str, vectors: np.ndarray, classes: np.ndarray, short: bool) -> list[Row]:
    """Seconds to choose strength and temperature beside scikit-learn's, and to judge the probe too."""
    rows = []
    for count in LABELS[:1] if short else (each for each in LABELS if each < len(classes)):
        say(f"{name}: choosing for {count:,} labels")
        known = np.random.default_rng(SEED).permutation(len(classes))[:count]
        x, labels = vectors[known], classes[known]
        if not short:
            fit_probe(x, labels.tolist())  # what comes with it is loaded
        with one_thread_each():  # as cross-validation runs beside the API
            times = [
                _seconds(lambda x=x, labels=labels: fit_probe(x, labels.tolist())),
                _seconds(lambda x=x, labels=labels: their_fit(x, labels, 5)),
                _seconds(lambda x=x, labels=labels: cross_validate(x, labels.tolist(), np.arange(len(x)))),
            ]
        rows.append(row(f"{name}, {count:,} labels: chosen", times[0], "s", times[1]))
        rows.append(row(f"{name}, {count:,} labels: chosen and judged", times[2], "s"))
    return rows


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def calibration_error(said: np.ndarray, right: np.ndarray) -> float:
    """How far probabilities `said` (n,) are from how often they are `right` (n,), bin by bin."""
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    off = np.bincount(bins, weights=said - right, minlength=BINS)
    return float(np.abs(off).sum() / len(said))


def their_fit(vectors: np.ndarray, classes: np.ndarray, shots: int) -> object:
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

    if shots == 1:
        return LogisticRegression(max_iter=1000).fit(vectors, classes)
    chosen = {"l1_ratios": (0,), "use_legacy_attributes": False, "scoring": "accuracy"}  # what will be its defaults
    return LogisticRegressionCV(cv=min(5, shots), max_iter=1000, **chosen).fit(vectors, classes)


def clicked(vectors: np.ndarray, truth: np.ndarray, count: int) -> list[Row]:
    """A click over HTTP beside scikit-learn in memory, milliseconds."""
    return timed(clicks(vectors, truth, count), vectors, count)


def timed(found: Clicks, vectors: np.ndarray, count: int) -> list[Row]:
    size = len(vectors)
    from sklearn.linear_model import LogisticRegression

    times = []
    for _ in range(3):
        began = time.perf_counter()
        LogisticRegression(max_iter=1000).fit(found.labelled, found.names).predict(vectors)
        times.append(1000 * (time.perf_counter() - began))
    whole = row(f"{size:,}: from click to predictions, over HTTP", found.click_ms, "ms", float(np.median(times)))
    return [
        aim(whole, at_most=TARGET_MS.get(size)),
        row(f"{size:,}: of which the answer that the label is kept", found.label_ms, "ms"),
        row(f"{size:,}: the slowest of {count} clicks", found.slowest_ms, "ms"),
        row(f"{size:,}: cross-validation is done after", found.settled_ms, "ms"),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench probe")
    parser.add_argument("--images", type=Path, action="append", required=True, help="class folders; may be repeated")
    parser.add_argument("--model", type=Path, help="a model's folder; default: the encoder that ships")
    parser.add_argument("--only", choices=("accuracy", "choosing", "clicks"), help="a part of it")
    parser.add_argument("--shots", type=int, action="append", help="labels a class; default: 1, 5 and 20")
    parser.add_argument("--size", type=int, action="append", help="pictures to click among; default: 100000")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
