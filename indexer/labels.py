"""Labels: an append-only journal of answers, and the current labels as a view of it.

An *action* is what one gesture did: any number of events, each an answer (yes, no, unsure, none) about one image and
one class together with the one before it. Undo and redo are actions too, so nothing is ever rewritten or lost.
An image has at most one class with the answer yes. "None of these" and "unsure", said of no class in particular, are
kept like classes, so that a class takes their place and they take a class's; `current_labels` shows them as answers.
"""

from __future__ import annotations

from collections.abc import Collection as Collection_
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Select, bindparam, func, select

from indexer.catalog import Collection, lock_writes, visible
from indexer.classes import NONE_OF_THESE, OWN_ANSWERS, ensure_class
from indexer.errors import NoSuchImage
from indexer.schema import actions, classes, images, label_events, now
from model.errors import BadInput

Answer = Literal["yes", "no", "unsure", "none", "none_of_these"]
ANSWERS = ("yes", "no", "unsure", "none")
FEW = 500  # up to here a query names the images; beyond, reading them all is quicker and no limit of SQL is met


@dataclass(frozen=True)
class Label:
    """The current answer about one image and one class; the class is empty where the answer is about all of them."""

    image_id: int
    class_name: str
    answer: Answer
    at: str
    source: str


@dataclass(frozen=True)
class Change:
    """What an action did: its id and how many answers it changed. Action 0 changed nothing and was not recorded."""

    action: int
    changed: int


def label(
    engine: Engine,
    collection: Collection,
    image_ids: Sequence[int],
    class_name: str | None,
    answer: Answer,
    source: str,
    by: str | None = None,
) -> Change:
    """Give one answer about one class for some images; durable when this returns. An unknown class is made.

    Without a class the answer is about all of them: none_of_these, unsure, or none, which takes every answer away.
    """
    if class_name is None and answer == "none":
        return clear(engine, collection, source, by, image_ids)
    if class_name is None and answer in OWN_ANSWERS:
        class_name, answer = OWN_ANSWERS[answer], "yes"
    elif class_name in OWN_ANSWERS.values() and answer not in ("yes", "none"):
        raise BadInput(f"{class_name!r} is an answer of its own: it is given (yes) or taken away (none).")
    if class_name is None or answer not in ANSWERS:
        raise BadInput("Say yes, no, unsure or none of a class; or, without a class, none_of_these, unsure or none.")
    return label_each(engine, collection, dict.fromkeys(image_ids, class_name), source, answer, by)


def label_each(
    engine: Engine,
    collection: Collection,
    of: Mapping[int, str],
    source: str,
    answer: Answer = "yes",
    by: str | None = None,
) -> Change:
    """Give each image an answer about a class of its own (a CSV, folders), as one action."""
    with engine.begin() as connection:
        lock_writes(connection)
        _check_images(connection, collection, of)
        ids = {name: ensure_class(connection, collection, name) for name in dict.fromkeys(of.values())}
        current = answers_of(connection, collection, of)
        wanted: dict[tuple[int, int], str] = {}
        for image_id, name in of.items():
            if answer == "yes":
                for class_id, given in current.get(image_id, {}).items():
                    if given == "yes" and class_id != ids[name]:
                        wanted[image_id, class_id] = "none"  # one class an image
            wanted[image_id, ids[name]] = answer
        return record(connection, collection, "label", wanted, current, source, by=by)


def label_unlabelled(engine: Engine, collection: Collection, of: Mapping[int, str], source: str) -> int:
    """As `label_each`, for the images without any answer yet; returns how many there were."""
    answered = {item.image_id for item in current_labels(engine, collection)}
    with engine.connect() as connection:
        present = set(connection.execute(select(images.c.id).where(visible(collection.id))).scalars())
    fresh = {image_id: name for image_id, name in of.items() if image_id in present - answered}
    if fresh:
        label_each(engine, collection, fresh, source)
    return len(fresh)


def clear(
    engine: Engine,
    collection: Collection,
    source: str,
    by: str | None = None,
    image_ids: Sequence[int] | None = None,
) -> Change:
    """Take every answer of a collection, or of some images, away, as one action that can be undone."""
    with engine.begin() as connection:
        lock_writes(connection)
        if image_ids is not None:
            _check_images(connection, collection, image_ids)
        current = answers_of(connection, collection, image_ids)
        those = current if image_ids is None else {i: current[i] for i in set(image_ids) & set(current)}
        wanted = {(image_id, class_id): "none" for image_id, given in those.items() for class_id in given}
        return record(connection, collection, "label", wanted, current, source, by=by)


def move_answers(connection: Connection, collection: Collection, old: int, new: int) -> int:
    """Within a transaction: the images of class `old` become ones of class `new`. Returns how many they were."""
    current = answers_of(connection, collection)
    wanted: dict[tuple[int, int], str] = {}
    for image_id, given in current.items():
        if old in given:
            wanted[image_id, old] = "none"
            if given[old] == "yes" or new not in given:
                wanted[image_id, new] = given[old]
    record(connection, collection, "label", wanted, current, "merge")
    return sum(current[image_id][old] == "yes" for image_id, class_id in wanted if class_id == old)


def last_action(engine: Engine, collection: Collection) -> int:
    """The newest action's id, 0 before the first: what a fitted probe remembers to know whether it is current."""
    with engine.connect() as connection:
        query = select(func.max(actions.c.id)).where(actions.c.collection_id == collection.id)
        return connection.execute(query).scalar() or 0


