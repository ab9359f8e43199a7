"""Classes of a collection: names, colours and keys. A removed one is only hidden, for the journal knows its answers."""

from __future__ import annotations

from collections.abc import Collection as Collection_
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select

from indexer.catalog import Collection, lock_writes
from indexer.errors import BadClassName, ClassExists, NoSuchClass
from indexer.schema import actions, classes, now
from model.errors import BadInput
from model.progress import Line

# Okabe and Ito's eight colours (2008), told apart by colour-blind eyes too; black left out.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#8C6BB1", "#7F7F7F")
LONGEST_NAME = 100
KEYS = 9  # classes that have a key
NONE_OF_THESE, UNSURE = "none of these", "unsure"  # answers of their own: kept like classes, and shown as none
OWN_ANSWERS = {"none_of_these": NONE_OF_THESE, "unsure": UNSURE}


@dataclass(frozen=True)
class Class:
    id: int
    name: str
    colour: str
    line: float | None = None  # the probability from which on it is predicted, where an image may have several classes
    place: int = 0  # in their order


_SHOWN = (  # made once, for every request asks it
    select(classes.c.id, classes.c.name, classes.c.colour, classes.c.line, classes.c.place)
    .where(classes.c.collection_id == bindparam("collection"), classes.c.removed_at.is_(None))
    .where(classes.c.kind == "class")
    .order_by(classes.c.place, classes.c.id)
)


def all_classes(engine: Engine, collection: Collection) -> list[Class]:
    """The classes in the order they were made, unless a key was chosen: the first nine answer to the keys 1 to 9."""
    with engine.connect() as connection:
        return _shown(connection, collection)


def _shown(connection: Connection, collection: Collection) -> list[Class]:
    return [Class(*row) for row in connection.execute(_SHOWN, {"collection": collection.id})]


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
    new_name: str | None = None,
    colour: str | None = None,
    line: float | None = None,
    key: int | None = None,
) -> Class:
    """Change the name, the colour, the line or the key of a class, as one action; its answers stay.

    The class that had the key takes the place of this one.
    """
    if line is not None and not collection.multi_label:
        words = "Pictures of {of} have one class, the most probable: there is no line to set."
        raise BadInput(Line("no_line", words, of=repr(collection.name)))
    if new_name is not None:
        _not_reserved(new_name)
        new_name = _checked(new_name)
    with engine.begin() as connection:
        lock_writes(connection)
        shown = _shown(connection, collection)
        found = _named(shown, collection, name)
        others = select(classes.c.name).where(classes.c.collection_id == collection.id, classes.c.id != found.id)
        if new_name in connection.execute(others).scalars().all():
            raise ClassExists(
                f"A class cannot be renamed to {new_name!r}: another class has, or had, that name. Choose another, "
                "or merge the two."
            )
        said = {"name": new_name, "colour": colour, "line": line}
        wanted = {found.id: {field: value for field, value in said.items() if value is not None}}
        if key is not None:
            if not 1 <= key <= min(len(shown), KEYS):
                words = "There is no key {n} to give: choose one of 1 to {most}."
                raise BadInput(Line("no_key", words, n=key, most=min(len(shown), KEYS)))
            had = shown[key - 1]
            if had.id != found.id:
                wanted[found.id]["place"], wanted[had.id] = had.place, {"place": found.place}
        if changes := write_values(connection, collection, wanted):
            note_change(connection, collection, changes)
        return next(item for item in _shown(connection, collection) if item.id == found.id)


def write_values(
    connection: Connection, collection: Collection, wanted: Mapping[int, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Give classes, by their ids, these values of name, colour, line and place; returns what changed.

    A class that has the name which another gets takes the one that becomes free, so that undo is never in its own way.
    """
    query = select(classes).where(classes.c.collection_id == collection.id)
    known = {row.id: dict(row._mapping) for row in connection.execute(query)}
    changes = []
    for class_id, values in wanted.items():
        before = {field: known[class_id][field] for field, value in values.items() if known[class_id][field] != value}
        if not before:
            continue
        after = {field: values[field] for field in before}
        own = classes.c.id == class_id
        holder = next((i for i, row in known.items() if i != class_id and row["name"] == after.get("name")), None)
        if holder is not None:
            known[holder]["name"] = before["name"]
            connection.execute(classes.update().where(own).values(name=f"{class_id}\n"))  # nobody can give that name
            connection.execute(classes.update().where(classes.c.id == holder).values(name=before["name"]))
        connection.execute(classes.update().where(own).values(**after))
        known[class_id] |= after
        changes.append({"class_id": class_id, "before": before, "after": after})
    return changes


def remove_class(engine: Engine, collection: Collection, name: str) -> None:
    """Hide a class. Its answers stay in the journal, and come back with a class of the same name."""
    found = class_named(engine, collection, name)
    with engine.begin() as connection:
        connection.execute(classes.update().where(classes.c.id == found.id).values(removed_at=now()))
        note_change(connection, collection)


def merge_class(engine: Engine, collection: Collection, name: str, into: str, preview: bool = False) -> int:
    """Give every image of one class to another and hide the emptied one, as one action; undo brings both back.

    Returns how many images change their class; a `preview` writes nothing.
    """
    from indexer.labels import move_answers  # which builds on this module

    with engine.begin() as connection:
        lock_writes(connection)
        shown = _shown(connection, collection)
        old, new = _named(shown, collection, name), _named(shown, collection, into)
        if old.id == new.id:
            words = "{what} cannot be merged into itself: name another class."
            raise BadInput(Line("into_itself", words, what=repr(name)))
        moved = move_answers(connection, collection, old.id, new.id, preview)
        if preview:
            return moved
        connection.execute(classes.update().where(classes.c.id == old.id).values(removed_at=now()))
        note_change(connection, collection)
    return moved


def class_named(engine: Engine, collection: Collection, name: str) -> Class:
    return _named(all_classes(engine, collection), collection, name)


def _named(shown: Sequence[Class], collection: Collection, name: str) -> Class:
    for item in shown:
        if item.name == name:
            return item
    raise NoSuchClass(f"There is no class {name!r} in {collection.name!r}.")


def ensure_class(connection: Connection, collection: Collection, name: str, colour: str | None = None) -> int:
    """The id of the class of that name, made or brought back when there is none."""
    name = _checked(name)
    rows = connection.execute(
        select(classes.c.id, classes.c.name, classes.c.removed_at, classes.c.kind, classes.c.place).where(
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
        "place": 1 + max((row.place for row in rows), default=0),
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


def note_change(connection: Connection, collection: Collection, changes: list[dict[str, Any]] | None = None) -> None:
    """Let the journal show that classes changed, or a fitted probe would go on offering the old ones.

    With the `changes` that `write_values` made it is an action of its own, which undo takes back.
    """
    values = {
        "collection_id": collection.id, "kind": "classes", "source": "hand", "created_at": now(), "changes": changes,
    }  # fmt: skip
    connection.execute(actions.insert().values(**values))


def _not_reserved(name: str) -> None:
    if name.strip() in OWN_ANSWERS.values():
        raise BadClassName(f"{name.strip()!r} is an answer of its own and cannot name a class: choose another name.")


def _checked(name: str) -> str:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise BadClassName(f"A class needs a name of 1 to {LONGEST_NAME} printable characters.")
    return name
