"""Classes of a collection: their names and colours. A removed one is only hidden, for the journal knows its answers."""

from __future__ import annotations

from collections.abc import Collection as Collection_
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select

from indexer.catalog import Collection, lock_writes
from indexer.errors import NoSuchClass
from indexer.schema import actions, classes, now
from model.errors import BadInput

# Okabe and Ito's eight colours (2008), told apart by colour-blind eyes too; black left out.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#8C6BB1", "#7F7F7F")
LONGEST_NAME = 100
NONE_OF_THESE, UNSURE = "none of these", "unsure"  # answers of their own: kept like classes, and shown as none
OWN_ANSWERS = {"none_of_these": NONE_OF_THESE, "unsure": UNSURE}


@dataclass(frozen=True)
class Class:
    id: int
    name: str
    colour: str
    line: float | None = None  # the probability from which on it is predicted, where an image may have several classes


def all_classes(engine: Engine, collection: Collection) -> list[Class]:
    """The classes in the order they were made: the first nine answer to the keys 1 to 9."""
    query = select(classes.c.id, classes.c.name, classes.c.colour, classes.c.line).where(
        classes.c.collection_id == collection.id, classes.c.removed_at.is_(None), classes.c.kind == "class"
    )
    with engine.connect() as connection:
        return [Class(*row) for row in connection.execute(query.order_by(classes.c.id))]


def create_class(engine: Engine, collection: Collection, name: str, colour: str | None = None) -> Class:
    """Make a class, or return the one of that name."""
    _not_reserved(name)
    with engine.begin() as connection:
        lock_writes(connection)
        class_id = ensure_class(connection, collection, name, colour)
    return next(item for item in all_classes(engine, collection) if item.id == class_id)


def update_class(
    engine: Engine,
    collection: Collection,
    name: str,
    new_name: str | None,
    colour: str | None,
    line: float | None = None,
) -> Class:
    """Change the name, the colour or the line of a class; its answers stay."""
    if line is not None and not collection.multi_label:
        raise BadInput(f"Pictures of {collection.name!r} have one class, the most probable: there is no line to set.")
    found = class_named(engine, collection, name)
    if new_name is not None:
        _not_reserved(new_name)
    own_name = found.name if new_name is None else _checked(new_name)
    changed = Class(found.id, own_name, colour or found.colour, found.line if line is None else line)
    with engine.begin() as connection:
        lock_writes(connection)
        others = select(classes.c.name).where(classes.c.collection_id == collection.id, classes.c.id != found.id)
        if changed.name in connection.execute(others).scalars().all():
            raise BadInput(f"A class cannot be renamed to {changed.name!r}: another class has, or had, that name.")
        values = {"name": changed.name, "colour": changed.colour, "line": changed.line}
        connection.execute(classes.update().where(classes.c.id == found.id).values(**values))
        note_change(connection, collection)
    return changed


def remove_class(engine: Engine, collection: Collection, name: str) -> None:
    """Hide a class. Its answers stay in the journal, and come back with a class of the same name."""
    found = class_named(engine, collection, name)
    with engine.begin() as connection:
        connection.execute(classes.update().where(classes.c.id == found.id).values(removed_at=now()))
        note_change(connection, collection)


def merge_class(engine: Engine, collection: Collection, name: str, into: str) -> int:
    """Give every image of one class to another and hide the emptied one, as one action; undo brings both back.

    Returns how many images changed their class.
    """
    from indexer.labels import move_answers  # which builds on this module

    old, new = class_named(engine, collection, name), class_named(engine, collection, into)
    if old.id == new.id:
        raise BadInput(f"{name!r} cannot be merged into itself: name another class.")
    with engine.begin() as connection:
        lock_writes(connection)
        moved = move_answers(connection, collection, old.id, new.id)
        connection.execute(classes.update().where(classes.c.id == old.id).values(removed_at=now()))
        note_change(connection, collection)
    return moved


def class_named(engine: Engine, collection: Collection, name: str) -> Class:
    for item in all_classes(engine, collection):
        if item.name == name:
            return item
    raise NoSuchClass(f"There is no class {name!r} in {collection.name!r}.")


def ensure_class(connection: Connection, collection: Collection, name: str, colour: str | None = None) -> int:
    """The id of the class of that name, made or brought back when there is none."""
    name = _checked(name)
    rows = connection.execute(
        select(classes.c.id, classes.c.name, classes.c.removed_at, classes.c.kind).where(
            classes.c.collection_id == collection.id
        )
    ).all()
    for row in rows:
        if row.name == name:
            if row.removed_at is not None:
                connection.execute(classes.update().where(classes.c.id == row.id).values(removed_at=None))
                note_change(connection, collection)
            return row.id
    values = {
        "collection_id": collection.id,
        "name": name,
        "colour": colour or COLOURS[sum(row.kind == "class" for row in rows) % len(COLOURS)],
        "created_at": now(),
        "kind": "answer" if name in OWN_ANSWERS.values() else "class",
    }
    return connection.execute(classes.insert().values(**values).returning(classes.c.id)).scalar_one()


def bring_back(connection: Connection, collection: Collection, class_ids: Collection_[int]) -> None:
    """Show these classes again where they were hidden."""
    hidden = classes.c.id.in_(list(class_ids)) & classes.c.removed_at.is_not(None)
    if class_ids and connection.execute(classes.update().where(hidden).values(removed_at=None)).rowcount:
        note_change(connection, collection)


def hide(connection: Connection, collection: Collection, class_ids: Collection_[int]) -> None:
    """Hide these classes; their answers stay."""
    shown = classes.c.id.in_(list(class_ids)) & classes.c.removed_at.is_(None)
    if class_ids and connection.execute(classes.update().where(shown).values(removed_at=now())).rowcount:
        note_change(connection, collection)


def note_change(connection: Connection, collection: Collection) -> None:
    """Let the journal show that classes changed, or a fitted probe would go on offering the old ones."""
    values = {"collection_id": collection.id, "kind": "classes", "source": "hand", "created_at": now()}
    connection.execute(actions.insert().values(**values))


def _not_reserved(name: str) -> None:
    if name.strip() in OWN_ANSWERS.values():
        raise BadInput(f"{name.strip()!r} is an answer of its own and cannot name a class: choose another name.")


def _checked(name: str) -> str:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise BadInput(f"A class needs a name of 1 to {LONGEST_NAME} printable characters.")
    return name
