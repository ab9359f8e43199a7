"""How sure a share of right answers is: its 95 % interval, also where answers come in groups."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaincinv, stdtrit


def wilson(right: float, total: float) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927): stays inside 0..1 and honest for small numbers."""
    z, p = 1.959964, right / total
    middle = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    # At the ends it is 0 and 1 exactly, which rounding may miss.
    return max(0.0, middle - half) if right else 0.0, min(1.0, middle + half) if right < total else 1.0


def exact(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a proportion by Clopper and Pearson (1934): never too narrow, so that where it leaves one
    half out, the sign test does too.
    """
    low = float(betaincinv(right, total - right + 1, 0.025)) if right else 0.0
    return low, float(betaincinv(right + 1, total - right, 0.975)) if right < total else 1.0


def interval_of(right: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """The 95 % interval of the mean of `right` (n,) bools: Wilson's, for as many labels as those of `groups` (n,) are
    worth. Ten of one burst are right or wrong together, and worth little more than one.

    How many that is follows from the variance between groups (the design effect; Kish 1965, section 8.2), and fewer
    where a few groups say little about that variance: by Student's t for them (Korn and Graubard 1998).
    """
    n, p = len(right), float(right.mean())
    worth = float(n)
    if groups is not None:
        number = np.unique(groups, return_inverse=True)[1]
        off = np.bincount(number, weights=right - p)  # (G,) how far each group as a whole lies from the mean
        variance = float((off**2).sum()) / n**2
        # All right, or all wrong: nothing shows how they vary, so a group counts once.
        worth = min(n, p * (1 - p) / variance) if variance > 1e-12 and len(off) > 1 else float(len(off))
        if worth > 2 and 1 < len(off) < worth:
            worth *= float(stdtrit(worth - 1, 0.975) / stdtrit(len(off) - 1, 0.975)) ** 2
    return wilson(p * worth, worth)
