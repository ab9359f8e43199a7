"""Building an index of the kind that suits its size, measuring how well it finds, and making it the live one.

Published atomically: the parts first, each named by its hash, and `current.json` last. A process killed at any moment
leaves the old index or the new one. (`faiss.write_index` would destroy the old file first and may truncate silently,
so the index is serialised, hashed, and written like every other file.)
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from indexer.index import VectorIndex, identity, open_index
from indexer.published import EXACT, GRAPH, Published, files_of, make_current
from indexer.schema import now
from indexer.sketch import SAMPLE, Sketch, learn_sketch
from model.files import hash_of, remove_partials, write_atomically, write_named_by_hash
from model.progress import Line

BUDGET_MS = 1.0  # a search among many should take no longer, without HTTP
BYTES_PER_MS = 10_000_000  # read by one thread that compares vectors: 9 to 45 GB/s measured
WANTED = {10: 0.99, 100: 0.95}  # recall at so many places of what is published
HELD_OUT = 500  # vectors kept out of a new index to measure it with, at most a tenth of all
EFFORTS = (16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256, 384, 512)  # near ones that a walk may hold
FEWEST = 2  # vectors that can be linked, one of them held out
FOLD_AT = 5_000  # rows of a tail, half a millisecond of every search: then a new index is built with them in it
BLOCK = 65_536  # rows written or compared at once

Say = Callable[[str], None]


def kind_for(count: int, dim: int, budget_ms: float = BUDGET_MS) -> str:
    """The most exact kind whose search reads no more than the budget allows."""
    return EXACT if count < FEWEST or count * dim * 4 <= budget_ms * BYTES_PER_MS else GRAPH


def publish(
    folder: Path,
    ids: np.ndarray,
    vectors: np.ndarray,
    *,
    budget_ms: float = BUDGET_MS,
    threads: int = 0,
    say: Say = lambda sentence: None,
) -> Published:
    """Build the index of `vectors` (N, D), unit float32, under `ids` (N,) and make it the live one."""
    order = np.argsort(ids)
    if not np.array_equal(order, np.arange(len(ids))):  # a million vectors are not copied for nothing
        ids, vectors = ids[order], vectors[order]
    ids, vectors = np.ascontiguousarray(ids, np.int64), np.ascontiguousarray(vectors, np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    remove_partials(folder)
    kind = kind_for(len(vectors), vectors.shape[1], budget_ms)
    if kind == EXACT:
        published = _publish_exact(folder, ids, vectors)
    else:
        published = _publish_large(folder, ids, vectors, threads or os.cpu_count() or 1, say)
    make_current(folder, published)
    return published


def append(folder: Path, published: Published, ids: np.ndarray, vectors: np.ndarray) -> Published:
    """Make `vectors` (T, D) under `ids` (T,), all newer than those of the live index, searchable behind it: its tail.

    Nothing that is live changes: rows that `current.json` does not count are nobody's, and written over the next time.
    """
    files = files_of(folder, published)
    before = np.frombuffer(files["ids"].read_bytes(), np.int64)
    if published.matrix is None or len(before) != published.count or (len(ids) and ids.min() <= before[-1]):
        raise ValueError("only newer images can follow a large index")
    order = np.argsort(ids)
    remove_partials(folder)
    row = published.dim * 4  # bytes
    with open(files["matrix"], "r+b") as file:
        try:
            file.seek(published.count * row)
            file.write(np.ascontiguousarray(vectors[order], np.float32).data)
            file.flush()
            file.truncate()
            os.fsync(file.fileno())
        except OSError:  # the disk is full, perhaps: give back what was taken
            os.truncate(files["matrix"], published.count * row)
            raise
    tail = published.tail + len(ids)
    grown = replace(
        published,
        count=published.count + len(ids),
        tail=tail,
        tail_sha256=hash_of(files["matrix"], published.base * row, tail * row),
        ids=write_named_by_hash(folder, ".ids", [np.concatenate([before, ids[order].astype(np.int64)]).data]),
        created_at=now(),
    )
    grown = replace(grown, sha256=identity(grown))
    make_current(folder, grown)
    return grown


def renumber(source: Path, folder: Path, new_ids: Callable[[np.ndarray], np.ndarray]) -> Published:
    """The live index in the folder `source` as that of `folder`, which takes its files, under other ids.

    `new_ids` turns ids (N,) into others that ascend alike, so that every vector keeps its row.
    """
    index = open_index(source)
    ids = np.ascontiguousarray(new_ids(index.ids), np.int64)
    if len(ids) > 1 and np.diff(ids).min() <= 0:
        raise ValueError("new ids must ascend like the old")
    folder.mkdir(parents=True, exist_ok=True)
    published = index.published
    if published.matrix is None:
        published = _publish_exact(folder, ids, np.ascontiguousarray(index.vectors))
    else:
        for kind, path in files_of(source, published).items():
            if kind != "ids":
                os.replace(path, folder / path.name)
        published = replace(published, ids=write_named_by_hash(folder, ".ids", [ids.data]))
        published = replace(published, sha256=identity(published))
    make_current(folder, published)
    return published


def _publish_exact(folder: Path, ids: np.ndarray, vectors: np.ndarray) -> Published:
    index = faiss.IndexIDMap(faiss.IndexFlatIP(vectors.shape[1]))
    index.add_with_ids(vectors, ids)
    data = faiss.serialize_index(index).tobytes()
    sha256 = hashlib.sha256(data).hexdigest()
    write_atomically(folder / f"{sha256}.faiss", data)
    return Published(sha256, len(ids), vectors.shape[1], EXACT, now())


def _publish_large(folder: Path, ids: np.ndarray, vectors: np.ndarray, threads: int, say: Say) -> Published:
    say(Line("building", "building the index of {n:,} vectors", n=len(vectors)))
    index, published = _graph(ids, vectors, threads, say)
    say(Line("writing", "writing the index"))
    matrix = write_named_by_hash(folder, ".vectors", _blocks(vectors))
    named = write_named_by_hash(folder, ".ids", [ids.data])
    graph = write_named_by_hash(folder, ".faiss", [faiss.serialize_index(index).data])
    published = replace(published, faiss=graph, matrix=matrix, ids=named)
    return replace(published, sha256=identity(published))


def _graph(ids: np.ndarray, vectors: np.ndarray, threads: int, say: Say) -> tuple[Any, Published]:
    """Short forms and their graph, and how far to walk: 0 where no walk finds enough, and all are compared."""
    count, dim = vectors.shape
    held = _held_out(count)
    rows = np.setdiff1d(np.arange(count), held)
    sample = np.sort(np.random.default_rng(0).choice(rows, min(len(rows), 2 * SAMPLE), replace=False))
    faiss.omp_set_num_threads(1)  # several would link them differently each time
    # The other core meanwhile compares. Each with one thread: those of BLAS wait for one another spinning, and where
    # other work keeps one of them waiting, so do all.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(1) as beside:
        comparing = beside.submit(_nearest, vectors, held, np.broadcast_to(held, (len(held), len(held))))
        index = learn_sketch(np.ascontiguousarray(vectors[sample]))
        for start in range(0, len(rows), BLOCK):
            say(Line("linking", "linking vectors to those that are alike: {done:,} of {n:,}", done=start, n=count))
            part = rows[start : start + BLOCK]
            index.add_with_ids(np.ascontiguousarray(vectors[part]), part)
        say(Line("recall", "measuring how well it finds"))
        nearest = comparing.result()  # none of the held-out vectors is in the index yet
    sketch = Sketch(index)
    sketch.slack = sketch.measured(vectors, held, threads)
    walking = partial(replace, Published("", count, dim, GRAPH, now(), matrix="", slack=sketch.slack))
    reached: dict[int, dict[int, np.ndarray]] = {}  # effort → recalls (H,) at each k of `WANTED`

    def suffices(effort: int) -> bool:
        looking = VectorIndex(index, ids, vectors, walking(effort=effort), sketch)
        recalls = reached[effort] = {}
        for k, wanted in WANTED.items():
            found = list(pool.map(partial(_found, looking, k, ids[held]), vectors[held]))
            recalls |= _recalls(found, nearest, [k])
            # Less twice its standard error: it should hold for other pictures than these, too.
            if effort and recalls[k].mean() - 2 * recalls[k].std() / np.sqrt(len(held)) < wanted:
                return False
        return True

    with ThreadPoolExecutor(threads) as pool:
        effort = (*EFFORTS, 0)[bisect_left(EFFORTS, True, key=suffices)]  # more effort finds no less
        if not effort:
            suffices(effort)
    faiss.omp_set_num_threads(1)
    index.add_with_ids(np.ascontiguousarray(vectors[held]), held)
    return index, _with_recall(walking(effort=effort), reached[effort])


def _found(looking: VectorIndex, k: int, hidden: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The cosines that a search would find if the ids `hidden`, which no walk meets yet, were not there at all."""
    walked = looking.walked(query, k) if looking.published.effort else None
    return looking.search(query, k, without=hidden, everywhere=True)[1] if walked is None else walked[1]


