"""Undo and redo of what was said about labels and classes, over any number of actions: each is an action itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from sqlalchemy import Connection, Engine, select

from indexer.catalog import Collection, lock_writes
from indexer.classes import hide, note_change, show, write_values
from indexer.errors import NothingToUndo
from indexer.journal import Change, answers_of, record, require_one_class
from indexer.schema import actions, label_events
from indexer.steps import step_of


def undo(engine: Engine, collection: Collection) -> Change:
    """Take the newest standing action back."""
    return _revert(engine, collection, "undo")


def redo(engine: Engine, collection: Collection) -> Change:
    """Do the action that was taken back last again."""
    return _revert(engine, collection, "redo")


def can_undo_redo(engine: Engine, collection: Collection) -> tuple[bool, bool]:
    with engine.connect() as connection:
        standing, undone = stacks(connection, collection)
    return bool(standing), bool(undone)


def _revert(engine: Engine, collection: Collection, kind: Literal["undo", "redo"]) -> Change:
    with engine.begin() as connection:
        lock_writes(connection)
        standing, undone = stacks(connection, collection)
        stack = standing if kind == "undo" else undone
        if not stack:
            raise NothingToUndo("There is nothing to undo." if kind == "undo" else "There is nothing to do again.")
        action = stack[-1]
        step = step_of(connection, action)  # before its classes get other names
        said = connection.execute(
            select(actions.c.kind, actions.c.source, actions.c.changes, actions.c.hid_class).where(
                actions.c.id == action
            )
        ).one()
        column = label_events.c.previous if kind == "undo" else label_events.c.answer
        events = connection.execute(
            select(label_events.c.image_id, label_events.c.class_id, column).where(label_events.c.action_id == action)
        )
        wanted = {(image_id, class_id): answer for image_id, class_id, answer in events}
        current = answers_of(connection, collection) if wanted else {}
        require_one_class(connection, collection, wanted, current)
        if said.changes is not None:
            side = "before" if kind == "undo" else "after"
            changed = write_values(connection, collection, {each["class_id"]: each[side] for each in said.changes})
        else:
            changed = (
                _revert_merge(connection, collection, kind, action, said.hid_class) if said.source == "merge" else []
            )
        if changed or said.kind == "classes":
            note_change(connection, collection)
        change = record(connection, collection, kind, wanted, current, "hand", of_action=action)
        return replace(change, of="classes" if said.kind == "classes" else "labels", step=step)


def _revert_merge(
    connection: Connection, collection: Collection, kind: str, action: int, hid_class: int | None
) -> list[dict[str, Any]]:
    """Show the class that a merge emptied, or hide it again: of one from before such changes were written down."""
    taken = (label_events.c.action_id == action) & (label_events.c.answer == "none")
    emptied = {hid_class} if hid_class is not None else set(
        connection.execute(select(label_events.c.class_id).where(taken)).scalars()
    )  # fmt: skip
    return (show if kind == "undo" else hide)(connection, collection, emptied)


def stacks(connection: Connection, collection: Collection) -> tuple[list[int], list[int]]:
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
