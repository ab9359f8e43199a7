"""Linear evaluation: how right a linear classifier on frozen vectors is, on pictures it was not fitted on.

SimCLR's protocol (arXiv:2002.05709, appendix B.8): multinomial logistic regression by L-BFGS, no augmentation, and the
strength λ of its L2 penalty chosen by validation out of 45 logarithmically spaced values. Nothing here needs torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.errors import TooFewLabels
from model.interval import wilson

STRENGTHS = np.logspace(-6, 5, 45)  # λ of Σ cross-entropy + λ/2 |weights|²
STEPS = (8, 4, 2, 1)  # places in STRENGTHS from one trial to the next: two decades at first, then half as far each time
VALIDATION = 5  # parts; each in turn is set aside to choose λ by ...
ENOUGH = 1_000  # ... but only the first where there are more pictures than this: it is judge enough alone
SELECTION = 20_000  # pictures are enough to choose λ with; the classifier is then fitted on all of them
SMALL = 1e8  # numbers multiplied in a step, below which a second BLAS thread only makes the first wait


@dataclass(frozen=True)
class Linear:
    """The accuracy on all the pictures judged on, and the λ that each fit was given."""

    accuracy: float
    interval: tuple[float, float]  # Wilson, 95 %
    strengths: tuple[float, ...]  # one per fold; a single one for train and val halves

    @property
    def folds(self) -> int:
        return len(self.strengths)


def linear_accuracy(
    vectors: np.ndarray,
    labels: Sequence[str],
    folds: int = 5,
    seed: int = 0,
    on_fit: Callable[[], None] = lambda: None,
) -> Linear:
    """Of one labelled set (N, D): fitted on all but a fold, judged on that fold, and so on (stratified).

    Each fold chooses its own λ inside the pictures it is fitted on. `on_fit` is called before every fit, and may raise.
    """
    from sklearn.model_selection import StratifiedKFold

    classes, y = np.unique(np.asarray(labels), return_inverse=True)
    counts = np.bincount(y)
    lacking = [f"{2 - n} more of {name!r}" for name, n in zip(classes.tolist(), counts, strict=True) if n < 2]
    if lacking or len(classes) < 2:
        what = " and ".join(lacking) if lacking else "pictures of at least two classes"
        raise TooFewLabels(f"To measure how good it is, label {what}.")
    right, strengths = 0, []
    splits = StratifiedKFold(min(folds, int(counts.min())), shuffle=True, random_state=seed).split(vectors, y)
    for known, hidden in splits:
        correct, strength = _fit_and_judge(vectors[known], y[known], vectors[hidden], y[hidden], seed, on_fit)
        right += correct
        strengths.append(strength)
    return Linear(right / len(y), wilson(right, len(y)), tuple(strengths))


def linear_accuracy_on(
    known: np.ndarray,
    labels: Sequence[str],
    asked: np.ndarray,
    truth: Sequence[str],
    seed: int = 0,
    on_fit: Callable[[], None] = lambda: None,
) -> Linear:
    """Fitted on `known` (N, D), with λ chosen inside it, and judged on `asked` (M, D): a train and a val half."""
    classes, y = np.unique(np.asarray(labels), return_inverse=True)
    if len(classes) < 2:
        raise TooFewLabels("To fit a classifier, label pictures of at least two classes.")
    place = {name: number for number, name in enumerate(classes.tolist())}
    expected = np.array([place.get(name, -1) for name in truth])  # a class it never saw is never said
    right, strength = _fit_and_judge(known, y, asked, expected, seed, on_fit)
    return Linear(right / len(truth), wilson(right, len(truth)), (strength,))


def _fit_and_judge(
    x: np.ndarray, y: np.ndarray, asked: np.ndarray, truth: np.ndarray, seed: int, on_fit: Callable[[], None]
) -> tuple[int, float]:
    """How many of `asked` a classifier fitted on `x` gets right, and the λ it was fitted with."""
    from threadpoolctl import threadpool_limits

    # At mean 0 and a mean square of 1 in each number, the range of λ means the same for every model and length.
    centre = x.mean(axis=0)
    x = x - centre
    scale = max(float(np.sqrt(np.mean(np.square(x)))), 1e-12)
    x /= scale
    with threadpool_limits(1 if x.size * len(set(y.tolist())) < SMALL else None, user_api="blas"):
        strength = _choose_strength(x, y, seed, on_fit)
        on_fit()
        model = _fit(_classifier(), x, y, strength)
        return int((model.predict((asked - centre) / scale) == truth).sum()), strength


def _choose_strength(x: np.ndarray, y: np.ndarray, seed: int, on_fit: Callable[[], None]) -> float:
    """The λ with the best accuracy on pictures set aside; of equals the one with the lower cross-entropy on them.

    From coarse to fine, as in arXiv:2103.00020, appendix A.3: 13 of the 45 values are tried.
    """
    splits = _validation(y, seed)
    models = [_classifier() for _ in splits]
    scores: dict[int, tuple[int, float]] = {}  # right answers, and minus the cross-entropy
    best = 0
    for step in STEPS:
        around = range(0, len(STRENGTHS), step) if step == STEPS[0] else (best - step, best + step)
        for place in sorted(around, reverse=True):  # from strong to weak: each fit goes on from the one before
            if not 0 <= place < len(STRENGTHS):
                continue
            right, loss = 0, 0.0
            for model, (known, hidden) in zip(models, splits, strict=True):
                on_fit()
                _fit(model, x[known], y[known], STRENGTHS[place])
                probability = np.zeros((len(hidden), int(y.max()) + 1))  # of a class set aside whole it stays 0
                probability[:, model.classes_] = model.predict_proba(x[hidden])
                right += int((probability.argmax(axis=1) == y[hidden]).sum())
                loss -= float(np.log(probability[np.arange(len(hidden)), y[hidden]].clip(1e-12)).sum())
            scores[place] = right, -loss
        best = max(scores, key=lambda place: scores[place])
    return float(STRENGTHS[best]) if splits else 1.0


def _validation(y: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places to fit on and places set aside; none when no class has two pictures, of which one could be."""
    from sklearn.model_selection import StratifiedKFold, train_test_split

    places = np.arange(len(y))
    if len(y) > SELECTION:
        try:
            places, _ = train_test_split(places, train_size=SELECTION, random_state=seed, stratify=y)
        except ValueError:  # a class of a single picture cannot be kept in proportion
            places = np.random.default_rng(seed).permutation(places)[:SELECTION]
    parts = min(VALIDATION, int(np.bincount(y[places]).max()))
    if parts < 2:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class may have fewer pictures than there are parts
        found = list(StratifiedKFold(parts, shuffle=True, random_state=seed).split(places, y[places]))
    found = found[:1] if len(places) > ENOUGH else found
    return [(places[a], places[b]) for a, b in found if len(np.unique(y[places[a]])) > 1]


def _classifier() -> Any:
    from sklearn.linear_model import LogisticRegression

    # 100 steps and this tolerance: on 2,000 and 50,000 vectors of 512 numbers, more of either moved no accuracy by 0.1.
    return LogisticRegression(warm_start=True, max_iter=100, tol=1e-5)


def _fit(model: Any, x: np.ndarray, y: np.ndarray, strength: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an early stop is checked by its accuracy
        return model.set_params(C=1 / strength).fit(x, y)
