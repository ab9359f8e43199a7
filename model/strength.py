"""How strongly a probe is held back, and how sure it may be: chosen on labels that a fit did not see.

The strength is one of SimCLR's 45 (arXiv:2002.05709, appendix B.8), by log loss after the best temperature, for plain
log loss buys its probabilities with accuracy. Few labels say little about strength, so they must say it clearly: what
is far from the strength that serves most encoders pays for the distance. (`scripts/bench probe` beside scikit-learn's
own choice.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from model.softmax import coordinates, split_evenly, unseen_logits

STRENGTHS = np.geomspace(1e5, 1e-6, 45)  # λ, strong to weak, of vectors brought to mean 0 and mean square length 1
USUAL = 3e-3  # the λ that is within a point of the best under every encoder tried, from ten labels per class on ...
FALL = 2.0  # ... and with m < 10 of them m to the power of minus this: one or five labels want to be trusted less
DISTANCE = 0.02  # log loss that a decade away from the usual λ must bring among 50 labels; less among more
DOUBT = 1.0  # labels
LONE = 0.05  # of the labels may be the only ones of their classes for something to be chosen all the same
TEMPERATURES = np.geomspace(0.02, 50.0, 60)  # of logits brought to deviation 1
STRIDE = 4  # every fourth strength is tried first, then those between it and its neighbours
SELECTION = 300  # labels are enough to choose by; more choose no better, and take longer


@dataclass(frozen=True)
class Choice:
    """What is chosen on labels that a fit did not see."""

    strength: float  # λ
    temperature: float  # what the logits are multiplied by; 0: for a fixed spread, far from certain


def usual(labels: int, classes: int) -> Choice:
    """What serves most encoders, for as long as nothing can be chosen, or has been."""
    return Choice(max(USUAL, (max(labels, 1) / max(classes, 1)) ** -FALL), 0.0)


def choose(x: np.ndarray, y: np.ndarray, strength: float | None, seed: int) -> Choice:
    """On folds of standard `x` (n, r): the λ with the least log loss at its best temperature, and that temperature."""
    most_often = usual(len(y), int(y.max()) + 1).strength
    some = np.bincount(y)[y] >= 2  # a new class with its first label need not stop it, where there is enough to go by
    if np.mean(~some) > LONE or len(set(y[some])) < 2:
        return Choice(strength or most_often, 0.0)
    x, y = x[some], np.unique(y[some], return_inverse=True)[1]
    if len(y) > SELECTION:
        kept = _stratified_sample(y, SELECTION, seed)
        x, y = coordinates(x[kept])[0], y[kept]
    splits = list(split_evenly(y, min(5, int(np.bincount(y).min())), seed))
    if strength:
        return Choice(strength, _best_temperature(unseen_logits(x, y, strength, splits, None)[0], y)[1])
    tried: dict[int, tuple[float, float]] = {}  # place in STRENGTHS → its score, the temperature
    found: dict[int, np.ndarray] = {}  # ... and the weights (folds, r + 1, C)

    def attempt(number: int) -> None:
        logits, found[number] = unseen_logits(x, y, float(STRENGTHS[number]), splits, _on_the_way(found, number))
        loss, temperature = _best_temperature(logits, y)
        far = DISTANCE * abs(math.log10(STRENGTHS[number] / most_often)) * math.sqrt(50 / len(y))
        tried[number] = (loss + far, temperature)

    for number in range(0, len(STRENGTHS), STRIDE):
        attempt(number)
        best = min(tried, key=lambda each: tried[each][0])
        if STRENGTHS[number] < most_often and number > best:
            break  # from there on it only gets worse, and these are the slow ones
    for number in range(max(0, best - STRIDE + 1), min(len(STRENGTHS), best + STRIDE)):
        if number not in tried:
            attempt(number)
    best = min(tried, key=lambda each: tried[each][0])
    return Choice(float(STRENGTHS[best]), tried[best][1])


def _on_the_way(found: dict[int, np.ndarray], number: int) -> np.ndarray | None:
    """Where to begin: on the line through the weights of the two nearest strengths, for they follow its logarithm."""
    near = sorted(found, key=lambda each: abs(each - number))[:2]
    if len(near) < 2:
        return found[near[0]] if near else None
    a, b = near
    return found[a] + (found[b] - found[a]) * ((number - a) / (b - a))


def _best_temperature(logits: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The least loss (n, C) that a temperature brings, and that temperature. The loss is convex in it."""
    deviation = max(float(logits.std()), 1e-12)

    def loss(number: int) -> float:
        return _loss(logits * (TEMPERATURES[number] / deviation), y)

    low, high = 0, len(TEMPERATURES) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if loss(middle) <= loss(middle + 1) else (middle + 1, high)
    return loss(low), float(TEMPERATURES[low] / deviation)


def _loss(logits: np.ndarray, y: np.ndarray) -> float:
    """Mean cross-entropy (n, C), as if one label more had shown every class alike: few labels never justify certainty.

    Platt's targets (1999, section 2.2) do the same, but with many classes they cost far more confidence than accuracy.
    """
    log_p = logits - logits.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    right = log_p[np.arange(len(y)), y].sum()
    return float(-(right + DOUBT * log_p.mean()) / (len(y) + DOUBT))


def _stratified_sample(y: np.ndarray, size: int, seed: int) -> np.ndarray:
    """About `size` places of `y`, each class in proportion but at least three."""
    rng = np.random.default_rng(seed)
    kept = []
    for number in range(int(y.max()) + 1):
        places = rng.permutation(np.flatnonzero(y == number))
        kept.append(places[: max(3, round(size * len(places) / len(y)))])
    return np.concatenate(kept)
