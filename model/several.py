"""Pictures of several classes: a yes or no of each class, learnt from the yes and no that were said of it.

One regularised logistic regression a class, each with strength and temperature of its own; what was not said of a
class is unknown to it, and not a no. A class needs both answers before anything can be said of it. (Binary relevance;
Read and others, 2011, compare it with chains: with few labels there is little to learn of how classes go together.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from model.errors import BadInput, TooFewLabels
from model.interval import interval_of
from model.probe import Probe, assess, fit_probe
from model.quality import reliability, share
from model.strength import Choice, usual

YES, NO, UNKNOWN = 1, 0, -1
LINE = 0.5  # the probability from which on a class is predicted, unless a person drew another: the fewest errors


@dataclass(frozen=True)
class Answers:
    """What was said of some pictures: `given` (n, C) int8 holds YES, NO or UNKNOWN of each class."""

    classes: tuple[str, ...]  # sorted
    given: np.ndarray

    def __len__(self) -> int:
        return len(self.given)

    def of(self, name: str) -> np.ndarray:
        """What was said of one class (n,)."""
        return self.given[:, self.classes.index(name)]

    def taught(self) -> list[str]:
        """The classes of which both a yes and a no were said: those that can be learnt."""
        return [name for name in self.classes if {YES, NO} <= set(self.of(name).tolist())]


def answers_from(said: Sequence[Mapping[str, bool]], classes: Sequence[str], nothing: str) -> Answers:
    """What was `said` of each picture as numbers; the name `nothing` with a yes is a no to every class."""
    names = tuple(sorted(classes))
    given = np.full((len(said), len(names)), UNKNOWN, np.int8)
    for row, answers in enumerate(said):
        if answers.get(nothing):
            given[row] = NO
        for column, name in enumerate(names):
            if name in answers:
                given[row, column] = YES if answers[name] else NO
    return Answers(names, given)


def fit_several(
    vectors: np.ndarray,
    answers: Answers,
    choices: Mapping[str, Choice] | None = None,
    start: Probe | None = None,
    kept: Sequence[str] = (),
    seed: int = 0,
) -> Probe:
    """Fit each class from `vectors` (n, D) with a yes or no; strengths are chosen anew, or are those of `choices`.

    `start` is a probe to go on from; classes in `kept` are taken from it as they are, for their answers are the same.
    Raises TooFewLabels while no class has both answers.
    """
    if len(vectors) != len(answers):
        raise BadInput(f"{len(vectors)} vectors cannot go with answers about {len(answers)}")
    taught = answers.taught()
    if not taught:
        raise TooFewLabels(_lacking(answers))
    weights, bias, chosen = [], [], []
    for name in taught:
        at = start.classes.index(name) if start is not None and name in start.classes else None
        if start is not None and at is not None and name in kept:
            weights.append(start.weights[at])
            bias.append(start.bias[at])
            chosen.append(start.choices[at])
            continue
        given = answers.of(name)
        known = given != UNKNOWN
        choice = None
        if choices is not None:
            choice = choices.get(name) or usual(int(known.sum()), 2)
        before = None if start is None or at is None else _alone(start, at)
        probe = fit_probe(vectors[known], _words(given[known]), choice=choice, start=before, seed=seed)
        weights.append(probe.weights[1] - probe.weights[0])  # of a softmax over no and yes
        bias.append(probe.bias[1] - probe.bias[0])
        chosen.append(probe.choice)
    return Probe(tuple(taught), np.stack(weights), np.array(bias, np.float32), 1.0, choices=tuple(chosen))


@dataclass(frozen=True)
class SeveralQuality:
    """How good the probe is on answers it was not fitted from; of the classes that could be judged."""

    classes: tuple[str, ...]
    given: np.ndarray  # (n, C) int8: what was said
    unseen: np.ndarray  # (n, C) float32: probabilities by probes that had not seen the answer, NaN where there is none
    folds: int
    lacking: dict[str, str]  # class → what is missing to judge it
    groups: np.ndarray  # (n,) pictures of one number show the same thing: they are right or wrong together

    def right(self, lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether each answer is as said (m,), where a class is predicted from `lines` (C,) on; and its row (m,)."""
        known = ~np.isnan(self.unseen)
        correct = (self.unseen >= lines) == (self.given == YES)
        return correct[known], np.nonzero(known)[0]


