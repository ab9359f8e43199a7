"""Labels: an append-only journal of answers, and the current labels as a view of it.

An *action* is what one gesture did: any number of events, each an answer (yes, no, unsure, none) about one image and
one class together with the one before it. Undo and redo are actions too, so nothing is ever rewritten or lost.
An image has at most one class with the answer yes, unless its collection allows several. "None of these" and "unsure",
said of no class in particular, are kept like classes, so that a class takes their place and they take a class's;
`current_labels` shows them as answers.
"""

from __future__ import annotations

from collections.abc import Collection as Collection_
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Connection, Engine, func, select

from indexer.catalog import Collection, lock_writes, visible
from indexer.classes import NONE_OF_THESE, OWN_ANSWERS, class_called, ensure_class, note_change, show
from indexer.errors import NoSuchImage, SeveralClasses
from indexer.journal import FEW, Change, allows_several, answers_of, listed, record, shown_answers
from indexer.meant import class_meant
from indexer.schema import actions, classes, images, label_events
from model.errors import BadInput
from model.progress import Line

Answer = Literal["yes", "no", "unsure", "none", "none_of_these"]
ANSWERS = ("yes", "no", "unsure", "none")


@dataclass(frozen=True)
class Label:
    """The current answer about one image and one class; the class is empty where the answer is about all of them."""

    image_id: int
    class_name: str
    answer: Answer
    at: str
    source: str


def label(
    engine: Engine,
    collection: Collection,
    image_ids: Sequence[int],
    class_name: str | None,
    answer: Answer,
    source: str,
    by: str | None = None,
    known: bool = False,
) -> Change:
    """Give one answer about one class for some images; durable when this returns. An unknown class is made.

    A class that is `known` is never made: it is the one that the giver was shown by that name (`class_meant`).
    Without a class the answer is about all of them: none_of_these, unsure, or none, which takes every answer away.
    """
    if class_name is None and answer == "none":
        return clear(engine, collection, source, by, image_ids)
    if class_name is None and answer in OWN_ANSWERS:
        class_name, answer = OWN_ANSWERS[answer], "yes"
    if class_name is None or answer not in ANSWERS:
        raise BadInput("Say yes, no, unsure or none of a class; or, without a class, none_of_these, unsure or none.")
    of: dict[int, dict[str, Answer]] = {image_id: {class_name: answer} for image_id in image_ids}
    return answer_each(engine, collection, of, source, by, known=known)


def label_each(
    engine: Engine,
    collection: Collection,
    of: Mapping[int, str],
    source: str,
    answer: Answer = "yes",
    by: str | None = None,
) -> Change:
    """Give each image an answer about a class of its own (folders), as one action."""
    return answer_each(engine, collection, {image_id: {name: answer} for image_id, name in of.items()}, source, by)


def answer_each(
    engine: Engine,
    collection: Collection,
    of: Mapping[int, Mapping[str, Answer]],
    source: str,
    by: str | None = None,
    open_only: bool = False,
    known: bool = False,
) -> Change:
    """Give each image answers about classes of its own (a CSV), as one action.

    Classes that are there no more are made or come back, but for `known` ones (`label`) and for those of which answers
    are only taken away. With `open_only` no answer that stands is replaced: what is settled by then gets none
    (`Standing`).
    Raises SeveralClasses where an image is given several and may have one, BadInput for a no to an answer of its own.
    """
    for name, answer in ((name, answer) for given in of.values() for name, answer in given.items()):
        if name in OWN_ANSWERS.values() and answer not in ("yes", "none"):
            words = "{what} is an answer of its own: it is given (yes) or taken away (none)."
            raise BadInput(Line("own_answer", words, what=repr(name)))
    with engine.begin() as connection:
        lock_writes(connection)
        _check_images(connection, collection, of)
        if open_only:
            of = _standing(connection, collection, of).open_of(of)
        needed = {name for given in of.values() for name, answer in given.items() if answer != "none"}
        ids: dict[str, int] = {}  # without classes that nobody has made, of which nothing can be taken away
        for name in dict.fromkeys(name for given in of.values() for name in given):
            find = class_meant if known else ensure_class if name in needed else class_called
            if (class_id := find(connection, collection, name)) is not None:
                ids[name] = class_id
        back = show(connection, collection, [ids[name] for name in ids if name in needed])
        if back:
            note_change(connection, collection)
        alone = None  # the classes that no other goes with: all, or only "none of these" and "unsure"
        if allows_several(connection, collection):
            own = {class_id for name, class_id in ids.items() if name in OWN_ANSWERS.values()}
            alone = own | _own_answers(connection, collection)
        current = answers_of(connection, collection, of)
        wanted: dict[tuple[int, int], str] = {}
        for image_id, given in of.items():
            said = {name for name, answer in given.items() if answer == "yes"}
            yes = {ids[name] for name in said}
            if len(yes) > 1 and (alone is None or yes & alone):
                raise SeveralClasses(f"Image {image_id} is given {listed(said)}: leave one of them.")
            for class_id, before in current.get(image_id, {}).items():
                if before == "yes" and yes and class_id not in yes and (alone is None or alone & (yes | {class_id})):
                    wanted[image_id, class_id] = "none"
            wanted |= {(image_id, ids[name]): answer for name, answer in given.items() if name in ids}
        done = record(connection, collection, "label", wanted, current, source, by=by, class_changes=back)
        query = select(classes.c.id, classes.c.name).where(classes.c.id.in_(ids.values()))
        names = {row.id: row.name for row in connection.execute(query)}
        return replace(done, called={name: names[class_id] for name, class_id in ids.items()})


