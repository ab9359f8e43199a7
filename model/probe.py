"""A few labels to a classifier: logistic regression on unit vectors, with probabilities that mean what they say.

L2-regularised, as SimCLR's linear evaluation is (arXiv:2002.05709, appendix B.8). Strength, and a temperature for the
probabilities, are chosen on labels the fit did not see. Measured on untrained ResNet-18 vectors, 3 to 20 labels per
class of steel and imagenette: choosing by the tempered log loss comes within 1 point of the best fixed strength's
accuracy, where choosing by plain log loss loses up to 10, for it buys its probabilities with accuracy.
"""

import json
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.errors import BadInput, TooFewLabels

STRENGTHS = (1.0, 0.1, 0.01)  # λ, strong to weak, of vectors brought to mean 0 and mean square length 1
FEW_STRENGTH, FEW_TEMPERATURE = 0.01, 0.25  # what is best with one or two labels per class, too few to choose by
TEMPERATURES = np.geomspace(0.05, 2.0, 40)
SELECTION = 600  # labels are enough to choose the strength by; more would only take longer


@dataclass(frozen=True)
class Probe:
    """A linear classifier. Immutable; vectors must come from the model whose vectors it was fitted on."""

    classes: tuple[str, ...]  # sorted
    weights: np.ndarray  # (C, D) float32
    bias: np.ndarray  # (C,) float32
    strength: float  # the λ it was fitted with

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """(N, D) to (N, C) float32, each row summing to 1."""
        logits = vectors.astype(np.float32, copy=False) @ self.weights.T + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        return logits / logits.sum(axis=1, keepdims=True)

    def to_bytes(self) -> bytes:
        from safetensors.numpy import save

        about = json.dumps({"classes": self.classes, "strength": self.strength}).encode()
        return save({"weights": self.weights, "bias": self.bias, "about": np.frombuffer(about, np.uint8)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Probe":
        """Read what `to_bytes` wrote. Nothing in `data` can be executed."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            tensors = load(data)
            about = json.loads(tensors["about"].tobytes())
            probe = cls(tuple(about["classes"]), tensors["weights"], tensors["bias"], float(about["strength"]))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"this is not a saved probe ({error}); fit it again from the labels") from error
        if len(probe.classes) != len(probe.weights) or len(probe.classes) != len(probe.bias):
            raise BadInput("this saved probe contradicts itself; fit it again from the labels")
        return probe


@dataclass(frozen=True)
class Quality:
    """How good the probe is on labels it was not fitted from."""

    labels: int
    accuracy: float
    interval: tuple[float, float]  # Wilson, 95 %
    classes: tuple[str, ...]
    confusion: np.ndarray  # (C, C) ints: row the label, column what the probe said
    folds: int


def fit_probe(vectors: np.ndarray, labels: Sequence[str], strength: float | None = None, seed: int = 0) -> Probe:
    """Fit from `vectors` (n, D) and a label for each. Needs two classes; one label in each is enough.

    Without `strength` it is chosen by cross-validation from three labels per class on.
    """
    classes, y = _as_numbers(vectors, labels)
    smallest = int(np.bincount(y).min())
    centre = vectors.mean(axis=0, dtype=np.float64)  # (D,)
    x = vectors - centre
    # Vectors of an untrained model lie close together; at unit spread one λ means the same for every model.
    spread = max(float(np.sqrt((x**2).sum(axis=1).mean())), 1e-12)
    x /= spread
    from threadpoolctl import threadpool_limits

    # These matrices are small: a second BLAS thread makes the fit ten times slower when the cores are busy.
    with threadpool_limits(1, user_api="blas"):
        strength, temperature = _choose(x, y, smallest, strength, seed)
        model = _fit(x, y, strength)
    weights, bias = _per_class(model.coef_), _per_class(model.intercept_[:, np.newaxis])[:, 0]
    weights *= temperature / spread
    bias = bias * temperature - weights @ centre
    return Probe(classes, weights.astype(np.float32), bias.astype(np.float32), strength)


def assess(
    vectors: np.ndarray, labels: Sequence[str], folds: int = 5, seed: int = 0, strength: float | None = None
) -> Quality:
    """Cross-validated accuracy, stratified. Each fold chooses its own strength, so no label helps to judge itself."""
    from sklearn.model_selection import StratifiedKFold

    classes, y = _as_numbers(vectors, labels)
    counts = np.bincount(y)
    lacking = [f"{2 - count} more of {name!r}" for name, count in zip(classes, counts, strict=True) if count < 2]
    if lacking:
        raise TooFewLabels(f"To measure how good it is, label at least {' and '.join(lacking)}.")
    folds = min(folds, int(counts.min()))
    confusion = np.zeros((len(classes), len(classes)), int)
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(vectors, y)
    for known, hidden in splits:
        probe = fit_probe(vectors[known], [labels[i] for i in known], strength, seed)
        np.add.at(confusion, (y[hidden], probe.probabilities(vectors[hidden]).argmax(axis=1)), 1)
    right = int(np.trace(confusion))
    return Quality(len(y), right / len(y), wilson(right, len(y)), classes, confusion, folds)


def wilson(right: float, total: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927): stays inside 0..1 and honest for small numbers."""
    z, p = 1.959964, right / total
    middle = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _as_numbers(vectors: np.ndarray, labels: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The sorted classes, and for each label the place of its class among them."""
    if len(vectors) != len(labels):
        raise BadInput(f"{len(vectors)} vectors cannot go with {len(labels)} labels")
    counts = Counter(labels)
    if len(counts) < 2:
        already = "".join(f" ({count} of {name!r} so far)" for name, count in counts.items())
        raise TooFewLabels(f"Label pictures of at least two classes{already}.")
    classes = tuple(sorted(counts))
    place = {name: number for number, name in enumerate(classes)}
    return classes, np.array([place[label] for label in labels])


def _choose(x: np.ndarray, y: np.ndarray, smallest: int, strength: float | None, seed: int) -> tuple[float, float]:
    """The strength, and the temperature that makes its probabilities fit labels it has not seen."""
    if smallest < 2:
        return strength or FEW_STRENGTH, FEW_TEMPERATURE
    candidates = (strength,) if strength else STRENGTHS if smallest > 2 else (FEW_STRENGTH,)
    if len(y) > SELECTION:
        kept = _stratified_sample(y, SELECTION, seed)
        x, y = x[kept], y[kept]
    unseen = _unseen_logits(x, y, candidates, min(3, smallest), seed)
    losses = [[_loss(logits * t, y) for t in TEMPERATURES] for logits in unseen]
    best, at = np.unravel_index(np.argmin(losses), (len(candidates), len(TEMPERATURES)))
    return candidates[best], float(TEMPERATURES[at])


def _unseen_logits(x: np.ndarray, y: np.ndarray, strengths: Sequence[float], folds: int, seed: int) -> np.ndarray:
    """(len(strengths), n, C): what a fit without each label's fold says of it."""
    from sklearn.model_selection import StratifiedKFold

    logits = np.zeros((len(strengths), len(y), int(y.max()) + 1))
    for known, hidden in StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, y):
        model = None
        for number, strength in enumerate(strengths):
            model = _fit(x[known], y[known], strength, rough=True, start=model)
            scores = model.decision_function(x[hidden])  # (n,) when there are two classes
            logits[number, hidden] = scores if scores.ndim == 2 else _per_class(scores[np.newaxis]).T
    return logits


def _fit(x: np.ndarray, y: np.ndarray, strength: float, rough: bool = False, start: Any = None) -> Any:
    """A fitted scikit-learn LogisticRegression; `rough` is enough to compare strengths, `start` a fit to go on from."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = start or LogisticRegression(warm_start=True)
    model.set_params(C=1 / strength, max_iter=30 if rough else 300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of the weights change no prediction
        return model.fit(x, y)


def _per_class(values: np.ndarray) -> np.ndarray:
    """Rows for every class; scikit-learn gives one row for two classes, whose softmax is that of (-row/2, row/2)."""
    return np.concatenate([-values / 2, values / 2]) if len(values) == 1 else values.copy()


def _loss(logits: np.ndarray, y: np.ndarray) -> float:
    """Mean cross-entropy against Platt's targets: (n+1)/(n+2) for a class of n labels, so that few labels never
    justify certainty (Platt 1999, section 2.2)."""
    log_p = logits - logits.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    counts = np.bincount(y)
    target = ((counts + 1) / (counts + 2))[y]  # (n,)
    right = log_p[np.arange(len(y)), y]
    wrong = (log_p.sum(axis=1) - right) / (len(counts) - 1)
    return float(-(target * right + (1 - target) * wrong).mean())


def _stratified_sample(y: np.ndarray, size: int, seed: int) -> np.ndarray:
    """About `size` places of `y`, each class in proportion but at least three."""
    rng = np.random.default_rng(seed)
    kept = []
    for number in range(int(y.max()) + 1):
        places = rng.permutation(np.flatnonzero(y == number))
        kept.append(places[: max(3, round(size * len(places) / len(y)))])
    return np.concatenate(kept)
