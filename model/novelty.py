"""Does a picture look like anything labelled at all? Its nearest labelled neighbour, against how near labels lie.

A conformal test (Vovk et al. 2005): of the labelled pictures each one's cosine to the nearest other is known. A picture
that is farther from every label than all but one in twenty of them is like nothing labelled, and a classifier that must
name a class for it would be guessing. With fewer than 19 labels nothing can be that rare, so nothing is called novel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVEL = 0.05  # of pictures that do belong to a class, at most this part is called novel
MOST = 2000  # labels whose distances are taken; more would not move the threshold
BLOCK = 1 << 14


@dataclass(frozen=True)
class Novelty:
    """Labelled unit vectors (n, D), and the cosine below which a picture is near none of them."""

    labelled: np.ndarray
    threshold: float  # -1: too few labels to call anything novel

    def nearest(self, vectors: np.ndarray) -> np.ndarray:
        """The cosine (N,) of each of `vectors` (N, D) to its nearest labelled one."""
        found = np.empty(len(vectors), np.float32)
        for at in range(0, len(vectors), BLOCK):
            found[at : at + BLOCK] = (vectors[at : at + BLOCK] @ self.labelled.T).max(axis=1)
        return found

    def fits(self, vectors: np.ndarray) -> np.ndarray:
        """Whether each of `vectors` (N, D) is near enough to something labelled (N,)."""
        if self.threshold <= -1:
            return np.ones(len(vectors), bool)
        return self.nearest(vectors) >= self.threshold


def novelty_of(labelled: np.ndarray, seed: int = 0) -> Novelty:
    """What `labelled` (n, D), unit vectors, say about what is far from them."""
    n = len(labelled)
    rare = int(np.floor(LEVEL * (n + 1)))  # so many of n + 1 exchangeable distances may be called rare
    if rare < 1:
        return Novelty(labelled, -1.0)
    chosen = np.arange(n) if n <= MOST else np.random.default_rng(seed).choice(n, MOST, replace=False)
    cosines = labelled[chosen] @ labelled.T  # (m, n)
    cosines[np.arange(len(chosen)), chosen] = -2.0  # a picture is not its own neighbour
    rare = max(1, round(rare * len(chosen) / n))
    return Novelty(labelled, float(np.partition(cosines.max(axis=1), rare - 1)[rare - 1]))
