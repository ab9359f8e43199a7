"""Labels: an append-only journal of answers, and the current labels as a view of it.

An *action* is what one gesture did: any number of events, each an answer (yes, no, unsure, none) about one image and
one class together with the one before it. Undo and redo are actions too, so nothing is ever rewritten or lost.
An image has at most one class with the answer yes.
"""

from __future__ import annotations

from collections.abc import Collection as Collection_
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Select, func, select, text

from indexer.catalog import Collection, visible
from indexer.errors import NoSuchClass, NoSuchImage, NothingToUndo
from indexer.schema import actions, classes, images, label_events, now
from model.errors import BadInput

Answer = Literal["yes", "no", "unsure", "none"]
ANSWERS = ("yes", "no", "unsure", "none")
# Okabe and Ito's eight colours (2008), told apart by colour-blind eyes too; black left out.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#8C6BB1", "#7F7F7F")
LONGEST_NAME = 100
FEW = 500  # up to here a query names the images; beyond, reading them all is quicker and no limit of SQL is met


@dataclass(frozen=True)
class Class:
    id: int
    name: str
    colour: str


@dataclass(frozen=True)
class Label:
    """The current answer about one image and one class."""

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
    engine: Engine, collection: Collection, image_ids: Sequence[int], class_name: str, answer: Answer, source: str
) -> Change:
    """Give one answer about one class for some images; durable when this returns. An unknown class is made."""
    if answer not in ANSWERS:
        raise BadInput(f"{answer!r} is not an answer: use yes, no, unsure or none.")
    return label_each(engine, collection, dict.fromkeys(image_ids, class_name), source, answer)


def label_each(
    engine: Engine, collection: Collection, of: Mapping[int, str], source: str, answer: Answer = "yes"
) -> Change:
    """Give each image an answer about a class of its own (a CSV, folders), as one action."""
    with engine.begin() as connection:
        lock_writes(connection)
        _check_images(connection, collection, of)
        ids = {name: _ensure_class(connection, collection, name) for name in dict.fromkeys(of.values())}
        current = _answers(connection, collection, of)
        wanted: dict[tuple[int, int], str] = {}
        for image_id, name in of.items():
            if answer == "yes":
                for class_id, given in current.get(image_id, {}).items():
                    if given == "yes" and class_id != ids[name]:
                        wanted[image_id, class_id] = "none"  # one class an image
            wanted[image_id, ids[name]] = answer
        return _record(connection, collection, "label", wanted, current, source)


def label_unlabelled(engine: Engine, collection: Collection, of: Mapping[int, str], source: str) -> int:
    """As `label_each`, for the images without any answer yet; returns how many there were."""
    answered = {item.image_id for item in current_labels(engine, collection)}
    with engine.connect() as connection:
        present = set(connection.execute(select(images.c.id).where(visible(collection.id))).scalars())
    fresh = {image_id: name for image_id, name in of.items() if image_id in present - answered}
    if fresh:
        label_each(engine, collection, fresh, source)
    return len(fresh)


def clear(engine: Engine, collection: Collection, source: str) -> Change:
    """Take every answer of a collection away, as one action that can be undone."""
    with engine.begin() as connection:
        lock_writes(connection)
        current = _answers(connection, collection)
        wanted = {(image_id, class_id): "none" for image_id, given in current.items() for class_id in given}
        return _record(connection, collection, "label", wanted, current, source)


def undo(engine: Engine, collection: Collection) -> Change:
    """Take the newest standing action back."""
    return _revert(engine, collection, "undo")


def redo(engine: Engine, collection: Collection) -> Change:
    """Do the action that was taken back last again."""
    return _revert(engine, collection, "redo")


def can_undo_redo(engine: Engine, collection: Collection) -> tuple[bool, bool]:
    with engine.connect() as connection:
        standing, undone = _stacks(connection, collection)
    return bool(standing), bool(undone)


def last_action(engine: Engine, collection: Collection) -> int:
    """The newest action's id, 0 before the first: what a fitted probe remembers to know whether it is current."""
    with engine.connect() as connection:
        query = select(func.max(actions.c.id)).where(actions.c.collection_id == collection.id)
        return connection.execute(query).scalar() or 0


