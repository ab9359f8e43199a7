"""How good are vectors? Search precision, k-NN, few labels, retrieval without labels; `model.linear` has the rest.

Every figure here is of unit vectors (N, D), so a dot product is the cosine. Nothing here needs torch.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from model.errors import BadInput, TooFewLabels
from model.probe import fit_probe

BLOCK = 1024  # queries at once: 1,024 rows of similarities to 100,000 vectors are 400 MB ...
CELLS = 1 << 25  # ... and never more similarities than this: putting them in order takes four times their memory


def precision_at(k: int, vectors: np.ndarray, labels: Sequence[str]) -> float:
    """Of the `k` nearest to a picture, the part that shares its label; mean over all pictures, each without itself."""
    return float(agreement(k, vectors, labels).mean())


def agreement(k: int, vectors: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """For every picture, the part of its `k` nearest that share its label, itself not counted (N,)."""
    names = np.asarray(labels)
    return np.concatenate(
        [(names[near] == names[rows, np.newaxis]).mean(axis=1) for rows, near, _ in _nearest(vectors, k)]
    )


def knn_accuracy(
    vectors: np.ndarray,
    labels: Sequence[str],
    k: int = 20,
    temperature: float = 0.07,
    asked: tuple[np.ndarray, Sequence[str]] | None = None,
) -> float:
    """k-NN; votes weighted by exp(cosine / temperature), as in arXiv:1805.01978, section 3.4.

    Judged on other pictures, `asked` with their labels, or leaving one out: each from all the rest.
    """
    classes, y = np.unique(np.asarray(labels), return_inverse=True)
    queries, truth = (None, np.asarray(labels)) if asked is None else (asked[0], np.asarray(asked[1]))
    right = 0
    for rows, near, cosine in _nearest(vectors, k, queries):
        votes = np.zeros((len(rows), len(classes)))
        weights = np.exp((cosine - cosine.max(axis=1, keepdims=True)) / temperature)  # (B, k)
        np.add.at(votes, (np.arange(len(rows))[:, np.newaxis], y[near]), weights)
        right += int((classes[votes.argmax(axis=1)] == truth[rows]).sum())
    return right / len(truth)


def few_shot_accuracy(
    vectors: np.ndarray, labels: Sequence[str], shots: int, draws: int = 10, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Accuracy on all the rest of a probe from `shots` labels per class; mean over draws, and its 95 % interval."""
    each = np.nanmean(few_shot_right(vectors, labels, shots, draws, seed), axis=1)  # (draws,)
    half = 1.96 * each.std(ddof=1) / math.sqrt(draws) if draws > 1 else math.nan
    return float(each.mean()), (float(each.mean() - half), float(each.mean() + half))


def colour_histogram(images: Sequence[Image.Image | np.ndarray]) -> np.ndarray:
    """The baseline that learning must beat: counts in 4x4x4 cells of RGB, as unit vectors (N, 64)."""
    counts = np.empty((len(images), 64), np.float32)
    for row, image in zip(counts, images, strict=True):
        cell = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image) >> 6  # (H, W, 3), 0..3
        row[:] = np.bincount((cell @ np.array([16, 4, 1])).ravel(), minlength=64)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def places(one: np.ndarray, other: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
    """Retrieval without labels: for each row of `one` (Q, D), at which place among all of `other` (N, D) its own comes.

    `own` (Q,) says which row of `other` that is; without it, the same one. 1 is the best place, N the worst (Q,). A tie
    counts against: a model that gives every picture the same vector comes last.
    """
    own = np.arange(len(one)) if own is None else own
    place = np.empty(len(one), int)
    for start in range(0, len(one), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(one)))
        cosine = one[rows] @ other.T  # (B, N)
        wanted = cosine[np.arange(len(rows)), own[rows]]
        place[rows] = (cosine >= wanted[:, np.newaxis] - 1e-6).sum(axis=1)  # closer than rounding is equal
    return place


def effective_rank(vectors: np.ndarray) -> float:
    """How many directions the vectors really use: exp of the entropy of the singular values (Roy & Vetterli 2007)."""
    squares = np.linalg.eigvalsh(vectors.T.astype(np.float64) @ vectors).clip(0)  # (D,) squared singular values
    part = np.sqrt(squares) / np.sqrt(squares).sum()
    part = part[part > 1e-12]
    return float(np.exp(-(part * np.log(part)).sum()))


