"""A random sample of a collection that needs no list: the beginning of one fixed shuffled order of its images.

The order depends on the ids alone, so it is the same in every process and after every restart; images that come later
fall anywhere in it. As long as the first m images of it all have an answer, they are m drawn at random.
"""

from __future__ import annotations

import numpy as np

_ODD = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing's multiplier (Knuth 6.4); the rest is SplitMix64's finisher


def audit_order(ids: np.ndarray) -> np.ndarray:
    """`ids` (N,) in the fixed shuffled order."""
    return ids[np.argsort(_mixed(ids), kind="stable")]


def audited(ids: np.ndarray, answered: np.ndarray) -> np.ndarray:
    """The sample so far: the longest beginning of the order of `ids` (N,) whose images are all `answered` (M,)."""
    order = audit_order(ids)
    waiting = np.flatnonzero(~np.isin(order, answered))
    return order[: waiting[0]] if len(waiting) else order


def _mixed(ids: np.ndarray) -> np.ndarray:
    x = ids.astype(np.uint64) * _ODD
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