@dataclass(frozen=True)
class Standing:
    """What an accepted prediction must not replace: images that are settled, and what was said of a class."""

    settled: Set[int]  # images with a class, "none of these" or "unsure"; of those that may have several the latter two
    said: Set[tuple[int, str]]  # (image, class) of which yes, no or unsure was said

    @classmethod
    def of(cls, answers: Iterable[Label], several: bool) -> Standing:
        settled: set[int] = set()
        said: set[tuple[int, str]] = set()
        for x in answers:
            said.add((x.image_id, x.class_name))
            if not x.class_name or (x.answer == "yes" and not several):
                settled.add(x.image_id)
        return cls(settled, said)

    def leaves_open(self, image_id: int, class_name: str) -> bool:
        return image_id not in self.settled and (image_id, class_name) not in self.said

    def open_of(self, of: Mapping[int, Mapping[str, Answer]]) -> dict[int, dict[str, Answer]]:
        return {i: {name: a for name, a in given.items() if self.leaves_open(i, name)} for i, given in of.items()}


def _standing(connection: Connection, collection: Collection, image_ids: Collection_[int]) -> Standing:
    answers = _current(connection, collection, image_ids)
    return Standing.of(answers, allows_several(connection, collection))


def _own_answers(connection: Connection, collection: Collection) -> set[int]:
    query = select(classes.c.id).where(classes.c.collection_id == collection.id, classes.c.kind == "answer")
    return set(connection.execute(query).scalars())


def label_unlabelled(engine: Engine, collection: Collection, of: Mapping[int, Sequence[str]], source: str) -> int:
    """Give each image without any answer yet its classes: the last one where it may have one. Returns how many."""
    answered = {item.image_id for item in current_labels(engine, collection)}
    with engine.connect() as connection:
        present = set(connection.execute(select(images.c.id).where(visible(collection.id))).scalars())
        several = allows_several(connection, collection)
    open_ = present - answered
    fresh: dict[int, dict[str, Answer]] = {
        image_id: dict.fromkeys(names if several else names[-1:], "yes")
        for image_id, names in of.items()
        if image_id in open_
    }
    if not fresh:
        return 0
    # Of those that a person answered meanwhile, the answer stays.
    return min(len(fresh), answer_each(engine, collection, fresh, source, open_only=True).changed)


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


def move_answers(
    connection: Connection, collection: Collection, old: int, new: int, hidden: list[dict[str, Any]] | None
) -> int:
    """Within a transaction: the images of class `old`, removed ones too, become ones of class `new`.

    `hidden` is what changed when `old` was hidden; None writes nothing. Returns how many of them are here.
    """
    several = allows_several(connection, collection)
    current = answers_of(connection, collection)
    wanted: dict[tuple[int, int], str] = {}
    for image_id, given in current.items():
        if old in given:
            wanted[image_id, old] = "none"
            # Of several classes a no to one says nothing about another; it was an answer about the old class alone.
            if given[old] == "yes" or (new not in given and not (several and given[old] == "no")):
                wanted[image_id, new] = given[old]
    if hidden is not None:
        changes = [{**change, "into": new} for change in hidden]
        record(connection, collection, "label", wanted, current, "merge", class_changes=changes)
    present = set(connection.execute(select(images.c.id).where(visible(collection.id))).scalars())
    return sum(current[i][old] == "yes" for i, class_id in wanted if class_id == old and i in present)


def last_action(engine: Engine, collection: Collection) -> int:
    """The newest action's id, 0 before the first: what a fitted probe remembers to know whether it is current."""
    with engine.connect() as connection:
        query = select(func.max(actions.c.id)).where(actions.c.collection_id == collection.id)
        return connection.execute(query).scalar() or 0


def current_labels(engine: Engine, collection: Collection, image_ids: Sequence[int] | None = None) -> list[Label]:
    """The answers that stand, of images in the collection, oldest first."""
    with engine.connect() as connection:
        return _current(connection, collection, image_ids)


def _current(connection: Connection, collection: Collection, image_ids: Collection_[int] | None) -> list[Label]:
    rows = connection.execute(*shown_answers(collection, image_ids)).all()
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


def _check_images(connection: Connection, collection: Collection, image_ids: Iterable[int]) -> None:
    wanted = set(image_ids)
    query = select(images.c.id).where(visible(collection.id))
    if len(wanted) <= FEW:
        query = query.where(images.c.id.in_(wanted))
    present = set(connection.execute(query).scalars())
    if missing := wanted - present:
        raise NoSuchImage(f"Image {min(missing)} is not in {collection.name!r}.")