def current_labels(engine: Engine, collection: Collection, image_ids: Sequence[int] | None = None) -> list[Label]:
    """The answers that stand, of images in the collection, oldest first."""
    with engine.connect() as connection:
        rows = connection.execute(*_asked(_SHOWN, _SHOWN_OF_SOME, collection, image_ids)).all()
    return [
        Label(r.image_id, *_shown(r.kind, r.name, r.answer), r.created_at, r.source) for r in rows if r.answer != "none"
    ]


def _shown(kind: str, name: str, answer: Answer) -> tuple[str, Answer]:
    """(class, answer): of a class, or an answer of its own."""
    if kind == "class" or answer == "none":
        return name, answer
    return "", "none_of_these" if name == NONE_OF_THESE else "unsure"


def history(engine: Engine, image_id: int) -> list[dict[str, Any]]:
    """Every answer ever given about an image, newest first: {class, answer, at, source, by}."""
    query = (
        select(
            classes.c.name,
            classes.c.kind.label("of"),
            label_events.c.answer,
            actions.c.created_at,
            actions.c.source,
            actions.c.given_by,
            actions.c.kind,
        )
        .join(actions, actions.c.id == label_events.c.action_id)
        .join(classes, classes.c.id == label_events.c.class_id)
        .where(label_events.c.image_id == image_id)
        .order_by(label_events.c.id.desc())
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return [
        {
            "class": _shown(r.of, r.name, r.answer)[0] or None,
            "answer": _shown(r.of, r.name, r.answer)[1],
            "at": r.created_at,
            "source": r.source if r.kind == "label" else r.kind,
            "by": r.given_by,
        }
        for r in rows
    ]


def _current(some: bool) -> Select[Any]:
    """The newest answer about each image and class, of `some` images or all, those of removed classes included."""
    newest = select(func.max(label_events.c.id)).group_by(label_events.c.image_id, label_events.c.class_id)
    if some:
        newest = newest.where(label_events.c.image_id.in_(bindparam("images", expanding=True)))
    else:
        of_it = actions.c.collection_id == bindparam("collection")
        newest = newest.join(actions, actions.c.id == label_events.c.action_id).where(of_it)
    return (
        select(
            label_events.c.image_id,
            label_events.c.class_id,
            label_events.c.answer,
            classes.c.name,
            classes.c.kind,
            actions.c.created_at,
            actions.c.source,
        )
        .join(images, images.c.id == label_events.c.image_id)
        .join(classes, classes.c.id == label_events.c.class_id)
        .join(actions, actions.c.id == label_events.c.action_id)
        .where(label_events.c.id.in_(newest), images.c.collection_id == bindparam("collection"))
    )


def _shown_only(query: Select[Any]) -> Select[Any]:
    """Those of images that are here, about classes that are, oldest first."""
    here = images.c.removed_at.is_(None) & images.c.absent_at.is_(None) & classes.c.removed_at.is_(None)
    return query.where(here).order_by(label_events.c.id)


# Made once: every list and every search asks, and putting them together takes longer than answering them.
_ANSWERS, _ANSWERS_OF_SOME = _current(False), _current(True)
_SHOWN, _SHOWN_OF_SOME = _shown_only(_ANSWERS), _shown_only(_ANSWERS_OF_SOME)


def _asked(
    of_all: Select[Any], of_some: Select[Any], collection: Collection, image_ids: Collection_[int] | None
) -> tuple[Select[Any], dict[str, Any]]:
    """The query to ask, and its parameters."""
    if image_ids is None or len(image_ids) > FEW:
        return of_all, {"collection": collection.id}
    return of_some, {"collection": collection.id, "images": list(image_ids)}


def answers_of(
    connection: Connection, collection: Collection, image_ids: Collection_[int] | None = None
) -> dict[int, dict[int, str]]:
    """Image id → class id → the answer that stands, at least for `image_ids`.

    Removed classes count: they come back with their answers, and an image must not have two classes then.
    """
    found: dict[int, dict[int, str]] = {}
    for row in connection.execute(*_asked(_ANSWERS, _ANSWERS_OF_SOME, collection, image_ids)):
        if row.answer != "none":
            found.setdefault(row.image_id, {})[row.class_id] = row.answer
    return found


def record(
    connection: Connection,
    collection: Collection,
    kind: str,
    wanted: Mapping[tuple[int, int], str],
    current: Mapping[int, Mapping[int, str]],
    source: str,
    of_action: int | None = None,
    by: str | None = None,
) -> Change:
    """Append one action with an event for every answer that differs from the one that stands."""
    changes = [
        {"image_id": image_id, "class_id": class_id, "answer": answer, "previous": before}
        for (image_id, class_id), answer in wanted.items()
        if (before := current.get(image_id, {}).get(class_id, "none")) != answer
    ]
    if not changes and kind == "label":
        return Change(0, 0)
    action = connection.execute(
        actions.insert()
        .values(
            collection_id=collection.id, kind=kind, of_action=of_action, source=source, created_at=now(), given_by=by
        )
        .returning(actions.c.id)
    ).scalar_one()
    if changes:
        connection.execute(label_events.insert(), [{"action_id": action, **change} for change in changes])
    return Change(action, len(changes))


def _check_images(connection: Connection, collection: Collection, image_ids: Iterable[int]) -> None:
    wanted = set(image_ids)
    query = select(images.c.id).where(visible(collection.id))
    if len(wanted) <= FEW:
        query = query.where(images.c.id.in_(wanted))
    present = set(connection.execute(query).scalars())
    if missing := wanted - present:
        raise NoSuchImage(f"Image {min(missing)} is not in {collection.name!r}.")
