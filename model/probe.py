"""A few labels to a classifier: logistic regression on unit vectors, with probabilities that mean what they say.

L2-regularised; its strength, and a temperature for the probabilities, are chosen on labels that a fit did not see
(model/strength.py). Fitting takes milliseconds, choosing longer. So a click is answered by a fit with the choice made
last, `fit_probe(…, choice)`, and the choice for the labels as they are now follows behind.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from model.errors import BadInput, TooFewLabels
from model.interval import interval_of
from model.softmax import coordinates, one_thread_each, solve, split_evenly
from model.strength import Choice, choose

FEW_SPREAD = 1.0  # of the logits with one label per class, where nothing can be chosen: far from certain
BLOCK = 2048  # vectors at once: their logits stay in the processor's cache
MOST_THREADS = 8  # more only wait for memory


@dataclass(frozen=True)
class Probe:
    """A linear classifier. Immutable; vectors must come from the model whose vectors it was fitted on.

    Either one class a vector (a softmax), or a yes or no of each class (`choices`, one sigmoid each; model/several.py).
    """

    classes: tuple[str, ...]  # sorted
    weights: np.ndarray  # (C, D) float32
    bias: np.ndarray  # (C,) float32
    strength: float  # the λ it was fitted with
    temperature: float = 1.0  # already in weights and bias
    measured: bool = True  # the temperature; else it is one that errs on the side of doubt, for want of labels
    choices: tuple[Choice, ...] = ()  # of each class where a vector may have several; then those above say nothing

    @property
    def several(self) -> bool:
        """Whether a vector may have several classes: each has a probability of its own."""
        return bool(self.choices)

    @property
    def choice(self) -> Choice:
        return Choice(self.strength, self.temperature)

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """(N, D) to (N, C) float32, each row summing to 1 unless a vector may have several classes."""
        found = np.empty((len(vectors), len(self.classes)), np.float32)
        weights = np.ascontiguousarray(self.weights.T)  # (D, C)

        def block(at: int) -> None:
            logits = found[at : at + BLOCK]
            np.matmul(vectors[at : at + BLOCK].astype(np.float32, copy=False), weights, out=logits)
            logits += self.bias
            if self.several:
                np.negative(logits, out=logits)
                np.exp(np.minimum(logits, 80, out=logits), out=logits)  # more is beyond float32, and as improbable
                logits += 1
                np.reciprocal(logits, out=logits)
                return
            logits -= logits.max(axis=1, keepdims=True)
            np.exp(logits, out=logits)
            logits /= logits.sum(axis=1, keepdims=True)

        starts = range(0, len(vectors), BLOCK)
        if len(starts) < 2:
            list(map(block, starts))
        else:  # threads of our own: BLAS has none for products as thin as these, and none at all for the rest
            with one_thread_each(), ThreadPoolExecutor(min(len(starts), os.cpu_count() or 1, MOST_THREADS)) as pool:
                list(pool.map(block, starts))
        return found

    def to_bytes(self) -> bytes:
        from safetensors.numpy import save

        facts = {"classes": self.classes, "strength": self.strength, "temperature": self.temperature,
                 "measured": self.measured,
                 "choices": [[each.strength, each.temperature] for each in self.choices]}  # fmt: skip
        about = json.dumps(facts).encode()
        return save({"weights": self.weights, "bias": self.bias, "about": np.frombuffer(about, np.uint8)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Probe:
        """Read what `to_bytes` wrote. Nothing in `data` can be executed."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            tensors = load(data)
            about = json.loads(tensors["about"].tobytes())
            probe = cls(
                tuple(about["classes"]),
                tensors["weights"],
                tensors["bias"],
                float(about["strength"]),
                float(about.get("temperature", 1.0)),
                bool(about.get("measured", True)),
                tuple(Choice(float(strength), float(of_it)) for strength, of_it in about.get("choices", ())),
            )
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"this is not a saved probe ({error}); fit it again from the labels") from error
        if (
            len(probe.classes) != len(probe.weights)
            or len(probe.classes) != len(probe.bias)
            or (probe.several and len(probe.choices) != len(probe.classes))
        ):
            raise BadInput("this saved probe contradicts itself; fit it again from the labels")
        return probe


