"""A few pictures that are wanted, and a few that are not → one direction to rank a collection by.

The sum of two, each brought to the same spread over a random sample of the collection. One is an exemplar classifier:
ridge regression that gives the wanted ones 1, the unwanted ones and the sample 0, so that what all pictures share is
worth nothing (exemplar-LDA, Hariharan et al., ECCV 2012, with the covariance of the sample as the ridge sees it). The
other is Rocchio's: the mean of the wanted ones less half the mean of the others. The first finds more of a kind, the
second keeps the nearest ones first. `scripts/bench steer` measures both, and others; docs/benchmarks.md has the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from indexer.index import VectorIndex

SAMPLE = 1000  # random vectors that stand for the collection
RIDGE = 0.3  # of the mean variance: how much directions are told to be alike
WEIGHT = 0.3  # of the wanted ones together, and of the unwanted ones, beside the sample's 1
LESS = 0.5  # Rocchio's β:γ of 2:1 (Manning et al. 2008, §9.1.1): what you like counts more
FEWEST = 50  # vectors that a covariance says something with


@dataclass(frozen=True)
class Background:
    """What is ordinary in a collection."""

    vectors: np.ndarray  # (S, D) a random sample
    mean: np.ndarray  # (D,)
    inverse: np.ndarray  # (D, D) of the sample's covariance and the ridge


_known: WeakKeyDictionary[VectorIndex, Background] = WeakKeyDictionary()


def background_of(index: VectorIndex) -> Background:
    """The same for the same index; kept as long as the index is."""
    known = _known.get(index)
    if known is None:
        count = len(index.ids)
        rows = np.sort(np.random.default_rng(0).choice(count, min(SAMPLE, count), replace=False))
        known = _known[index] = background(np.asarray(index.vectors[rows]))
    return known


def background(vectors: np.ndarray) -> Background:
    """Of a sample (S, D)."""
    mean = vectors.mean(axis=0)
    spread = vectors - mean
    covariance = spread.T @ spread / len(vectors)
    ridge = RIDGE * max(float(np.trace(covariance)) / len(mean), 1e-9)
    inverse = np.linalg.inv(covariance + ridge * np.eye(len(mean), dtype=np.float32))
    return Background(vectors, mean, inverse.astype(np.float32))


def direction(known: Background, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """The unit direction (D,) in which `positive` (P, D) lie and `negative` (M, D) do not."""
    difference = rocchio(known, positive, negative)
    if len(known.vectors) < FEWEST:
        return unit(difference)
    both = np.stack([classifier(known, positive, negative), difference])  # (2, D)
    spread = (both @ known.vectors.T).std(axis=1, keepdims=True)
    return unit((both / np.maximum(spread, 1e-12)).sum(axis=0))


def rocchio(known: Background, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """(D,) the mean of the wanted ones less half the mean of the others."""
    return positive.mean(axis=0) - (LESS * negative.mean(axis=0) if len(negative) else 0)


def classifier(known: Background, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """(D,) the weights of a ridge regression: 1 for the wanted ones, 0 for the unwanted ones and the sample."""
    examples = np.concatenate([positive, negative]) - known.mean
    wanted = np.arange(len(examples)) < len(positive)
    weights = np.concatenate([np.full(len(x), WEIGHT / max(len(x), 1)) for x in (positive, negative)])
    scaled = examples * np.sqrt(weights)[:, None]  # (P + M, D)
    # Woodbury: the sample's inverse is known, and a handful of examples changes it by as few dimensions.
    reach = known.inverse @ scaled.T  # (D, P + M)
    return reach @ np.linalg.solve(np.eye(len(scaled)) + scaled @ reach, np.sqrt(weights) * wanted)


def unit(vector: np.ndarray) -> np.ndarray:
    return (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