def nearest_kept(before: np.ndarray, after: np.ndarray, asked: np.ndarray, k: int = 10) -> float:
    """Of the `k` nearest by the vectors `after` (N, D), the share that are among the `k` nearest by `before` (N, D').

    The mean of the rows `asked` (Q,). What is as near as the k-th is one of the k nearest, whether a search lists it or
    another.
    """
    if not 1 <= k < len(before):
        raise BadInput(f"k must be from 1 to {len(before) - 1} for {len(before)} pictures, not {k}")
    kept = []
    block = max(1, min(BLOCK, CELLS // len(before)))
    for start in range(0, len(asked), block):
        rows = asked[start : start + block]
        old, new = (vectors[rows] @ vectors.T for vectors in (before, after))  # (B, N)
        for cosine in (old, new):
            cosine[np.arange(len(rows)), rows] = -np.inf  # a picture is no answer to itself
        near = np.argpartition(-new, k - 1, axis=1)[:, :k]
        last = -np.partition(-old, k - 1, axis=1)[:, k - 1 : k]  # (B, 1): the cosine of the k-th
        kept.append((np.take_along_axis(old, near, axis=1) >= last).mean(axis=1))
    return float(np.concatenate(kept).mean())


def uniformity(vectors: np.ndarray) -> float:
    """How evenly unit vectors cover the sphere: log of the mean exp(-2 distance²) of all pairs; lower is more even.

    Wang & Isola (arXiv:2005.10242, section 4.1.2), t = 2. 0 when all are one vector; -4 is about as low as it goes.
    """
    count, total = len(vectors), 0.0
    for start in range(0, count, BLOCK):
        cosine = vectors[start : start + BLOCK].astype(np.float64) @ vectors.T  # (B, N); distance² is 2 - 2 cosine
        total += float(np.exp(4 * cosine - 4).sum())
    return math.log((total - count) / (count * (count - 1)))  # without the N pairs of a vector with itself


def spread(vectors: np.ndarray) -> float:
    """The variance of unit vectors: 1 when their directions cancel out, 0 when all are one."""
    return float(1 - (vectors.mean(axis=0, dtype=np.float64) ** 2).sum())


def few_shot_right(
    vectors: np.ndarray, labels: Sequence[str], shots: int, draws: int = 10, seed: int = 0
) -> np.ndarray:
    """(draws, N): 1 where a probe from `shots` labels per class is right, 0 where wrong, NaN for the labels it had.

    The same seed draws the same labels, so that two models can be compared picture by picture.
    """
    names = np.asarray(labels)
    places = {name: np.flatnonzero(names == name) for name in sorted(set(labels))}
    short = [f"{shots + 1 - len(at)} more of {name!r}" for name, at in places.items() if len(at) <= shots]
    if short or len(places) < 2:
        what = " and ".join(short) if short else "pictures of at least two classes"
        raise TooFewLabels(f"To try {shots} labels per class, label {what}.")
    right = np.full((draws, len(names)), np.nan)
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        known = np.concatenate([rng.choice(at, shots, replace=False) for at in places.values()])
        hidden = np.setdiff1d(np.arange(len(names)), known)
        probe = fit_probe(vectors[known], names[known].tolist(), seed=seed)
        said = np.array(probe.classes)[probe.probabilities(vectors[hidden]).argmax(axis=1)]
        right[draw, hidden] = said == names[hidden]
    return right


def _nearest(
    vectors: np.ndarray, k: int, queries: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per block of `queries`: their rows (B,), the `k` nearest rows of `vectors` (B, k), best first, and the cosines.

    Without queries every vector is asked for its nearest others.
    """
    others = len(vectors) - (queries is None)
    if not 1 <= k <= others:
        raise BadInput(f"k must be from 1 to {others} for {len(vectors)} pictures, not {k}")
    asked = vectors if queries is None else queries
    block = max(1, min(BLOCK, CELLS // len(vectors)))
    for start in range(0, len(asked), block):
        rows = np.arange(start, min(start + block, len(asked)))
        cosine = asked[rows] @ vectors.T  # (B, N)
        if queries is None:
            cosine[np.arange(len(rows)), rows] = -np.inf  # a picture is no answer to itself
        near = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        best = np.take_along_axis(cosine, near, axis=1)
        order = np.argsort(-best, axis=1, kind="stable")
        yield rows, np.take_along_axis(near, order, axis=1), np.take_along_axis(best, order, axis=1)
