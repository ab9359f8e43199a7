"""Bringing the index of a collection up to date: pictures that came since go behind it, or a new one is built.

A small index is built anew in a moment. Behind a large one newcomers are appended, searchable at once; when they have
become many, or many of its pictures have gone, a new one is built beside it and takes its place in one write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from indexer.catalog import Collection
from indexer.embed import EmbedResult, embed_missing
from indexer.errors import DamagedIndex, NoIndex
from indexer.home import Home
from indexer.images import contents_of, count_up_to, gone_ids
from indexer.index import open_index
from indexer.publish import BUDGET_MS, FOLD_AT, append, kind_for, publish
from indexer.published import EXACT, Published, files_of, read_published
from indexer.vectors import VectorStore
from model.encoder import Encoder
from model.errors import Cancelled
from model.progress import Line, Progress

GONE = 0.1  # of an index: with more to leave out it is built anew


@dataclass(frozen=True)
class Refreshed:
    """The index as it is now, and what had to be encoded for it."""

    published: Published
    embedded: EmbedResult


def refresh_index(
    engine: Engine,
    home: Home,
    collection: Collection,
    encoder: Encoder,
    *,
    budget_ms: float = BUDGET_MS,
    threads: int = 0,
    progress: Progress = lambda share, message: None,
    stop: Callable[[], bool] = lambda: False,
) -> Refreshed:
    """Embed what is missing and make it searchable. For whoever holds the collection's lock on its index."""
    folder = home.index(collection.id, encoder.info.fingerprint)
    store = VectorStore(home.vectors(encoder.info.fingerprint), encoder.info.dim)
    live = _live(folder, budget_ms)
    if live is None:
        rows = contents_of(engine, collection)
    else:
        rows = _unindexed(engine, collection, *live)
    embedded = embed_missing(engine, home, collection, encoder, rows=rows, progress=progress, stop=stop)
    if live is not None:
        published, ids = live
        positions, vectors = store.get([sha256 for _, sha256, _ in rows])
        added = np.array([rows[i][0] for i in positions], np.int64)
        follow = not len(added) or added.min() > ids[-1]
        if follow and len(added):
            progress(1.0, Line("adding", "adding to the index"))
            published = append(folder, published, added, vectors)
        if follow and not _outgrown(engine, collection, published, ids) and (len(added) or _sound(folder)):
            return Refreshed(published, embedded)
    progress(1.0, Line("publishing", "publishing the index"))
    rows = contents_of(engine, collection)
    positions, vectors = store.get([sha256 for _, sha256, _ in rows])
    ids = np.array([rows[i][0] for i in positions], np.int64)
    del rows

    def say(sentence: str) -> None:
        progress(1.0, sentence)
        if stop():
            raise Cancelled("Stopped before the new index was whole; start again to go on.")

    return Refreshed(publish(folder, ids, vectors, budget_ms=budget_ms, threads=threads, say=say), embedded)


def _live(folder: Path, budget_ms: float) -> tuple[Published, np.ndarray] | None:
    """The live index and its ids, when it is one that can grow by a tail."""
    try:
        published = read_published(folder)
        if published.matrix is None or kind_for(published.count, published.dim, budget_ms) == EXACT:
            return None
        ids = np.frombuffer(files_of(folder, published)["ids"].read_bytes(), np.int64)
    except (NoIndex, DamagedIndex, OSError, ValueError):
        return None
    return (published, ids) if len(ids) == published.count else None


def _unindexed(
    engine: Engine, collection: Collection, published: Published, ids: np.ndarray
) -> list[tuple[int, str, str]]:
    """The rows of `contents_of` that the index lacks. Of a million old ones only their number is asked, if it fits."""
    last, gone = int(ids[-1]), gone_ids(engine, collection)
    here = count_up_to(engine, collection, last) - np.count_nonzero(gone <= last)
    if here == len(ids) - np.count_nonzero(np.isin(ids, gone)):
        return contents_of(engine, collection, last)
    known = set(ids.tolist())  # some came back, or could not be read when the index was built
    return [row for row in contents_of(engine, collection) if row[0] not in known]


def _outgrown(engine: Engine, collection: Collection, published: Published, ids: np.ndarray) -> bool:
    """Whether searches spend too long on what came or went since the index was built."""
    gone = int(np.count_nonzero(np.isin(ids, gone_ids(engine, collection))))
    return published.tail > FOLD_AT or gone > GONE * len(ids)


def _sound(folder: Path) -> bool:
    """Whether the live index opens. Asked when there was nothing to add: somebody may want it repaired."""
    try:
        open_index(folder)
    except (NoIndex, DamagedIndex, OSError, ValueError, RuntimeError):
        return False
    return True
