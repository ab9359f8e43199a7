"""Two models compared blind: pictures shown with what each finds, which list was preferred, and what that says.

Which model stood on which side is drawn when a comparison begins and kept here, so that whoever answers cannot know it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, select
from sqlalchemy import Row as SqlRow

from indexer.catalog import Collection
from indexer.errors import NoSuchComparison
from indexer.schema import comparisons, now
from model.errors import BadInput
from model.interval import exact
from model.progress import Line

FORGOTTEN = timedelta(days=1)  # until a comparison that nobody answered goes


@dataclass(frozen=True)
class Comparison:
    """One picture's neighbours by two models, side by side."""

    id: int
    image_id: int
    left: str  # fingerprint
    right: str
    answer: str | None  # left, right, same; None until it is given


@dataclass(frozen=True)
class Tally:
    """What all answers about two models say."""

    models: tuple[str, str]
    wins: tuple[int, int]  # pictures for which the first's, or the second's, list was preferred
    same: int
    share: float | None  # of pictures with a preference, those that prefer the first
    interval: tuple[float, float] | None  # 95 %
    better: str | None  # the model that is preferred, once the interval leaves one half out
    last: int | None  # the newest answered comparison

    @property
    def votes(self) -> int:
        return sum(self.wins) + self.same


def begin(engine: Engine, collection: Collection, image_id: int, models: tuple[str, str]) -> Comparison:
    """Put two models on sides drawn by lot."""
    left, right = models if secrets.randbelow(2) else models[::-1]
    long_ago = (datetime.now(UTC) - FORGOTTEN).isoformat(timespec="milliseconds")
    values = {
        "collection_id": collection.id, "image_id": image_id, "left_model": left, "right_model": right,
        "created_at": now(),
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(
            comparisons.delete().where(comparisons.c.answer.is_(None), comparisons.c.created_at < long_ago)
        )
        row = connection.execute(comparisons.insert().values(**values).returning(comparisons)).one()
    return _read(row)


def answer(engine: Engine, collection: Collection, comparison_id: int, said: str) -> Comparison:
    """Write down which side was preferred; durable when this returns. An answer given before is given anew."""
    mine = (comparisons.c.id == comparison_id) & (comparisons.c.collection_id == collection.id)
    with engine.begin() as connection:
        row = connection.execute(
            comparisons.update().where(mine).values(answer=said, answered_at=now()).returning(comparisons)
        ).first()
    if row is None:
        raise NoSuchComparison(f"There is no comparison {comparison_id} in {collection.name!r}.")
    return _read(row)


def forget(engine: Engine, collection: Collection, comparison_id: int) -> Comparison:
    """Take a comparison back, with its answer."""
    mine = (comparisons.c.id == comparison_id) & (comparisons.c.collection_id == collection.id)
    with engine.begin() as connection:
        row = connection.execute(comparisons.delete().where(mine).returning(comparisons)).first()
    if row is None:
        raise NoSuchComparison(f"There is no comparison {comparison_id} in {collection.name!r}.")
    return _read(row)


def answered(engine: Engine, collection: Collection) -> list[Comparison]:
    """Every answered comparison of a collection, oldest first."""
    query = select(comparisons).where(comparisons.c.collection_id == collection.id, comparisons.c.answer.is_not(None))
    with engine.connect() as connection:
        return [_read(row) for row in connection.execute(query.order_by(comparisons.c.answered_at, comparisons.c.id))]


def asked(found: Sequence[Comparison], models: tuple[str, str]) -> dict[int, Comparison]:
    """The answered comparisons of two models, by picture: of one that was asked twice the newest counts."""
    return {one.image_id: one for one in found if {one.left, one.right} == set(models)}


def tally(found: Sequence[Comparison], models: tuple[str, str]) -> Tally:
    """Count the pictures for either model; an exact interval for the share of those that differ."""
    if models[0] == models[1]:
        raise BadInput(Line("same_model", "Choose two different models: one compared with itself says nothing."))
    mine = asked(found, models)
    preferred = [one.left if one.answer == "left" else one.right for one in mine.values() if one.answer != "same"]
    wins = (preferred.count(models[0]), preferred.count(models[1]))
    share = wins[0] / len(preferred) if preferred else None
    interval = exact(wins[0], len(preferred)) if preferred else None
    better = None
    if interval is not None and not interval[0] <= 0.5 <= interval[1]:
        better = models[0] if interval[0] > 0.5 else models[1]
    last = max((one.id for one in mine.values()), default=None)
    return Tally(models, wins, len(mine) - len(preferred), share, interval, better, last)


def _read(row: SqlRow) -> Comparison:
    return Comparison(row.id, row.image_id, row.left_model, row.right_model, row.answer)
