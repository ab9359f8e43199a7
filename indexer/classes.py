"""Classes of a collection: names, colours and keys. A removed one is only hidden, for the journal knows its answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, select

from indexer.catalog import Collection, lock_writes
from indexer.errors import BadClassName, ClassExists, NoSuchClass
from indexer.schema import actions, classes, label_events, now
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
    """Make a class, or return the one of that name; that a removed one comes back is an action."""
    _not_reserved(name)
    with engine.begin() as connection:
        lock_writes(connection)
        class_id = ensure_class(connection, collection, name, colour)
        if back := show(connection, collection, [class_id]):
            note_change(connection, collection, back)
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
        said = {"name": new_name, "colour": colour, "line": line}
        wanted: dict[int, dict[str, Any]] = {}
        if new_name is not None and (held := _holder(connection, collection, new_name, found.id)) is not None:
            wanted[held] = {"name": _free(connection, collection, new_name)}
        wanted[found.id] = {field: value for field, value in said.items() if value is not None}
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


def _holder(connection: Connection, collection: Collection, name: str, but: int) -> int | None:
    """The hidden class that has a name and gives it up, as nothing is labelled so; raises ClassExists for others."""
    query = select(classes.c.id, classes.c.removed_at).where(
        classes.c.collection_id == collection.id, classes.c.name == name, classes.c.id != but
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    newest = (
        select(func.max(label_events.c.id)).where(label_events.c.class_id == row.id).group_by(label_events.c.image_id)
    )
    standing = select(label_events.c.id).where(label_events.c.id.in_(newest), label_events.c.answer != "none")
    if row.removed_at is None or connection.execute(standing.limit(1)).first() is not None:
        raise ClassExists(
            f"A class cannot be renamed to {name!r}: another class has, or had, that name. Choose another, "
            "or merge the two."
        )
    return int(row.id)


def _free(connection: Connection, collection: Collection, name: str) -> str:
    """A name like this one that no class has, for one that is hidden and only seen in a history."""
    taken = set(connection.execute(select(classes.c.name).where(classes.c.collection_id == collection.id)).scalars())
    return next(free for number in count(2) if (free := f"{name} ({number})") not in taken)


def write_values(
    connection: Connection, collection: Collection, wanted: Mapping[int, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Give classes, by their ids, these values of name, colour, line, place and removed_at; returns what changed.

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
    """Hide a class, as one action. Its answers stay in the journal, and come back by undo or a class of that name."""
    with engine.begin() as connection:
        lock_writes(connection)
        found = _named(_shown(connection, collection), collection, name)
        note_change(connection, collection, write_values(connection, collection, {found.id: {"removed_at": now()}}))


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
        if preview:
            return move_answers(connection, collection, old.id, new.id, None)
        hidden = write_values(connection, collection, {old.id: {"removed_at": now()}})
        note_change(connection, collection)
        return move_answers(connection, collection, old.id, new.id, hidden)


def _named(shown: Sequence[Class], collection: Collection, name: str) -> Class:
    for item in shown:
        if item.name == name:
            return item
    raise NoSuchClass(f"There is no class {name!r} in {collection.name!r}.")


def ensure_class(connection: Connection, collection: Collection, name: str, colour: str | None = None) -> int:
    """The id of the class of that name, made when there is none; a removed one stays hidden until `show`."""
    name = _checked(name)
    rows = connection.execute(
        select(classes.c.id, classes.c.name, classes.c.kind, classes.c.place).where(
            classes.c.collection_id == collection.id
        )
    ).all()
    for row in rows:
        if row.name == name:
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


def class_called(connection: Connection, collection: Collection, name: str) -> int | None:
    """The id of the class of that name, shown or hidden, where there is one."""
    query = select(classes.c.id).where(classes.c.collection_id == collection.id, classes.c.name == _checked(name))
    return connection.execute(query).scalar()


def show(connection: Connection, collection: Collection, class_ids: Iterable[int]) -> list[dict[str, Any]]:
    """Show these classes again where they were hidden; returns what changed, for the action that did it."""
    return write_values(connection, collection, {class_id: {"removed_at": None} for class_id in class_ids})


def hide(connection: Connection, collection: Collection, class_ids: Iterable[int]) -> list[dict[str, Any]]:
    """Hide these classes; their answers stay."""
    hidden = now()
    return write_values(connection, collection, {class_id: {"removed_at": hidden} for class_id in class_ids})


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