def current_labels(engine: Engine, collection: Collection, image_ids: Sequence[int] | None = None) -> list[Label]:
    """The answers that stand, of images in the collection, oldest first."""
    query = _current(collection, image_ids).order_by(label_events.c.id)
    with engine.connect() as connection:
        rows = connection.execute(query.where(visible(collection.id), classes.c.removed_at.is_(None))).all()
    return [Label(r.image_id, r.name, r.answer, r.created_at, r.source) for r in rows if r.answer != "none"]


def history(engine: Engine, image_id: int) -> list[dict[str, Any]]:
    """Every answer ever given about an image, newest first: {class, answer, at, source}."""
    query = (
        select(classes.c.name, label_events.c.answer, actions.c.created_at, actions.c.source, actions.c.kind)
        .join(actions, actions.c.id == label_events.c.action_id)
        .join(classes, classes.c.id == label_events.c.class_id)
        .where(label_events.c.image_id == image_id)
        .order_by(label_events.c.id.desc())
    )
    with engine.connect() as connection:
        return [
            {
                "class": r.name,
                "answer": r.answer,
                "at": r.created_at,
                "source": r.source if r.kind == "label" else r.kind,
            }
            for r in connection.execute(query)
        ]


def all_classes(engine: Engine, collection: Collection) -> list[Class]:
    """The classes in the order they were made: the first nine answer to the keys 1 to 9."""
    query = select(classes.c.id, classes.c.name, classes.c.colour).where(
        classes.c.collection_id == collection.id, classes.c.removed_at.is_(None)
    )
    with engine.connect() as connection:
        return [Class(*row) for row in connection.execute(query.order_by(classes.c.id))]


def create_class(engine: Engine, collection: Collection, name: str, colour: str | None = None) -> Class:
    """Make a class, or return the one of that name."""
    with engine.begin() as connection:
        lock_writes(connection)
        class_id = _ensure_class(connection, collection, name, colour)
    return next(item for item in all_classes(engine, collection) if item.id == class_id)


def update_class(engine: Engine, collection: Collection, name: str, new_name: str | None, colour: str | None) -> Class:
    """Change the name or the colour of a class; its answers stay."""
    found = class_named(engine, collection, name)
    changed = Class(found.id, found.name if new_name is None else _checked(new_name), colour or found.colour)
    with engine.begin() as connection:
        lock_writes(connection)
        others = select(classes.c.name).where(classes.c.collection_id == collection.id, classes.c.id != found.id)
        if changed.name in connection.execute(others).scalars().all():
            raise BadInput(f"A class cannot be renamed to {changed.name!r}: another class has, or had, that name.")
        values = {"name": changed.name, "colour": changed.colour}
        connection.execute(classes.update().where(classes.c.id == found.id).values(**values))
        _note_classes(connection, collection)
    return changed


def remove_class(engine: Engine, collection: Collection, name: str) -> None:
    """Hide a class. Its answers stay in the journal, and come back with a class of the same name."""
    found = class_named(engine, collection, name)
    with engine.begin() as connection:
        connection.execute(classes.update().where(classes.c.id == found.id).values(removed_at=now()))
        _note_classes(connection, collection)


def _note_classes(connection: Connection, collection: Collection) -> None:
    """Let the journal show that classes changed, or a fitted probe would go on offering the old ones."""
    values = {"collection_id": collection.id, "kind": "classes", "source": "hand", "created_at": now()}
    connection.execute(actions.insert().values(**values))


def class_named(engine: Engine, collection: Collection, name: str) -> Class:
    for item in all_classes(engine, collection):
        if item.name == name:
            return item
    raise NoSuchClass(f"There is no class {name!r} in {collection.name!r}.")


def lock_writes(connection: Connection) -> None:
    """Be the only writer of the journal until this transaction ends: reading, then appending, must not interleave."""
    if connection.dialect.name == "sqlite":
        connection.execute(text("UPDATE alembic_version SET version_num = version_num"))  # takes SQLite's write lock
    else:
        connection.execute(text("LOCK TABLE actions IN EXCLUSIVE MODE"))


