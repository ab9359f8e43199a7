"""The labels that stand, kept up to date by reading only what the journal gained, and which images went or came back.

A book holds the labels of every image that had not left when it was last brought up to date, whatever the journal says
of those that had: so nothing depends on the moment at which an image leaves while the journal is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Engine, Select, bindparam, func, select

from indexer.catalog import Collection
from indexer.classes import NONE_OF_THESE, UNSURE
from indexer.images import gone_ids, portions
from indexer.schema import actions, classes, label_events

MANY = 20_000  # images that came back: from there on reading everything is as quick

_SINCE = (  # made once, for every request asks it
    select(actions.c.id, actions.c.kind)
    .where(actions.c.collection_id == bindparam("collection"), actions.c.id > bindparam("last"))
    .order_by(actions.c.id)
)
_SAID = (
    select(label_events.c.image_id, label_events.c.answer, classes.c.name)
    .join(classes, classes.c.id == label_events.c.class_id)
    .where(classes.c.removed_at.is_(None))
    .order_by(label_events.c.id)
)
_OF_IT = actions.c.collection_id == bindparam("collection")
_SAID_SINCE = _SAID.join(actions, actions.c.id == label_events.c.action_id).where(
    _OF_IT, actions.c.id > bindparam("last")
)
_NEWEST = select(func.max(label_events.c.id)).group_by(label_events.c.image_id, label_events.c.class_id)
_STANDING = _SAID.where(
    label_events.c.answer != "none",
    label_events.c.id.in_(_NEWEST.join(actions, actions.c.id == label_events.c.action_id).where(_OF_IT)),
)
_STANDING_OF_SOME = _SAID.where(
    label_events.c.answer != "none",
    label_events.c.id.in_(_NEWEST.where(label_events.c.image_id.in_(bindparam("images", expanding=True)))),
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
    several: bool = False  # whether it was read as of a collection whose images may have several classes
    gone: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # images that had left; sorted
    away: set[int] = field(default_factory=set)  # the same, to look one up: it takes long to make where many left
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
        told, self.told = self.told, None  # a reading that fails halfway is begun anew by the next
        toggled = self.several != collection.multi_label
        if told is not None and not fresh and not toggled and self.revision == collection.revision:
            self.told = told
            return told
        changed = toggled or any(kind == "classes" for _, kind in fresh)
        if told is None or changed:  # classes that change reach back to labels of any age
            self._read_all(engine, collection)
        else:
            if fresh:
                self._take(_rows(engine, _SAID_SINCE, collection=collection.id, last=self.last_action))
            if self.revision != collection.revision:
                self._follow(engine, collection)
        if fresh:
            self.last_action = fresh[-1][0]
        self.revision = collection.revision
        self.told = LabelBook(dict(self.classes), dict(self.answers), set(self.unsure), self.last_action, self.revision)
        return self.told

    def _read_all(self, engine: Engine, collection: Collection) -> None:
        self.classes, self.answers, self.unsure = {}, {}, set()
        self.several, self.gone = collection.multi_label, gone_ids(engine, collection)
        self.away = set(self.gone.tolist())
        self._take(_rows(engine, _STANDING, collection=collection.id))

    def _follow(self, engine: Engine, collection: Collection) -> None:
        """Leave out the images that went, and read what stands of those that came back."""
        gone = gone_ids(engine, collection)
        back = np.setdiff1d(self.gone, gone, assume_unique=True).tolist()
        if len(back) > MANY:
            self._read_all(engine, collection)
            return
        went = np.setdiff1d(gone, self.gone, assume_unique=True).tolist()
        for image_id in (*went, *back):
            self.classes.pop(image_id, None)
            self.answers.pop(image_id, None)
            self.unsure.discard(image_id)
        self.gone = gone
        self.away.difference_update(back)
        self.away.update(went)
        for part in portions(back):
            self._take(_rows(engine, _STANDING_OF_SOME, images=part))

    def _take(self, rows: Iterable[Any]) -> None:
        """Note answers, (image, answer, class) in the order in which they were given."""
        for image_id, answer, name in rows:
            if image_id in self.away:
                continue
            if name == UNSURE:
                (self.unsure.add if answer == "yes" else self.unsure.discard)(image_id)
            if self.several:
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


def _rows(engine: Engine, query: Select[Any], **values: Any) -> Iterable[Any]:
    with engine.connect() as connection:
        yield from connection.execute(query, values)


def _is(name: str, holds: Callable[[str], bool]) -> bool:
    return name != NONE_OF_THESE and holds(name)  # which is no class
