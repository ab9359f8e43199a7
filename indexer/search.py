"""Positives, negatives and a filter → ranked hits."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np

from indexer.index import VectorIndex
from indexer.steer import direction
from model.progress import Line

ARRANGED = 1000  # places of a list that is cut or arranged
LOOKED_AT = 200  # hits that a more varied list is chosen from
RARE = 3.5  # robust standard deviations above the collection's median: one in some thousand ordinary pictures
ONE_IN = 0.01  # ... and where no hit is as rare as that, the share of ordinary pictures that score as much
SAMPLE, FEWEST = 1000, 30  # random vectors that say what is ordinary; with fewer than so many there is no telling
CHANCE = "below {score} likeness may be chance."

_ordinary: WeakKeyDictionary[VectorIndex, np.ndarray] = WeakKeyDictionary()


@dataclass(frozen=True)
class Wish:
    """How a list is cut and arranged. Each of these looks at the first thousand places only."""

    min_score: float | None = None
    group: float | None = None  # pictures whose cosine is at least this are shown as one
    variety: float = 0.0  # 0 to 1: how much a hit should differ from those before it

    @property
    def plain(self) -> bool:
        return self == Wish()


@dataclass(frozen=True)
class End:
    """Where the alike ones end: below `score` a picture is no more alike than ordinary ones are."""

    score: float
    at: int | None  # how many hits lie before it, when it lies among the places looked at
    reason: Line


@dataclass(frozen=True)
class Hits:
    """A page of a ranked list. `scores` is what it is sorted by, `cosines` the likeness to the nearest positive."""

    ids: np.ndarray  # (n,) int64
    scores: np.ndarray  # (n,) float32
    cosines: np.ndarray  # (n,) float32
    total: int  # of images that could have been listed
    end: End | None = None
    alike: dict[int, list[int]] = field(default_factory=dict)  # id → further ids that it stands for


def search(
    index: VectorIndex,
    positive: np.ndarray,
    negative: np.ndarray,
    *,
    limit: int,
    offset: int = 0,
    among: np.ndarray | None = None,
    exclude: np.ndarray | None = None,
    wish: Wish = Wish(),
) -> Hits:
    """Rank by likeness to `positive` (P, D) and unlikeness to `negative` (M, D), all unit vectors.

    One positive alone ranks by cosine; several examples rank by the direction between them (`indexer.steer`). `among`
    are the only ids to list (None: all), `exclude` ids never to list (the examples themselves).
    """
    steered = len(positive) > 1 or len(negative) > 0
    query = direction(positive, negative) if steered else positive[0].astype(np.float32)
    exclude = np.zeros(0, np.int64) if exclude is None else np.unique(exclude)
    keep = None if among is None else index.kept(among, exclude)
    total = len(index.ids) - int(index.rows_of(exclude)[1].sum()) if keep is None else int(np.count_nonzero(keep))
    if total == 0:
        return Hits(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32), 0)
    looked_at = offset + limit if wish.plain else ARRANGED
    first = limit if wish.plain and offset else None
    # Such a direction is no picture's: walks were measured with pictures, so it is compared with everything.
    ids, scores = index.search(query, looked_at, among, exclude, keep, everywhere=steered, first=first)
    end = _end(index, query, scores, complete=len(ids) == total)
    alike: dict[int, list[int]] = {}
    if not wish.plain:
        places, alike = _arranged(index, ids, scores, wish)
        ids, scores, total = ids[places], scores[places], len(places)
    ids, scores = ids[offset : offset + limit], scores[offset : offset + limit]
    _, vectors = index.vectors_of(ids)
    cosines = (vectors @ positive.T).max(axis=1) if len(ids) else scores
    shown = {int(i): alike[int(i)] for i in ids if int(i) in alike}
    return Hits(ids, scores, cosines.astype(np.float32), total, end, shown)


def _end(index: VectorIndex, query: np.ndarray, scores: np.ndarray, complete: bool) -> End | None:
    """Where the list reaches what ordinary pictures of this collection score; None when too few say what is ordinary.

    By median and median deviation: a tenth of the collection may be alike without moving them.
    """
    ordinary = ordinary_of(index) @ query
    if len(ordinary) < FEWEST:
        return None
    middle = float(np.median(ordinary))
    spread = 1.4826 * float(np.median(np.abs(ordinary - middle)))
    score = middle + RARE * spread
    values = {"middle": f"{middle:.2f}", "spread": f"{spread:.2f}", "score": f"{score:.2f}"}
    words = "An ordinary picture of this collection scores {middle}, give or take {spread}; "
    reason = Line("end_ordinary", words + CHANCE, **values)
    if not len(scores) or scores[0] < score:  # many pictures are somewhat alike, as under a general encoder
        score = float(np.quantile(ordinary, 1 - ONE_IN))
        words = "Nothing stands out here: one ordinary picture in {one_in} scores {score} or more; "
        reason = Line("end_nothing", words + CHANCE, one_in=round(1 / ONE_IN), score=f"{score:.2f}")
    before = int(np.count_nonzero(scores >= score))
    return End(round(score, 6), before if complete or before < len(scores) else None, reason)


def ordinary_of(index: VectorIndex) -> np.ndarray:
    """(S, D) a random sample of the index; the same for the same index, and kept as long as it is."""
    known = _ordinary.get(index)
    if known is None:
        count = len(index.ids)
        rows = np.sort(np.random.default_rng(0).choice(count, min(SAMPLE, count), replace=False))
        known = _ordinary[index] = np.array(index.vectors[rows])
    return known


def _arranged(
    index: VectorIndex, ids: np.ndarray, scores: np.ndarray, wish: Wish
) -> tuple[np.ndarray, dict[int, list[int]]]:
    """The places of a list to show, in order, and what each of their ids stands for."""
    places = np.arange(len(ids))
    if wish.min_score is not None:
        places = places[scores >= wish.min_score]
    _, vectors = index.vectors_of(ids[places])
    alike: dict[int, list[int]] = {}
    if wish.group is not None:
        first: list[int] = []  # positions in `places` of those shown
        for at in range(len(places)):
            likeness = vectors[first] @ vectors[at] if first else np.zeros(0)
            if len(likeness) and likeness.max() >= wish.group:
                shown = int(ids[places[first[int(likeness.argmax())]]])
                alike.setdefault(shown, []).append(int(ids[places[at]]))
            else:
                first.append(at)
        places, vectors = places[first], vectors[first]
    if wish.variety and len(places):
        places = np.concatenate([places[_varied(scores[places], vectors, wish.variety)], places[LOOKED_AT:]])
    return places, alike


def _varied(scores: np.ndarray, vectors: np.ndarray, variety: float) -> np.ndarray:
    """Positions of the first LOOKED_AT hits, like the query but unlike each other (MMR, Carbonell & Goldstein 1998)."""
    scores, vectors = scores[:LOOKED_AT], vectors[:LOOKED_AT]
    nearest = np.zeros(len(scores), np.float32)  # cosine to what was chosen before
    chosen: list[int] = []
    left = np.full(len(scores), True)
    for _ in range(len(scores)):
        value = np.where(left, (1 - variety) * scores - variety * nearest, -np.inf)
        best = int(value.argmax())
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return np.array(chosen)
