"""How good are vectors? Search precision, k-NN, linear evaluation, few labels, and retrieval without labels.

Every figure here is of unit vectors (N, D), so a dot product is the cosine. Nothing here needs torch.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from model.errors import BadInput, TooFewLabels
from model.probe import Quality, assess, fit_probe

BLOCK = 1024  # queries at once: 1,024 rows of similarities to 100,000 vectors are 400 MB


def precision_at(k: int, vectors: np.ndarray, labels: Sequence[str]) -> float:
    """Of the `k` nearest to a picture, the part that shares its label; mean over all pictures, each without itself."""
    names = np.asarray(labels)
    same = sum(int((names[near] == names[rows, np.newaxis]).sum()) for rows, near, _ in _nearest(vectors, k))
    return same / (len(vectors) * k)


def knn_accuracy(vectors: np.ndarray, labels: Sequence[str], k: int = 20, temperature: float = 0.07) -> float:
    """Leave-one-out k-NN; votes weighted by exp(cosine / temperature), as in arXiv:1805.01978, section 3.4."""
    classes, y = np.unique(np.asarray(labels), return_inverse=True)
    right = 0
    for rows, near, cosine in _nearest(vectors, k):
        votes = np.zeros((len(rows), len(classes)))
        weights = np.exp((cosine - cosine.max(axis=1, keepdims=True)) / temperature)  # (B, k)
        np.add.at(votes, (np.arange(len(rows))[:, np.newaxis], y[near]), weights)
        right += int((votes.argmax(axis=1) == y[rows]).sum())
    return right / len(vectors)


def linear_accuracy(vectors: np.ndarray, labels: Sequence[str], folds: int = 5, seed: int = 0) -> Quality:
    """Linear evaluation (arXiv:2002.05709, appendix B.8): the encoder stays as it is, a linear classifier is fitted
    on all labels but a fold's, with its strength chosen inside them, and judged on that fold."""
    return assess(vectors, labels, folds, seed)


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


def places(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Retrieval without labels: for each row of `one` (N, D), at which place among all of `other` its own row comes.

    1 is the best, N the worst (N,). A tie counts against: a model that gives every picture the same vector comes last.
    """
    place = np.empty(len(one), int)
    for start in range(0, len(one), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(one)))
        cosine = one[rows] @ other.T  # (B, N)
        own = cosine[np.arange(len(rows)), rows]
        place[rows] = (cosine >= own[:, np.newaxis] - 1e-6).sum(axis=1)  # closer than rounding is equal
    return place


def effective_rank(vectors: np.ndarray) -> float:
    """How many directions the vectors really use: exp of the entropy of the singular values (Roy & Vetterli 2007)."""
    squares = np.linalg.eigvalsh(vectors.T.astype(np.float64) @ vectors).clip(0)  # (D,) squared singular values
    part = np.sqrt(squares) / np.sqrt(squares).sum()
    part = part[part > 1e-12]
    return float(np.exp(-(part * np.log(part)).sum()))


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


def _nearest(vectors: np.ndarray, k: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per block: the rows (B,), their `k` nearest other rows (B, k), best first, and the cosines (B, k)."""
    if not 1 <= k < len(vectors):
        raise BadInput(f"k must be from 1 to {len(vectors) - 1} for {len(vectors)} pictures, not {k}")
    for start in range(0, len(vectors), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(vectors)))
        cosine = vectors[rows] @ vectors.T  # (B, N)
        cosine[np.arange(len(rows)), rows] = -np.inf  # a picture is no answer to itself
        near = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        best = np.take_along_axis(cosine, near, axis=1)
        order = np.argsort(-best, axis=1, kind="stable")
        yield rows, np.take_along_axis(near, order, axis=1), np.take_along_axis(best, order, axis=1)
