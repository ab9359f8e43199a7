"""Taking the classifier's word for many images at once: each gets the class that it is predicted to have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from app.engine import Engine
from app.fitted import Prediction
from indexer.catalog import Collection
from indexer.labels import current_labels


def acceptable(engine: Engine, collection: Collection, ids: Sequence[int]) -> dict[int, Prediction]:
    """What could be accepted of `ids`, the least sure first: those to look at before it is done.

    Left out are images that are like nothing labelled, for their class is a guess, and those that have it already.
    Raises `TooFewLabels`, `NoIndex`, `DamagedIndex`.
    """
    said = engine.probes.said_of(engine.probes.fitted(collection), np.unique(np.array(ids, np.int64)))
    labels = current_labels(engine.workspace.engine, collection, list(said))
    if collection.multi_label:  # the classes above their lines of which nothing was said
        answered = {(x.image_id, x.class_name) for x in labels}
        said = {
            i: replace(p, classes=tuple(each for each in p.classes or () if not {(i, each[0]), (i, "")} & answered))
            for i, p in said.items()
        }
        found = [(i, p) for i, p in said.items() if p.fits and p.classes]
        return dict(sorted(found, key=lambda pair: (min(x for _, x in pair[1].classes or ()), pair[0])))
    given = {x.image_id: x.class_name for x in labels if x.answer == "yes"}
    new = [(i, p) for i, p in said.items() if p.fits and given.get(i) != p.class_name]
    return dict(sorted(new, key=lambda pair: (pair[1].probability, pair[0])))


def expected_wrong(said: dict[int, Prediction]) -> float:
    """How many of them would be wrong, if the probabilities are right."""
    return round(sum(1 - sure for p in said.values() for _, sure in accepted(p)), 2)


def accepted(said: Prediction) -> tuple[tuple[str, float], ...]:
    """The classes that an image gets, each with its probability."""
    return ((said.class_name, said.probability),) if said.classes is None else said.classes