def _held_out(count: int) -> np.ndarray:
    """Rows (H,) to measure with, ascending."""
    return np.sort(np.random.default_rng(1).choice(count, min(HELD_OUT, max(1, count // 10)), replace=False))


def _nearest(vectors: np.ndarray, held: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(H, 100) exact cosines of each held-out row's nearest, best first, the rows in `hidden` (H, ·) left out for it.

    -inf where there are fewer.
    """
    queries, k = vectors[held], max(WANTED)
    best = np.full((len(held), k), -np.inf, np.float32)
    for start in range(0, len(vectors), BLOCK):
        cosines = queries @ vectors[start : start + BLOCK].T  # (H, block)
        which, row = np.nonzero((hidden >= start) & (hidden < start + BLOCK))
        cosines[which, hidden[which, row] - start] = -np.inf
        both = np.concatenate([best, cosines], axis=1)
        best = np.partition(both, both.shape[1] - k, axis=1)[:, -k:]
    return -np.sort(-best, axis=1)


def _recalls(found: Sequence[np.ndarray], nearest: np.ndarray, at: Iterable[int]) -> dict[int, np.ndarray]:
    """Recall (H,) at each k of `at`: the share of k found that are as near as the k-th nearest, or equally near."""
    recalls = {}
    for k in at:
        there = np.maximum(np.minimum(np.isfinite(nearest).sum(axis=1), k), 1)  # as many as can be found
        least = nearest[np.arange(len(nearest)), there - 1] - 1e-6
        recalls[k] = np.array([np.count_nonzero(c[:k] >= x) for c, x in zip(found, least, strict=True)]) / there
    return recalls


def _with_recall(published: Published, measured: dict[int, np.ndarray]) -> Published:
    ten, hundred = (round(float(measured[k].mean()), 4) for k in (10, 100))
    return replace(published, recall=ten, recall_100=hundred, held_out=len(measured[10]))


def _blocks(vectors: np.ndarray) -> Iterator[memoryview]:
    for start in range(0, len(vectors), BLOCK):
        yield vectors[start : start + BLOCK].data
