"""The journal of answers: appending to it, and reading what stands."""

from __future__ import annotations

from collections.abc import Collection as Collection_
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, Select, bindparam, func, select

from indexer.catalog import Collection
from indexer.errors import SeveralClasses
from indexer.schema import actions, classes, collections, images, label_events, now
from indexer.steps import Step

FEW = 500  # up to here a query names the images; beyond, reading them all is quicker and no limit of SQL is met


@dataclass(frozen=True)
class Change:
    """What an action did: its id and how many answers it changed. Action 0 changed nothing and was not recorded."""

    action: int
    changed: int
    of: Literal["labels", "classes"] = "labels"  # what an undo or a redo was about
    step: Step | None = None  # of an undo or a redo: the action that it took back, or did again
    called: Mapping[str, str] = field(default_factory=dict)  # a class as the giver named it → its name now


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
Asked = tuple[Select[Any], dict[str, Any]]  # a query and its parameters


def shown_answers(collection: Collection, image_ids: Collection_[int] | None = None) -> Asked:
    """The newest answer about each image that is here and each class that is, oldest first."""
    return _asked(_SHOWN, _SHOWN_OF_SOME, collection, image_ids)


def _asked(
    of_all: Select[Any], of_some: Select[Any], collection: Collection, image_ids: Collection_[int] | None
) -> Asked:
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
    class_changes: Sequence[Mapping[str, Any]] = (),
) -> Change:
    """Append one action with an event for every answer that differs from the one that stands.

    `class_changes` (`write_values`) are of the same action: a class that was hidden by it, or came back with it. One
    that changes no answer is recorded only where it is more than that: an undo, a redo, a merge.
    """
    changes = [
        {"image_id": image_id, "class_id": class_id, "answer": answer, "previous": before}
        for (image_id, class_id), answer in wanted.items()
        if (before := current.get(image_id, {}).get(class_id, "none")) != answer
    ]
    if not changes and kind == "label" and not class_changes:
        return Change(0, 0)
    values = {
        "collection_id": collection.id, "kind": kind, "of_action": of_action, "source": source, "created_at": now(),
        "given_by": by, "changes": list(class_changes) or None,
    }  # fmt: skip
    action = connection.execute(actions.insert().values(**values).returning(actions.c.id)).scalar_one()
    if changes:
        connection.execute(label_events.insert(), [{"action_id": action, **change} for change in changes])
    return Change(action, len(changes))


def allows_several(connection: Connection, collection: Collection) -> bool:
    """Whether an image may have several classes, as it is now and not as `collection` was read."""
    query = select(collections.c.multi_label).where(collections.c.id == collection.id)
    return bool(connection.execute(query).scalar())


def require_one_class(
    connection: Connection,
    collection: Collection,
    wanted: Mapping[tuple[int, int], str],
    current: Mapping[int, Mapping[int, str]],
) -> None:
    """Raise SeveralClasses where `wanted` would give an image several, in a collection that allows one."""
    if allows_several(connection, collection):
        return
    after: dict[int, dict[int, str]] = {}
    for (image_id, class_id), answer in wanted.items():
        after.setdefault(image_id, dict(current.get(image_id, {})))[class_id] = answer
    for image_id, given in after.items():
        if list(given.values()).count("yes") > 1:
            raise SeveralClasses(
                f"Image {image_id} would have several classes again: let pictures have several (multi_label) first."
            )


def listed(names: Iterable[str]) -> str:
    return " and ".join(map(repr, sorted(names)))