def assess_several(
    vectors: np.ndarray, answers: Answers, groups: np.ndarray | None = None, seed: int = 0
) -> SeveralQuality:
    """Cross-validated class by class. `groups` (n,) are kept together wherever a class has two of them.

    Raises TooFewLabels when no class can be judged.
    """
    unseen = np.full(answers.given.shape, np.nan, np.float32)
    folds, lacking = [], {}
    for column, name in enumerate(answers.classes):
        given = answers.given[:, column]
        known = given != UNKNOWN
        counts = {"of it": int((given == YES).sum()), "without it": int((given == NO).sum())}
        missing = [f"{2 - count} more {what}" for what, count in counts.items() if count < 2]
        if missing:
            lacking[name] = f"To measure how good {name!r} is, label {' and '.join(missing)}."
            continue
        words, apart = _words(given[known]), None if groups is None else groups[known]
        try:
            quality = assess(vectors[known], words, seed=seed, groups=apart)
        except TooFewLabels:  # all that is known of it shows one thing
            quality = assess(vectors[known], words, seed=seed)
        unseen[known, column] = quality.unseen[:, 1]
        folds.append(quality.folds)
    if not folds:
        raise TooFewLabels(" ".join(lacking.values()) or _lacking(answers))
    together = np.arange(len(answers)) if groups is None else groups
    return SeveralQuality(answers.classes, answers.given, unseen, min(folds), lacking, together)


def several_figures(quality: SeveralQuality, lines: np.ndarray) -> dict[str, Any]:
    """{accuracy, interval, per_class, reliability}: how often an answer is as said; each class has its line (C,)."""
    right, rows = quality.right(lines)
    per_class = []
    for column, name in enumerate(quality.classes):
        p, given = quality.unseen[:, column], quality.given[:, column]
        judged = ~np.isnan(p)
        said, true = p[judged] >= lines[column], given[judged] == YES
        hit, found, there = int((said & true).sum()), int(said.sum()), int(true.sum())
        groups = quality.groups[judged]
        per_class.append({
            "class": name, "labels": int((given == YES).sum()), "no": int((given == NO).sum()),
            "line": float(lines[column]),
            **share("precision", true[said], groups[said]), **share("recall", said[true], groups[true]),
            # rows: said no, said yes; columns: what the probe says
            "confusion": [[int((~said & ~true).sum()), found - hit], [there - hit, hit]],
            "note": quality.lacking.get(name),
        })  # fmt: skip
    known = ~np.isnan(quality.unseen)
    p, y = quality.unseen[known], (quality.given[known] == YES).astype(int)
    return {
        "accuracy": float(right.mean()), "interval": interval_of(right, quality.groups[rows]), "per_class": per_class,
        "reliability": reliability(np.stack([1 - p, p], axis=1), y, quality.groups[rows]),
    }  # fmt: skip


def without(quality: SeveralQuality, rows: np.ndarray) -> SeveralQuality:
    """The same without the answers about some pictures: `rows` (n,) bools."""
    unseen = quality.unseen.copy()
    unseen[rows] = np.nan
    return replace(quality, unseen=unseen)


def _words(given: np.ndarray) -> list[str]:
    return ["yes" if each == YES else "no" for each in given]


def _alone(probe: Probe, at: int) -> Probe:
    """One class of a probe as `fit_probe` has it: a softmax over no and yes."""
    half = probe.weights[at] / 2
    choice = probe.choices[at]
    bias = np.array([-probe.bias[at] / 2, probe.bias[at] / 2], np.float32)
    return Probe(("no", "yes"), np.stack([-half, half]), bias, choice.strength, choice.temperature)


def _lacking(answers: Answers) -> str:
    asked = [name for name in answers.classes if YES in answers.of(name)]
    if not asked:
        return "Say of some pictures that they are of a class (yes), and of some that they are not (no)."
    return f"Say of at least one picture that it is not {asked[0]!r} (no): what is not said of a class is unknown."