@dataclass(frozen=True)
class Quality:
    """How good the probe is on labels it was not fitted from; of the classes that could be judged."""

    classes: tuple[str, ...]
    y: np.ndarray  # (n,) the place of each label in the classes
    unseen: (
        np.ndarray
    )  # (n, C) float32: the probabilities of each label by a probe that had not seen it, NaN: not judged
    groups: np.ndarray  # (n,) pictures of one number show the same thing: they are right or wrong together
    folds: int
    lacking: dict[str, str]  # class → what is missing to judge it

    @cached_property
    def judged(self) -> np.ndarray:
        """Which labels the figures are of (n,) bools."""
        return ~np.isnan(self.unseen[:, 0])

    @cached_property
    def said(self) -> np.ndarray:
        """What a probe that had not seen each label said (n,): a place in the classes, -1 where it is not judged."""
        return np.where(self.judged, np.nan_to_num(self.unseen).argmax(axis=1), -1)

    @property
    def labels(self) -> int:
        return int(self.judged.sum())

    @property
    def accuracy(self) -> float:
        return float((self.said == self.y)[self.judged].mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, see interval_of."""
        return interval_of((self.said == self.y)[self.judged], self.groups[self.judged])

    @property
    def confusion(self) -> np.ndarray:
        """(C, C) ints: row the label, column what the probe said."""
        found = np.zeros((len(self.classes), len(self.classes)), int)
        np.add.at(found, (self.y[self.judged], self.said[self.judged]), 1)
        return found

    def only(self, rows: np.ndarray) -> Quality:
        """The same of some of the labels: `rows` (n,) bools."""
        return replace(self, unseen=np.where(rows[:, np.newaxis], self.unseen, np.float32(np.nan)))


def fit_probe(
    vectors: np.ndarray,
    labels: Sequence[str],
    strength: float | None = None,
    seed: int = 0,
    choice: Choice | None = None,
    start: Probe | None = None,
) -> Probe:
    """Fit from `vectors` (n, D) and a label for each. Needs two classes; one label in each is enough.

    Strength and temperature are `choice`'s, which takes milliseconds; without it they are chosen by cross-validation,
    from two labels per class on. With `strength` only the temperature is. `start` is a probe to go on from.
    """
    classes, y = _as_numbers(vectors, labels)
    with one_thread_each():
        x, basis, centre, spread = _standard(vectors)
        chosen = choice or choose(x, y, strength, seed)
        begin = None if start is None else _as_start(start, classes, basis, centre, spread)
        fitted = solve(x, np.eye(len(classes))[y], chosen.strength, begin)  # (r + 1, C)
        temperature = chosen.temperature or FEW_SPREAD / max(float((x @ fitted[:-1] + fitted[-1]).std()), 1e-12)
        weights = (basis.T @ fitted[:-1]).T * (temperature / spread)  # (C, D)
        bias = fitted[-1] * temperature - weights @ centre
    weights, bias = np.ascontiguousarray(weights, np.float32), bias.astype(np.float32)
    return Probe(classes, weights, bias, chosen.strength, float(temperature), measured=chosen.temperature > 0)


def assess(
    vectors: np.ndarray,
    labels: Sequence[str],
    folds: int = 5,
    seed: int = 0,
    strength: float | None = None,
    groups: np.ndarray | None = None,
) -> Quality:
    """Cross-validated, stratified. Each fold chooses its own strength, so no label helps to judge itself.

    `groups` (n,) are kept together, so that no copy of a picture helps to judge it either. A class of which there is
    but one, or one group, is learnt and not judged; raises TooFewLabels unless two classes can be.
    """
    classes, y = _as_numbers(vectors, labels)
    groups = np.arange(len(y)) if groups is None else groups
    apart = np.array([len(set(groups[y == number].tolist())) for number in range(len(classes))])
    able = apart >= 2
    lone = [f"1 more of {name!r}" for name, count in zip(classes, np.bincount(y), strict=True) if count < 2]
    if able.sum() < 2:
        if lone:
            raise TooFewLabels(f"To measure how good it is, label at least {' and '.join(lone)}.")
        raise TooFewLabels(f"All pictures labelled {classes[int(apart.argmin())]!r} show the same thing.")
    lacking = {
        classes[number]: f"To measure how good {classes[number]!r} is, label 1 more picture of it."
        if (y == number).sum() < 2
        else f"All pictures labelled {classes[number]!r} show the same thing."
        for number in np.flatnonzero(~able)
    }
    places = np.flatnonzero(able[y])
    folds = min(folds, len(set(groups[places].tolist())))
    unseen = np.full((len(y), len(classes)), np.nan, np.float32)
    for _, hidden in split_evenly(y[places], folds, seed, groups[places]):
        hidden = places[hidden]
        known = np.flatnonzero(~np.isin(groups, groups[hidden]))
        try:
            probe = fit_probe(vectors[known], [labels[i] for i in known.tolist()], strength, seed)
        except TooFewLabels:  # its groups hold all but one class: they are not judged
            continue
        there = np.array([classes.index(name) for name in probe.classes])  # all, but where a group held most of a class
        unseen[hidden] = 0
        unseen[np.ix_(hidden, there)] = probe.probabilities(vectors[hidden])
    if np.isnan(unseen).all():
        raise TooFewLabels("Too many of the labels show the same thing for the rest to be judged.")
    return Quality(classes, y, unseen, groups, folds, lacking)


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


def _standard(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Vectors (n, D) at mean 0 and mean square length 1, in their own span: (n, r), its basis (r, D), mean, spread.

    Vectors of an untrained model lie close together; at unit spread one λ means the same for every model.
    """
    centre = vectors.mean(axis=0, dtype=np.float64)  # (D,)
    x, basis = coordinates(vectors - centre)
    spread = max(float(np.sqrt((x**2).sum(axis=1).mean())), 1e-12)
    return x / spread, basis, centre, spread


def _as_start(
    probe: Probe, classes: tuple[str, ...], basis: np.ndarray, centre: np.ndarray, spread: float
) -> np.ndarray:
    """An earlier probe's weights (r + 1, C) in the span of other labels; zeros for a class it did not know."""
    start = np.zeros((len(basis) + 1, len(classes)))
    for number, name in enumerate(classes):
        if name in probe.classes and basis.shape[1] == probe.weights.shape[1]:
            at = probe.classes.index(name)
            start[:-1, number] = basis @ probe.weights[at] * (spread / probe.temperature)
            start[-1, number] = (probe.bias[at] + probe.weights[at] @ centre) / probe.temperature
    return start
