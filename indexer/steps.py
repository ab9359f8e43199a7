"""What an action did, in a few words: for who takes it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, func, select

from indexer.schema import actions, classes, label_events

Kind = Literal["labels", "merge", "rename", "change", "remove", "return"]
OWN = {"none of these": "none_of_these", "unsure": "unsure"}


@dataclass(frozen=True)
class Step:
    """One action: what it did, to which class, and where it went.

    `answer` is what was said of all its pictures: yes, no or unsure of the class; none_of_these or unsure without one;
    none where answers were taken away; None where it was not the same of all.
    """

    action: int
    kind: Kind
    class_name: str | None = None
    to: str | None = None  # the new name, or the class that it was merged into
    answer: str | None = None
    images: int = 0


def step_of(connection: Connection, action: int) -> Step:
    """What an action did. Classes are called as they were called by it, or are now."""
    said = connection.execute(
        select(actions.c.kind, actions.c.source, actions.c.changes, actions.c.hid_class, actions.c.collection_id).where(
            actions.c.id == action
        )
    ).one()
    query = select(classes.c.id, classes.c.name).where(classes.c.collection_id == said.collection_id)
    names = {row.id: row.name for row in connection.execute(query)}
    of_it = label_events.c.action_id == action
    counting = select(func.count(label_events.c.image_id.distinct())).where(of_it)
    images = int(connection.execute(counting).scalar_one())
    answers = connection.execute(
        select(label_events.c.class_id, label_events.c.answer, label_events.c.previous).where(of_it).distinct()
    ).all()
    if said.source == "merge":
        return _merge(action, said, answers, names, images)
    if said.kind == "classes":
        return _change(action, said.changes or [], names)
    if said.changes and not answers:  # a label that stood, of a class that came back by it
        return _change(action, said.changes, names)
    given = {(row.class_id, row.answer) for row in answers if row.answer != "none"}
    if not given:
        return Step(action, "labels", answer="none", images=images)
    if len(given) > 1 or _partly(connection, action, images):
        return Step(action, "labels", images=images)
    ((class_id, answer),) = given
    own = OWN.get(names[class_id])
    return Step(action, "labels", None if own else names[class_id], answer=own or answer, images=images)


def _partly(connection: Connection, action: int, images: int) -> bool:
    """Whether it gave answers to some of its images, and took them away from others."""
    query = select(func.count(label_events.c.image_id.distinct())).where(
        label_events.c.action_id == action, label_events.c.answer != "none"
    )
    return int(connection.execute(query).scalar_one()) < images


def _merge(action: int, said: Any, answers: Sequence[Any], names: Mapping[int, str], images: int) -> Step:
    hidden, into = said.hid_class, None
    for change in said.changes or []:
        hidden, into = change["class_id"], change["into"]
    # Before either was written down: one lost its answers, the other gained some.
    hidden = hidden or next((row.class_id for row in answers if row.answer == "none"), None)
    into = into or next((row.class_id for row in answers if row.class_id != hidden), None)
    return Step(action, "merge", names.get(hidden), names.get(into), images=images)  # type: ignore[arg-type]


def _change(action: int, changes: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> Step:
    """Beside the class that was meant, one may have made room for its name, which comes before it, or for its key."""
    named = [change for change in changes if "name" in change["after"]]
    change = named[-1] if named else changes[0]
    name = names[change["class_id"]]
    if "removed_at" in change["after"]:
        return Step(action, "remove" if change["after"]["removed_at"] else "return", name)
    if named:
        return Step(action, "rename", change["before"]["name"], change["after"]["name"])
    return Step(action, "change", name)
