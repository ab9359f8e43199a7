"""A few pictures that are wanted, and a few that are not → one direction to rank a collection by.

Rocchio's: the mean of the wanted ones less half the mean of the others. `scripts/bench steer` measures it beside an
exemplar classifier, logistic regression and others, and it is best; docs/benchmarks.md has the table.
"""

from __future__ import annotations

import numpy as np

LESS = 0.5  # β:γ of 2:1 (Manning et al. 2008, §9.1.1 have 5:1): measured, 0.4 to 0.6 are alike, 0.25 and 0.75 worse


def direction(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """The unit direction (D,) in which `positive` (P, D) lie and `negative` (M, D) do not."""
    difference = positive.mean(axis=0) - (LESS * negative.mean(axis=0) if len(negative) else 0)
    return (difference / max(float(np.linalg.norm(difference)), 1e-12)).astype(np.float32)
