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

from indexer import steer
from indexer.steer import Background, background, classifier, direction, rocchio
from scripts.benchmarks.table import Row, quick, report, row

TICKS, LOOKED_AT = 3, 200
Method = Callable[[Background, np.ndarray, np.ndarray], np.ndarray]


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
    known = background(vectors[rng.choice(len(vectors), min(steer.SAMPLE, len(vectors)), replace=False)])
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    for query in rng.choice(len(vectors), min(queries, len(vectors)), replace=False):
        order = np.argsort(-(vectors @ vectors[query]))
        order = order[order != query][:LOOKED_AT]
        same = classes[order] == classes[query]
        ticked, crossed = order[same][:TICKS], order[~same][:TICKS]
        for name, method in METHODS.items():
            scores = vectors @ method(known, vectors[[query, *ticked]], vectors[crossed])
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


def logistic(known: Background, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Logistic regression against crosses and a random sample, each side of the same weight."""
    from sklearn.linear_model import LogisticRegression

    others = np.concatenate([negative, known.vectors])
    examples = np.concatenate([positive, others]) - known.mean
    examples /= np.sqrt((known.vectors - known.mean).var(axis=0).sum())
    weights = np.concatenate([np.full(len(x), 50 / max(len(x), 1)) for x in (positive, negative, known.vectors)])
    wanted = np.arange(len(examples)) < len(positive)
    return LogisticRegression(C=0.1, max_iter=100).fit(examples, wanted, weights).coef_[0]


METHODS: dict[str, Method] = {
    "the query alone": lambda known, positive, negative: positive[0],
    "mean of the ticked ones": lambda known, positive, negative: positive.mean(axis=0),
    "mean difference (Rocchio)": rocchio,
    "exemplar ridge against a sample": classifier,
    "ridge and Rocchio (ours)": direction,
    "logistic regression against a sample": logistic,
}

if __name__ == "__main__":
    main()
