"""Softmax regression with an L2 penalty, for few labels and many numbers: the arithmetic below the probe.

A fit depends on its vectors only through their inner products, so n labels with D > n numbers each are first turned
into n numbers each, and then 20 labels cost the same under any encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np

ITERATIONS, ROUGH = 200, 40  # of L-BFGS; the rough ones are enough to compare strengths


@cache
def _pools() -> Any:
    import scipy.optimize  # noqa: F401 - it brings a BLAS of its own
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_thread_each() -> AbstractContextManager[Any]:
    """BLAS without threads of its own while the block lasts.

    These matrices are small: a second thread makes a fit ten times slower when the cores are busy.
    """
    return _pools().limit(limits=1, user_api="blas")


def solve(
    x: np.ndarray, y: np.ndarray, strength: float, start: np.ndarray | None = None, iterations: int = ITERATIONS
) -> np.ndarray:
    """Weights (r + 1, C), the bias last, that minimise the summed cross-entropy + strength / 2 |weights|².

    `x` (n, r) float64, `y` (n, C) targets whose rows sum to 1. The bias is not penalised.
    `start` is a fit to go on from.
    """
    from scipy.optimize import minimize

    n, r = x.shape
    classes = y.shape[1]
    extended = np.concatenate([x, np.ones((n, 1))], axis=1)  # (n, r + 1)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(r + 1, classes)
        logits = extended @ weights  # (n, C)
        top = logits.max(axis=1, keepdims=True)
        p = np.exp(logits - top)
        total = p.sum(axis=1, keepdims=True)
        value = float((np.log(total) + top).sum() - np.vdot(logits, y))
        p /= total
        p -= y
        gradient = extended.T @ p
        gradient[:-1] += strength * weights[:-1]
        return value + strength / 2 * float(np.vdot(weights[:-1], weights[:-1])), gradient.ravel()

    begin = np.zeros((r + 1) * classes) if start is None else start.ravel()
    options = {"maxiter": iterations, "gtol": 1e-4, "ftol": 1e-9, "maxcor": 10}
    found: Any = minimize(loss, begin, jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(r + 1, classes)


def coordinates(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`x` (n, D) as (n, r) numbers in its own span, r <= min(n, D), and the basis (r, D): x = numbers @ basis."""
    if len(x) >= x.shape[1]:
        return x, np.eye(x.shape[1])
    values, vectors = np.linalg.eigh(x @ x.T)  # (n,), (n, n)
    kept = values > max(float(values[-1]), 1e-300) * 1e-10
    lengths = np.sqrt(values[kept])
    return vectors[:, kept] * lengths, (vectors[:, kept] / lengths).T @ x


def split_evenly(
    y: np.ndarray, count: int, seed: int = 0, groups: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(known, hidden) places of `y` (n,), `count` times: every place is hidden once, each class as evenly as can be.

    `groups` (n,) are never torn apart: all of one are hidden together.
    """
    rng = np.random.default_rng(seed)
    groups = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.zeros((int(groups.max()) + 1, int(y.max()) + 1))
    np.add.at(sizes, (groups, y), 1)  # (G, C)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order].max(axis=1), kind="stable")]  # the large ones while there is room
    held = np.zeros((count, sizes.shape[1]))
    fold_of = np.empty(len(sizes), int)
    for group in order:
        # Where its classes are rarest so far, then where there is least of all: even for classes and for sizes.
        crowded = held @ sizes[group] / max(sizes[group].sum(), 1) + held.sum(axis=1) * 1e-6
        at = int(crowded.argmin())
        fold_of[group] = at
        held[at] += sizes[group]
    for number in range(count):
        hidden = fold_of[groups] == number
        if hidden.any() and not hidden.all():
            yield np.flatnonzero(~hidden), np.flatnonzero(hidden)


def unseen_logits(
    x: np.ndarray, y: np.ndarray, strengths: Sequence[float], splits: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """(S, n, C): what a fit with each of `strengths`, strong to weak, says of each label it did not see."""
    targets = np.eye(int(y.max()) + 1)[y]
    logits = np.zeros((len(strengths), *targets.shape))
    for known, hidden in splits:
        weights = None  # each strength goes on from the one before: the path from strong to weak is short
        for number, strength in enumerate(strengths):
            weights = solve(x[known], targets[known], strength, weights, ROUGH)
            logits[number, hidden] = x[hidden] @ weights[:-1] + weights[-1]
    return logits
