"""Undo and redo of what was said about labels and classes, over any number of actions: each is an action itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, select

from indexer.catalog import Collection, lock_writes
from indexer.classes import bring_back, hide, note_change, write_values
from indexer.errors import NothingToUndo
from indexer.journal import Change, answers_of, record, require_one_class
from indexer.schema import actions, label_events


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


def _revert(engine: Engine, collection: Collection, kind: str) -> Change:
    with engine.begin() as connection:
        lock_writes(connection)
        standing, undone = _stacks(connection, collection)
        stack = standing if kind == "undo" else undone
        if not stack:
            raise NothingToUndo("There is nothing to undo." if kind == "undo" else "There is nothing to do again.")
        action = stack[-1]
        changes = connection.execute(select(actions.c.changes).where(actions.c.id == action)).scalar_one()
        if changes is not None:
            return _revert_classes(connection, collection, kind, action, changes)
        column = label_events.c.previous if kind == "undo" else label_events.c.answer
        events = connection.execute(
            select(label_events.c.image_id, label_events.c.class_id, column).where(label_events.c.action_id == action)
        )
        wanted = {(image_id, class_id): answer for image_id, class_id, answer in events}
        # A class that was merged away returns with what it had; one that a person removed had its answers all along.
        returning = {class_id for (_, class_id), answer in wanted.items() if answer == "yes"}
        said = connection.execute(select(actions.c.source, actions.c.hid_class).where(actions.c.id == action)).one()
        if said.source == "merge":
            taken = (label_events.c.action_id == action) & (label_events.c.answer == "none")
            emptied = {said.hid_class} if said.hid_class is not None else set(  # merges of before it was written down
                connection.execute(select(label_events.c.class_id).where(taken)).scalars()
            )  # fmt: skip
            returning = returning | emptied if kind == "undo" else returning - emptied
            if kind == "redo":
                hide(connection, collection, emptied)
        current = answers_of(connection, collection)
        require_one_class(connection, collection, wanted, current)
        bring_back(connection, collection, returning)
        return record(connection, collection, kind, wanted, current, "hand", of_action=action)


def _revert_classes(
    connection: Connection, collection: Collection, kind: str, action: int, changes: list[dict[str, Any]]
) -> Change:
    """Give classes what they had before, or after."""
    side = "before" if kind == "undo" else "after"
    write_values(connection, collection, {change["class_id"]: change[side] for change in changes})
    note_change(connection, collection)
    return replace(record(connection, collection, kind, {}, {}, "hand", of_action=action), of="classes")


def _stacks(connection: Connection, collection: Collection) -> tuple[list[int], list[int]]:
    """The actions that stand and those taken back, each newest last; a note that classes changed is none."""
    standing: list[int] = []
    undone: list[int] = []
    query = select(actions.c.id, actions.c.kind, actions.c.changes.is_not(None)).order_by(actions.c.id)
    for action, kind, changed in connection.execute(query.where(actions.c.collection_id == collection.id)):
        if kind == "label" or changed:
            standing.append(action)
            undone.clear()  # as in every editor: a new action ends what could be done again
        elif kind == "undo":
            undone.append(standing.pop())
        elif kind == "redo":
            standing.append(undone.pop())
    return standing, undone
