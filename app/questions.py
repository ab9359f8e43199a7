"""What to ask next where pictures may have several classes: a picture and a class, to be answered with yes or no.

Each class has a queue of its own: typical pictures until it has both answers, then what its part of the probe is unsure
of, mixed with pictures it may have, some like nothing labelled, and the random sample. The classes take turns, the one
with the fewest answers first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from app.audit import audit_order
from app.engine import Engine
from app.fitted import Fitted
from app.reasons import AUDIT, NOVEL, rare_line
from indexer.catalog import Collection
from indexer.classes import all_classes
from indexer.errors import NoSuchClass
from indexer.index import VectorIndex
from indexer.labels import current_labels
from model.choosing import covering, typical_in_turn, unsureness
from model.errors import TooFewLabels
from model.progress import Line
from model.several import YES, SeveralQuality

POOL = 2000  # pictures looked at by one class alone; many classes share the time that it takes
AT_FIRST = 10  # answers about a class until which typical pictures are in its mixture
FEW = ("typical", "unsure", "typical", "rare")
MIX = ("unsure", "rare", "unsure", "typical", "unsure", "audit", "unsure", "novel")


@dataclass(frozen=True)
class Question:
    image_id: int
    class_name: str | None  # None: there are no classes yet
    kind: str
    reason: Line


@dataclass(frozen=True)
class _Open:
    """What is not answered about one class."""

    name: str | None
    index: VectorIndex
    fitted: Fitted | None  # None: nothing can be said of the class yet
    rows: np.ndarray  # (M,) of the index
    pool: np.ndarray  # a part of them that is quick to weigh
    answered: np.ndarray  # (n, D) vectors of what is
    given: dict[str, int]  # answer → how often

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """(m,) of the class, of some rows."""
        assert self.fitted is not None
        return self.fitted.probabilities[rows, self.fitted.probe.classes.index(self.name or "")]


def ask(
    engine: Engine, collection: Collection, limit: int, kind: str | None = None, of: str | None = None
) -> tuple[list[Question], int]:
    """`limit` questions, no picture twice, about the class `of` or all in turn; and how many pictures have any open."""
    if kind == "mislabelled":
        return list(
            islice((each for each in _mislabelled(engine, collection) if of in (None, each.class_name)), limit)
        ), 0
    try:
        fitted = engine.probes.fitted(collection)
    except TooFewLabels:
        fitted = None
    index = engine.index(collection) if fitted is None else fitted.index
    open_, total = _open(engine, collection, index, fitted, of)
    return in_turn([_queue(each, limit, kind) for each in open_], limit), total


def in_turn(queues: list[Iterator[Question]], limit: int) -> list[Question]:
    """The first `limit` of them, one of each queue in turn and no picture twice; no more are thought of than that."""
    chosen: dict[int, Question] = {}
    while queues:
        for queue in list(queues):
            if len(chosen) == limit:
                return list(chosen.values())
            new = next((each for each in queue if each.image_id not in chosen), None)
            if new is None:
                queues.remove(queue)
            else:
                chosen[new.image_id] = new
    return list(chosen.values())


def _open(
    engine: Engine, collection: Collection, index: VectorIndex, fitted: Fitted | None, of: str | None
) -> tuple[list[_Open], int]:
    """What is open of each class, those with the fewest answers first; and how many pictures have anything open."""
    labels = current_labels(engine.workspace.engine, collection)
    names: list[str | None] = [each.name for each in all_classes(engine.workspace.engine, collection)]
    if of is not None:
        if of not in names:
            raise NoSuchClass(f"There is no class {of!r} in {collection.name!r}.")
        names = [of]
    settled = {x.image_id for x in labels if not x.class_name}  # none of these, unsure: of every class
    here = np.ones(len(index.ids), bool)
    if (present := engine.probes.present(collection, index)) is not None:
        here &= present
    by_class: dict[str, dict[int, str]] = {}
    for x in labels:
        by_class.setdefault(x.class_name, {})[x.image_id] = x.answer
    most = int(POOL / max(1, len(names)) ** 0.5)
    found, anything = [], np.zeros(len(index.ids), bool)
    for name in names or [None]:
        about = by_class.get(name or "", {})
        answered = np.array(sorted(settled | set(about)), np.int64)
        waiting = here & ~np.isin(index.ids, answered)
        anything |= waiting
        rows = np.flatnonzero(waiting)
        pool = rows
        if len(rows) > most:
            pool = np.sort(np.random.default_rng(len(answered)).choice(rows, most, replace=False))
        taught = fitted if fitted is not None and name in fitted.probe.classes else None
        given = {answer: list(about.values()).count(answer) for answer in ("yes", "no")}
        found.append(_Open(name, index, taught, rows, pool, index.vectors_of(answered)[1], given))
    return sorted(found, key=lambda each: sum(each.given.values())), int(anything.sum())


def _queue(state: _Open, limit: int, kind: str | None) -> Iterator[Question]:
    """The questions about one class, of one kind or mixed."""
    if not len(state.rows):
        return
    mix: tuple[str, ...] = MIX if sum(state.given.values()) >= AT_FIRST else FEW
    if kind is not None:
        mix = (kind,)
    elif state.fitted is None:
        mix = ("typical",)
    ways = {each: _WAYS[each](state, limit) for each in dict.fromkeys(mix)}
    asked: set[int] = set()
    while ways:
        for each in mix:
            row, reason = next(ways.get(each, iter(())), (None, NOVEL))
            if row is None:
                ways.pop(each, None)
            elif row not in asked:
                asked.add(row)
                yield Question(int(state.index.ids[row]), state.name, each, reason)


def _typical(state: _Open, limit: int) -> Iterator[tuple[int, Line]]:
    for at in islice(typical_in_turn(state.index.vectors[state.pool], state.answered), limit):
        if state.name is None:
            reason = Line("why_typical_answers", "typical of a group without answers")
        else:
            reason = Line("why_typical_about", "typical of a group without answers about {what}", what=state.name)
        yield int(state.pool[at]), reason


def _unsure(state: _Open, limit: int) -> Iterator[tuple[int, Line]]:
    if state.fitted is None:
        return
    p = state.probabilities(state.pool)
    weights = unsureness(np.stack([1 - p, p], axis=1))
    for at in covering(state.index.vectors[state.pool], state.answered, weights, limit):
        sure = f"{p[at]:.0%}"
        yield (
            int(state.pool[at]),
            Line("why_whether", "unsure whether it is {what} ({sure})", what=state.name, sure=sure),
        )


def _rare(state: _Open, limit: int) -> Iterator[tuple[int, Line]]:
    """The likeliest ones, while a yes is clearly rarer than a no."""
    if state.fitted is None or 2 * state.given["yes"] > state.given["no"]:
        return
    p = state.probabilities(state.rows)
    for at in np.argsort(-p, kind="stable")[:limit]:
        yield int(state.rows[at]), rare_line(state.name or "", state.given["yes"])


def _novel(state: _Open, limit: int) -> Iterator[tuple[int, Line]]:
    if state.fitted is None:
        return
    vectors = state.index.vectors[state.pool]
    novel = ~state.fitted.novelty.fits(vectors)
    for at in covering(vectors[novel], state.answered, np.ones(int(novel.sum())), limit):
        yield int(state.pool[novel][at]), NOVEL


def _audit(state: _Open, limit: int) -> Iterator[tuple[int, Line]]:
    order = audit_order(state.index.ids[state.rows])[:limit]
    for row in state.index.rows_of(order)[0]:
        yield int(row), AUDIT


_WAYS: dict[str, Callable[[_Open, int], Iterator[tuple[int, Line]]]] = {
    "typical": _typical, "unsure": _unsure, "rare": _rare, "novel": _novel, "audit": _audit,
}  # fmt: skip


def _mislabelled(engine: Engine, collection: Collection) -> Iterator[Question]:
    """Answers that surprise a probe that has not seen them, the most surprising first."""
    quality = engine.probes.quality(collection)
    fitted = engine.probes.fitted(collection)
    if not isinstance(quality, SeveralQuality) or len(quality.unseen) != len(fitted.ids):  # a label came in between
        return
    rows, columns = np.nonzero(~np.isnan(quality.unseen))
    p, yes = quality.unseen[rows, columns], quality.given[rows, columns] == YES
    surprise = np.where(yes, 1 - p, p)
    for at in np.argsort(-surprise, kind="stable"):
        if surprise[at] <= 0.5:
            return
        name = quality.classes[columns[at]]
        said = Line("said_to_be", "said to be") if yes[at] else Line("said_not_to_be", "said not to be")
        words = "{said} {what}, and without that answer the probability would be {sure}"
        reason = Line("why_surprising", words, said=said, what=name, sure=f"{p[at]:.0%}")
        yield Question(int(fitted.ids[rows[at]]), name, "mislabelled", reason)
