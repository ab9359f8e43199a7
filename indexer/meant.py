"""The class that a person means by a name that was shown to them a moment ago."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, select

from indexer.catalog import Collection
from indexer.errors import ClassGone
from indexer.schema import actions, classes
from indexer.undo import stacks


def class_meant(connection: Connection, collection: Collection, name: str) -> int:
    """The id of the class of that name, or of the one that had it last: renamed since, or merged into another.

    A key is pressed for the class that stands beside it, and while a rename is under way that is the old name. The
    label belongs to that class, whatever it is called by then; a class of the old name made anew is what nobody asked
    for. Raises ClassGone where it was removed, or never was.
    """
    query = select(classes.c.id, classes.c.name, classes.c.removed_at).where(classes.c.collection_id == collection.id)
    rows = {row.name: row for row in connection.execute(query)}
    if name in rows and rows[name].removed_at is None:
        return int(rows[name].id)
    standing, _ = stacks(connection, collection)
    changing = select(actions.c.id, actions.c.changes).where(
        actions.c.collection_id == collection.id, actions.c.changes.is_not(None)
    )
    stands = set(standing)
    changes: list[dict[str, Any]] = []
    for row in connection.execute(changing.order_by(actions.c.id)):
        changes += row.changes if row.id in stands else []
    had = [change["class_id"] for change in changes if change["before"].get("name") == name]
    found = rows[name].id if name in rows else had[-1] if had else None
    shown = {row.id for row in rows.values() if row.removed_at is None}
    # Why each is hidden: one that came back after a merge, and was removed then, is no part of the other class.
    hidden = {change["class_id"]: change for change in changes if "removed_at" in change["after"]}
    for change in changes:  # in their order, so that a class that was merged twice is followed to where it is now
        if found == change["class_id"] and found not in shown and change is hidden.get(found) and "into" in change:
            found = change["into"]
    if found not in shown:
        raise ClassGone(f"The class {name!r} is gone from {collection.name!r}: choose another, or make it again.")
    assert found is not None
    return int(found)


def name_meant(engine: Engine, collection: Collection, name: str) -> str:
    """What the class that is meant by a name is called now. Raises ClassGone."""
    with engine.connect() as connection:
        meant = classes.c.id == class_meant(connection, collection, name)
        return str(connection.execute(select(classes.c.name).where(meant)).scalar_one())
