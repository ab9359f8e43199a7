"""The labels that stand, kept up to date by reading only what the journal gained since."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Engine, bindparam, select

from indexer.catalog import Collection, visible
from indexer.classes import NONE_OF_THESE, UNSURE
from indexer.labels import current_labels
from indexer.schema import actions, classes, images, label_events

_SINCE = (  # made once, for every request asks it
    select(actions.c.id, actions.c.kind)
    .where(actions.c.collection_id == bindparam("collection"), actions.c.id > bindparam("last"))
    .order_by(actions.c.id)
)


@dataclass
class LabelBook:
    """One collection's classes by image. For one thread at a time."""

    classes: dict[int, str] = field(default_factory=dict)  # image id → its class, or that it is none of these
    # Where images may have several: image id → class → yes or no; none of these is kept beside them, as a yes.
    answers: dict[int, dict[str, bool]] = field(default_factory=dict)
    unsure: set[int] = field(default_factory=set)  # images of which it was said that nobody can tell
    last_action: int = 0
    revision: int = -1
    told: LabelBook | None = None  # what the last reader was given; nobody changes it

    @property
    def labelled(self) -> int:
        """How many images have a class, or are said to have none."""
        return len(self.classes) + sum(any(given.values()) for given in self.answers.values())

    def ids_of(self, holds: Callable[[str], bool]) -> np.ndarray:
        """The ids (M,) of the images with a class whose name holds."""
        if self.answers:
            mine = (
                i for i, given in self.answers.items() if any(yes and _is(name, holds) for name, yes in given.items())
            )
            return np.fromiter(mine, np.int64)
        right = {name for name in set(self.classes.values()) if _is(name, holds)}
        return np.fromiter((i for i, name in self.classes.items() if name in right), np.int64)

    def answered(self) -> np.ndarray:
        """The ids (M,) of the images with a class, or said to be none of these or unsure; some of them twice."""
        classed = (i for i, given in self.answers.items() if any(given.values()))
        return np.fromiter((*self.classes, *classed, *self.unsure), np.int64)

    def read(self, engine: Engine, collection: Collection) -> LabelBook:
        """A book as the labels are now; this one is brought up to date and stays with whoever holds it."""
        with engine.connect() as connection:
            fresh = connection.execute(_SINCE, {"collection": collection.id, "last": self.last_action}).all()
        if self.told is not None and not fresh and self.revision == collection.revision:
            return self.told
        # Classes that change, and images that come or go, reach back to labels of any age.
        if self.revision != collection.revision or any(kind == "classes" for _, kind in fresh):
            self._read_all(engine, collection)
        elif fresh:
            self._read_since(engine, collection)
        if fresh:
            self.last_action = fresh[-1][0]
        self.revision = collection.revision
        self.told = LabelBook(dict(self.classes), dict(self.answers), set(self.unsure), self.last_action, self.revision)
        return self.told

    def _read_all(self, engine: Engine, collection: Collection) -> None:
        labels = current_labels(engine, collection)
        self.classes, self.answers = {}, {}
        self.unsure = {x.image_id for x in labels if x.answer == "unsure" and not x.class_name}
        if collection.multi_label:
            for x in labels:
                if x.answer in ("yes", "no", "none_of_these"):
                    given = self.answers.setdefault(x.image_id, {})
                    given[x.class_name or NONE_OF_THESE] = x.answer != "no"
            return
        self.classes = {x.image_id: x.class_name for x in labels if x.answer == "yes"}
        self.classes |= {x.image_id: NONE_OF_THESE for x in labels if x.answer == "none_of_these"}

    def _read_since(self, engine: Engine, collection: Collection) -> None:
        query = (
            select(label_events.c.image_id, label_events.c.answer, classes.c.name)
            .join(actions, actions.c.id == label_events.c.action_id)
            .join(images, images.c.id == label_events.c.image_id)
            .join(classes, classes.c.id == label_events.c.class_id)
            .where(actions.c.collection_id == collection.id, actions.c.id > self.last_action)
            .where(visible(collection.id), classes.c.removed_at.is_(None))
            .order_by(label_events.c.id)
        )
        with engine.connect() as connection:
            for image_id, answer, name in connection.execute(query):
                if name == UNSURE:
                    (self.unsure.add if answer == "yes" else self.unsure.discard)(image_id)
                if collection.multi_label:
                    # Another dictionary, for books that were handed out share the one before.
                    given = {of: said for of, said in self.answers.pop(image_id, {}).items() if of != name}
                    if answer in ("yes", "no") and name != UNSURE:
                        given[name] = answer == "yes"
                    if given:
                        self.answers[image_id] = given
                elif answer == "yes" and name != UNSURE:
                    self.classes[image_id] = name
                elif self.classes.get(image_id) == name:
                    del self.classes[image_id]


def _is(name: str, holds: Callable[[str], bool]) -> bool:
    return name != NONE_OF_THESE and holds(name)  # which is no class
