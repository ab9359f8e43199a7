"""Which pictures to label next, by their vectors alone: typical ones while labels are few, then unsure ones that count.

Typical first (TypiClust, arXiv:2202.02794): the picture with the nearest neighbours in each of the largest groups that
have no labels. Then coverage (Uncertainty Herding, arXiv:2412.20644): the picture that, with those labelled already,
resembles most of what the probe is unsure of. That is margin sampling that never asks twice for the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MOST_GROUPS = 500  # as in TypiClust's paper: more are slow to find and no better
NEIGHBOURS = 20  # whose mean likeness makes a picture typical (section 3.2); and the width of the kernel below
ROUND = 10  # typical pictures at a time: more groups at once are smaller ones, whose pictures are less typical
SETTLED = 10  # labels from which on the kernel narrows: what is covered by many labels is covered closely


def typical(vectors: np.ndarray, labelled: np.ndarray, count: int) -> np.ndarray:
    """Rows of `vectors` (N, D): the most typical one of each group, those without `labelled` and large ones first."""
    from sklearn.cluster import MiniBatchKMeans

    groups_wanted = min(len(vectors), len(labelled) + count, MOST_GROUPS)
    model = MiniBatchKMeans(groups_wanted, n_init=1, random_state=0, batch_size=1024).fit(vectors)
    groups: np.ndarray = model.labels_
    sizes = np.bincount(groups, minlength=groups_wanted)
    covered = np.zeros(groups_wanted, bool)
    if len(labelled):
        covered[model.predict(labelled)] = True
    chosen = []
    for group in sorted(range(groups_wanted), key=lambda g: (covered[g], -sizes[g])):
        members = np.flatnonzero(groups == group)
        if len(members):
            near = min(NEIGHBOURS, len(members))
            likeness = vectors[members] @ vectors[members].T  # (m, m)
            typicality = np.sort(likeness, axis=1)[:, -near:].mean(axis=1)
            chosen.append(int(members[typicality.argmax()]))
    return np.array(chosen[:count], np.int64)


def typical_in_turn(vectors: np.ndarray, labelled: np.ndarray) -> Iterator[int]:
    """Rows of `vectors` (N, D), all of them, a round of typical ones after the other, as if those before had labels.

    So the first ones are the same however many are asked for.
    """
    free = np.arange(len(vectors))
    while len(free):
        chosen = typical(vectors[free], labelled, ROUND)
        yield from free[chosen].tolist()
        labelled = np.concatenate([labelled, vectors[free[chosen]]])
        free = np.delete(free, chosen)


def covering(vectors: np.ndarray, labelled: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Rows of `vectors` (N, D), one after the other those that cover most `weights` (N,) not yet covered.

    A picture covers another by exp(-distance / width); what `labelled` (n, D) ones cover needs no label.
    """
    if not len(vectors):
        return np.zeros(0, np.int64)
    centre = vectors.mean(axis=0)
    x, known = _directions(vectors - centre), _directions(labelled - centre)
    distance = 1 - x @ x.T  # (N, N)
    near = min(NEIGHBOURS, len(x) - 1)
    width = max(float(np.partition(distance, near, axis=1)[:, near].mean()), 1e-6)
    width *= (SETTLED / max(len(labelled), SETTLED)) ** 0.5
    kernel = np.exp(distance / -width, dtype=np.float32)
    covered = np.zeros(len(x), np.float32)
    if len(known):
        covered = np.exp((1 - x @ known.T) / -width).max(axis=1).astype(np.float32)
    chosen: list[int] = []
    weights = weights.astype(np.float32)
    for _ in range(min(count, len(x))):
        gain = np.maximum(kernel - covered, 0) @ weights
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        covered = np.maximum(covered, kernel[chosen[-1]])
    return np.array(chosen, np.int64)


def unsureness(probabilities: np.ndarray) -> np.ndarray:
    """1 where the two most probable classes (N, C) are equally probable, 0 where one is certain (N,)."""
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return 1 - (two[:, 1] - two[:, 0])


def _directions(x: np.ndarray) -> np.ndarray:
    return (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)).astype(np.float32)
