"""Taking the classifier's word for many images at once: each gets the class that it is predicted to have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from app.engine import Engine
from app.fitted import Prediction
from indexer.catalog import Collection
from indexer.errors import NotAsSeen
from indexer.journal import Change
from indexer.labels import Answer, Standing, answer_each, current_labels


@dataclass(frozen=True)
class Acceptable:
    """What could be accepted, the least sure first: those to look at before it is done."""

    said: dict[int, Prediction]
    left_alone: int  # images predicted to be what an answer that stands does not say: nobody's answer is replaced

    @property
    def classes(self) -> Counter[str]:
        return Counter(name for p in self.said.values() for name, _ in _given(p))

    @property
    def expected_wrong(self) -> float:
        """How many answers would be wrong, if the probabilities are right."""
        return round(sum(1 - sure for p in self.said.values() for _, sure in _given(p)), 2)

    @property
    def seen(self) -> str:
        """A name for exactly these images with exactly these classes."""
        return sha256(repr(sorted((i, sorted(of)) for i, of in self.answers.items())).encode()).hexdigest()[:32]

    @property
    def answers(self) -> dict[int, dict[str, Answer]]:
        return {i: {name: "yes" for name, _ in _given(p)} for i, p in self.said.items()}


def acceptable(engine: Engine, collection: Collection, ids: Sequence[int]) -> Acceptable:
    """What could be accepted of `ids`.

    Left out are images that are like nothing labelled, for their class is a guess, and those of which something was
    said already: a class, "none of these", "unsure", or a no to the class that is predicted.
    Raises `TooFewLabels`, `NoIndex`, `DamagedIndex`.
    """
    said = engine.probes.said_of(engine.probes.fitted(collection), np.unique(np.array(ids, np.int64)))
    labels = current_labels(engine.workspace.engine, collection, list(said))
    standing = Standing.of(labels, collection.multi_label)
    agreed = {(x.image_id, x.class_name) for x in labels if x.answer == "yes"}
    found: dict[int, Prediction] = {}
    left_alone = 0
    for i, p in said.items():
        if not p.fits:
            continue
        left_alone += any(not standing.leaves_open(i, name) and (i, name) not in agreed for name, _ in _given(p))
        if collection.multi_label:
            p = replace(p, classes=tuple(each for each in p.classes or () if standing.leaves_open(i, each[0])))
        if any(standing.leaves_open(i, name) for name, _ in _given(p)):
            found[i] = p
    return Acceptable(
        dict(sorted(found.items(), key=lambda pair: (min(x for _, x in _given(pair[1])), pair[0]))), left_alone
    )


def accept(
    engine: Engine, collection: Collection, found: Acceptable, source: str, by: str | None, seen: str | None
) -> Change:
    """Give each image its predicted classes, as one action: 0 where there was nothing to give.

    With `seen` of a preview, only if it would do exactly what that one said; raises `NotAsSeen` otherwise.
    """
    if seen is not None and seen != found.seen:
        raise NotAsSeen("Labels or predictions have changed since you looked: look again, then accept.")
    if not found.said:
        return Change(0, 0)
    return answer_each(engine.workspace.engine, collection, found.answers, source, by, open_only=True)


def _given(said: Prediction) -> tuple[tuple[str, float], ...]:
    """The classes that an image gets, each with its probability."""
    return ((said.class_name, said.probability),) if said.classes is None else said.classes
