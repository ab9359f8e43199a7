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

ITERATIONS, CLOSE = 200, 1e-7  # of L-BFGS: at most, and by which part of itself the last step must lower the loss
ROUGH_ITERATIONS = 20  # enough to compare strengths by


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
    x: np.ndarray,
    y: np.ndarray,
    strength: float,
    start: np.ndarray | None = None,
    iterations: int = ITERATIONS,
    close: float = CLOSE,
) -> np.ndarray:
    """Weights (r + 1, C), the bias last, that minimise the summed cross-entropy + strength / 2 |weights|².

    `x` (n, r) float64, `y` (n, C) targets whose rows sum to 1. The bias is not penalised.
    `start` is a fit to go on from; without one the way leads over stronger penalties, where it is short.
    """
    if start is None:
        nothing = np.zeros((x.shape[1] + 1, y.shape[1]))
        far = _solve(x, y, 100 * strength, nothing, ROUGH_ITERATIONS)
        near = _solve(x, y, 10 * strength, far, ROUGH_ITERATIONS)
        start = near + (near - far)  # weights follow the logarithm of the strength
    return _solve(x, y, strength, start, iterations, close)


def _solve(
    x: np.ndarray, y: np.ndarray, strength: float, start: np.ndarray, iterations: int, close: float = CLOSE
) -> np.ndarray:
    from scipy.optimize import minimize

    n, r = x.shape
    extended = np.concatenate([x, np.ones((n, 1))], axis=1)  # (n, r + 1)
    penalty = np.full((r + 1, 1), strength)
    penalty[-1] = 0.0

    def told(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Logits and probabilities (n, C), and the sum of the logarithms of what these were divided by."""
        logits = extended @ weights
        top = logits.max(axis=1, keepdims=True)
        p = np.exp(logits - top)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        return logits, p, float((np.log(total) + top).sum())

    # Every weight is measured in units of its own curvature at the start: vectors are long along a few axes and short
    # along most, and without it strong penalties take ten times as many steps.
    _, p, _ = told(start)
    unit = 1 / np.sqrt((extended**2).T @ (p * (1 - p)) + np.maximum(penalty, 1e-6))  # (r + 1, C)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(unit.shape) * unit
        logits, p, normaliser = told(weights)
        pull = penalty * weights
        p -= y
        gradient = extended.T @ p
        gradient += pull
        gradient *= unit
        return normaliser - float(np.vdot(logits, y)) + float(np.vdot(pull, weights)) / 2, gradient.ravel()

    options = {"maxiter": iterations, "gtol": 1e-4, "ftol": close, "maxcor": 10}
    found: Any = minimize(loss, (start / unit).ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(unit.shape) * unit


def coordinates(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`x` (n, D) as (n, r) numbers in its own span, r <= min(n, D), and the basis (r, D): x = numbers @ basis."""
    if len(x) >= x.shape[1]:
        return x, np.eye(x.shape[1])
    values, vectors = np.linalg.eigh(x @ x.T)  # (n,), (n, n)
    kept = values > max(float(values[-1]), 1e-300) * 1e-10
    lengths = np.sqrt(values[kept])
    return vectors[:, kept] * lengths, (vectors[:, kept] / lengths).T @ x


def turned(x: np.ndarray) -> np.ndarray:
    """`x` (n, D) along its principal axes: a fit of any part of it is the same there, in a third of the steps."""
    with one_thread_each():
        centred = x - x.mean(axis=0, dtype=np.float64)
        axes = np.linalg.eigh(centred.T @ centred)[1] if len(x) >= x.shape[1] else coordinates(centred)[1].T
        return x @ axes.astype(x.dtype)


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
    x: np.ndarray,
    y: np.ndarray,
    strength: float,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    starts: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(n, C): what rough fits say of labels they did not see; their weights (splits, r + 1, C), to go on from."""
    targets = np.eye(int(y.max()) + 1)[y]
    logits = np.zeros(targets.shape)
    found = np.empty((len(splits), x.shape[1] + 1, targets.shape[1]))
    for number, (known, hidden) in enumerate(splits):
        start = None if starts is None else starts[number]
        found[number] = solve(x[known], targets[known], strength, start, ROUGH_ITERATIONS)
        logits[hidden] = x[hidden] @ found[number, :-1] + found[number, -1]
    return logits, found
