"""Which way of refining a search by ✓ and ✗ ranks best: precision after three of each, on pictures of known classes.

    scripts/bench steer --images FOLDER [--model FOLDER] [--vectors FILE.npz] [--queries N] [--json] [--quick]

A picture is searched for; of the two hundred nearest the first three of its class get a ✓ and the first three others
a ✗, as a person would; each method ranks all the rest from these seven. Precision is the share of the query's class
among the first 10 and 50, and the six looked at are never listed, so no method wins by repeating what it was told.
`--vectors` holds `vectors` (N, D) and `classes` (N,) when they are at hand.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from indexer.search import SAMPLE
from indexer.steer import direction
from scripts.benchmarks.table import Row, quick, report, row

TICKS, LOOKED_AT = 3, 200
RIDGE = 0.3  # of the mean variance: how much directions are told to be alike
WEIGHT = 0.3  # of the ticked ones together, and of the crossed ones, beside the sample's 1
Method = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # sample, ticked, crossed → direction


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench steer")
    parser.add_argument("--images", type=Path, help="a folder of class folders")
    parser.add_argument("--vectors", type=Path, help="vectors and classes of such a folder")
    parser.add_argument("--model", type=Path, help="the encoder's folder; default: the one that ships, or random")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="20 queries")
    options = parser.parse_args()
    if options.vectors is not None:
        with np.load(options.vectors) as held:
            vectors, classes = held["vectors"], held["classes"]
    elif options.images is not None:
        from scripts.benchmarks.labelled import encoder_of, read, start_of

        pictures = read(options.images, 30 if options.quick else None)
        with tempfile.TemporaryDirectory() as scratch:
            vectors = pictures.vectors(encoder_of(start_of(options.model), Path(scratch), "cpu"))
        classes = np.array(pictures.classes)
    else:
        parser.error("name a folder of pictures: --images FOLDER")
    rows = compare(vectors, classes, 20 if options.quick else options.queries)
    said = f"the query alone, without refining; {TICKS} ticks and {TICKS} crosses"
    report("steer", said, quick(rows) if options.quick else rows, options.json)


def compare(vectors: np.ndarray, classes: np.ndarray, queries: int) -> list[Row]:
    """Precision of every method, with the query alone as baseline."""
    rng = np.random.default_rng(0)
    sample = vectors[rng.choice(len(vectors), min(SAMPLE, len(vectors)), replace=False)]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    for query in rng.choice(len(vectors), min(queries, len(vectors)), replace=False):
        order = np.argsort(-(vectors @ vectors[query]))
        order = order[order != query][:LOOKED_AT]
        same = classes[order] == classes[query]
        ticked, crossed = order[same][:TICKS], order[~same][:TICKS]
        for name, method in METHODS.items():
            scores = vectors @ method(sample, vectors[[query, *ticked]], vectors[crossed])
            scores[[query, *ticked, *crossed]] = -np.inf
            right = classes[np.argsort(-scores)[:50]] == classes[query]
            found[name].append((right[:10].mean(), right.mean()))
    means = {name: np.mean(each, axis=0) for name, each in found.items()}
    alone = means["the query alone"]
    return [
        row(f"precision@{k}, {name}", float(mean[at]), "", float(alone[at]))
        for at, k in ((0, 10), (1, 50))
        for name, mean in means.items()
    ]


def ridge(sample: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """An exemplar classifier (Hariharan et al., ECCV 2012): 1 for the ticked ones, 0 for crosses and sample."""
    mean = sample.mean(axis=0)
    rows = np.concatenate([sample, positive, negative]) - mean
    parts = ((sample, 1.0, 0.0), (positive, WEIGHT, 1.0), (negative, WEIGHT, 0.0))
    weights = np.concatenate([np.full(len(x), weight / max(len(x), 1)) for x, weight, _ in parts])
    wanted = np.concatenate([np.full(len(x), answer) for x, _, answer in parts])
    alike = RIDGE * (sample - mean).var(axis=0).mean() * np.eye(rows.shape[1])
    return np.linalg.solve(rows.T @ (weights[:, None] * rows) + alike, rows.T @ (weights * wanted))


def both(sample: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """The ridge and the mean difference, each brought to the same spread over the sample."""
    parts = np.stack([ridge(sample, positive, negative), direction(positive, negative)])
    return (parts / (parts @ sample.T).std(axis=1, keepdims=True)).sum(axis=0)


def logistic(sample: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Logistic regression against crosses and a random sample, each side of the same weight."""
    from sklearn.linear_model import LogisticRegression

    others = np.concatenate([negative, sample])
    examples = np.concatenate([positive, others]) - sample.mean(axis=0)
    examples /= np.sqrt(sample.var(axis=0).sum())
    weights = np.concatenate([np.full(len(x), 50 / max(len(x), 1)) for x in (positive, negative, sample)])
    wanted = np.arange(len(examples)) < len(positive)
    return LogisticRegression(C=0.1, max_iter=100).fit(examples, wanted, weights).coef_[0]


METHODS: dict[str, Method] = {
    "the query alone": lambda sample, positive, negative: positive[0],
    "mean of the ticked ones": lambda sample, positive, negative: positive.mean(axis=0),
    "mean difference (ours)": lambda sample, positive, negative: direction(positive, negative),
    "exemplar ridge against a sample": ridge,
    "ridge and mean difference": both,
    "logistic regression against a sample": logistic,
}

if __name__ == "__main__":
    main()