def _current(collection: Collection, image_ids: Collection_[int] | None = None) -> Select[Any]:
    """The newest answer about each image and class, those of removed classes included."""
    newest = (
        select(func.max(label_events.c.id))
        .join(images, images.c.id == label_events.c.image_id)
        .where(images.c.collection_id == collection.id)
        .group_by(label_events.c.image_id, label_events.c.class_id)
    )
    if image_ids is not None and len(image_ids) <= FEW:
        newest = newest.where(label_events.c.image_id.in_(list(image_ids)))
    return (
        select(
            label_events.c.image_id,
            label_events.c.class_id,
            label_events.c.answer,
            classes.c.name,
            actions.c.created_at,
            actions.c.source,
        )
        .join(images, images.c.id == label_events.c.image_id)
        .join(classes, classes.c.id == label_events.c.class_id)
        .join(actions, actions.c.id == label_events.c.action_id)
        .where(label_events.c.id.in_(newest))
    )


def _answers(
    connection: Connection, collection: Collection, image_ids: Collection_[int] | None = None
) -> dict[int, dict[int, str]]:
    """Image id → class id → the answer that stands, at least for `image_ids`.

    Removed classes count: they come back with their answers, and an image must not have two classes then.
    """
    found: dict[int, dict[int, str]] = {}
    for row in connection.execute(_current(collection, image_ids)):
        if row.answer != "none":
            found.setdefault(row.image_id, {})[row.class_id] = row.answer
    return found


def _record(
    connection: Connection,
    collection: Collection,
    kind: str,
    wanted: Mapping[tuple[int, int], str],
    current: Mapping[int, Mapping[int, str]],
    source: str,
    of_action: int | None = None,
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
        .values(collection_id=collection.id, kind=kind, of_action=of_action, source=source, created_at=now())
        .returning(actions.c.id)
    ).scalar_one()
    if changes:
        connection.execute(label_events.insert(), [{"action_id": action, **change} for change in changes])
    return Change(action, len(changes))


def _revert(engine: Engine, collection: Collection, kind: str) -> Change:
    with engine.begin() as connection:
        lock_writes(connection)
        standing, undone = _stacks(connection, collection)
        stack = standing if kind == "undo" else undone
        if not stack:
            raise NothingToUndo("There is nothing to undo." if kind == "undo" else "There is nothing to do again.")
        action = stack[-1]
        column = label_events.c.previous if kind == "undo" else label_events.c.answer
        events = connection.execute(
            select(label_events.c.image_id, label_events.c.class_id, column).where(label_events.c.action_id == action)
        )
        wanted = {(image_id, class_id): answer for image_id, class_id, answer in events}
        return _record(connection, collection, kind, wanted, _answers(connection, collection), "hand", of_action=action)


def _stacks(connection: Connection, collection: Collection) -> tuple[list[int], list[int]]:
    """The label actions that stand and those taken back, each newest last."""
    standing: list[int] = []
    undone: list[int] = []
    query = select(actions.c.id, actions.c.kind).where(actions.c.collection_id == collection.id).order_by(actions.c.id)
    for action, kind in connection.execute(query):
        if kind == "label":
            standing.append(action)
            undone.clear()  # as in every editor: a new action ends what could be done again
        elif kind == "undo":
            undone.append(standing.pop())
        elif kind == "redo":
            standing.append(undone.pop())
    return standing, undone


def _ensure_class(connection: Connection, collection: Collection, name: str, colour: str | None = None) -> int:
    name = _checked(name)
    rows = connection.execute(
        select(classes.c.id, classes.c.name, classes.c.removed_at).where(classes.c.collection_id == collection.id)
    ).all()
    for row in rows:
        if row.name == name:
            if row.removed_at is not None:
                connection.execute(classes.update().where(classes.c.id == row.id).values(removed_at=None))
                _note_classes(connection, collection)
            return row.id
    values = {
        "collection_id": collection.id,
        "name": name,
        "colour": colour or COLOURS[len(rows) % len(COLOURS)],
        "created_at": now(),
    }
    return connection.execute(classes.insert().values(**values).returning(classes.c.id)).scalar_one()


def _checked(name: str) -> str:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise BadInput(f"A class needs a name of 1 to {LONGEST_NAME} printable characters.")
    return name


def _check_images(connection: Connection, collection: Collection, image_ids: Iterable[int]) -> None:
    wanted = set(image_ids)
    query = select(images.c.id).where(visible(collection.id))
    if len(wanted) <= FEW:
        query = query.where(images.c.id.in_(wanted))
    present = set(connection.execute(query).scalars())
    if missing := wanted - present:
        raise NoSuchImage(f"Image {min(missing)} is not in {collection.name!r}.")
