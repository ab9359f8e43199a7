"""A fitted probe with what it says of every image of an index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from indexer.classes import NONE_OF_THESE
from indexer.index import VectorIndex
from model.novelty import Novelty, novelty_of
from model.probe import Probe
from model.several import LINE, UNKNOWN, Answers


@dataclass(frozen=True)
class Fitted:
    """A probe with what it says of every image of one index: rows belong to that index and no other."""

    probe: Probe
    index: VectorIndex
    probabilities: np.ndarray  # (N, C) float32, rows as in the index
    labels: int
    key: tuple[Any, ...]
    ids: np.ndarray  # (n,) of the labelled images
    vectors: np.ndarray  # (n, D)
    names: list[str]  # (n,) their classes; empty where images may have several
    settled: bool  # strength and temperature are chosen for these very labels
    answers: Answers | None = None  # (n, …) where images may have several classes
    lines: np.ndarray | None = None  # (C,) and then the probabilities from which on each class is predicted

    @property
    def taught(self) -> list[str] | Answers:
        """What the probe was fitted from, beside the vectors."""
        return self.names if self.answers is None else self.answers

    @cached_property
    def said(self) -> np.ndarray:
        """Which classes each image is predicted to have (N, C) bools: the most probable, or all above their lines."""
        if self.lines is not None:
            return self.probabilities >= self.lines
        found = np.zeros(self.probabilities.shape, bool)
        np.put_along_axis(found, self.best[:, np.newaxis], True, axis=1)
        return found

    @cached_property
    def best(self) -> np.ndarray:
        """The most probable class of every image, as a place in the probe's classes (N,)."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def sure(self) -> np.ndarray:
        """How probable it is (N,) float32."""
        return self.probabilities.max(axis=1)

    @cached_property
    def novelty(self) -> Novelty:
        return novelty_of(self.vectors)

    @cached_property
    def fits(self) -> np.ndarray:
        """Whether each image of the index is like anything labelled, and is not said to be none of these (N,)."""
        of_a_class = self.of_a_class(self.best) if self.lines is None else self.said.any(axis=1)
        return self.novelty.fits(self.index.vectors) & of_a_class

    def of_a_class(self, best: np.ndarray) -> np.ndarray:
        """Whether the places `best` in the probe's classes are classes, and not the answer "none of these"."""
        return np.array([name != NONE_OF_THESE for name in self.probe.classes])[best]


@dataclass(frozen=True)
class Prediction:
    """What the probe says of one image."""

    class_name: str
    probability: float
    fits: bool  # False: it is like nothing labelled, and the class is a guess
    # Where images may have several: all above their lines, the most probable first; the class above is the first of
    # them, or would be.
    classes: tuple[tuple[str, float], ...] | None = None


def classes_above(fitted: Fitted, probabilities: np.ndarray) -> tuple[tuple[str, float], ...]:
    """The classes of one picture, each with its probability (C,), that are above their lines; the likeliest first."""
    order = np.argsort(-probabilities, kind="stable")
    above = probabilities >= (LINE if fitted.lines is None else fitted.lines)
    return tuple((fitted.probe.classes[c], float(probabilities[c])) for c in order if above[c])


def unchanged(last: Fitted, ids: np.ndarray, answers: Answers) -> list[str]:
    """The classes of which exactly the same was said when the last probe was fitted: they need no fit."""
    if last.answers is None:
        return []
    found = []
    for name in set(last.probe.classes) & set(answers.classes):
        before, after = last.answers.of(name), answers.of(name)
        if np.array_equal(last.ids[before != UNKNOWN], ids[after != UNKNOWN]) and np.array_equal(
            before[before != UNKNOWN], after[after != UNKNOWN]
        ):
            found.append(name)
    return found
