"""Folders, files, zips and uploads → catalog and previews. What was added, known, refused, and why.

The catalog is written in small batches, each of them complete, so a run that is stopped or killed goes on where it was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Engine, select

from indexer.batch import commit
from indexer.catalog import Collection, touch
from indexer.classes import LONGEST_NAME
from indexer.digest import Digest, digested
from indexer.embed import Embedder
from indexer.home import Home
from indexer.labels import label_unlabelled
from indexer.missing import mark_missing, show_again
from indexer.parts import WHOLE, Cutting
from indexer.plan import make_plan
from indexer.schema import contents
from indexer.sources import Scan, Source, readable
from model.errors import Cancelled
from model.progress import Line, Progress, rate_line, said

BATCH = 256  # images a transaction, or what a second brings: what a kill may repeat
FEW = 500  # files whose sizes are looked up one by one
LISTED = 1000  # ids listed in a result; a job's row must stay small


@dataclass
class ImportResult:
    """What an import did. `added` are new images, `known` files whose picture the collection holds already."""

    added: list[dict[str, Any]] = field(default_factory=list)  # {id, name}, the first `LISTED`
    added_total: int = 0
    known: int = 0
    moved: int = 0  # of the known: they lay elsewhere before
    back: int = 0  # of the known: they had left the lists, or lost their preview; the index may lack them
    missing: int = 0  # files that were imported from here and are gone; their images stay
    removed: int = 0  # left out because a person removed them from the collection
    refused: list[dict[str, Any]] = field(default_factory=list)  # {path, name, reason, said}
    encoded: int = 0  # of the added, meanwhile; the index encodes the others
    labelled: int = 0  # images that took their folder's name as class
    seconds: float = 0.0


def import_sources(
    engine: Engine,
    home: Home,
    collection: Collection,
    found: Scan,
    *,
    labels_from_folders: bool = False,
    allow_empty: bool = False,
    cutting: Cutting = WHOLE,
    retry: bool = False,
    progress: Progress = lambda share, message: None,
    stop: Callable[[], bool] = lambda: False,
    committed: Callable[[int], None] = lambda images: None,
    workers: int | None = None,
    embedder: Embedder | None = None,
) -> ImportResult:
    """Bring the pictures of a scan into a collection. Running it again adds nothing.

    `committed` hears, between two transactions, how many images have been added so far. `embedder` is given what has
    come in, so that it need not be decoded again.
    Raises `BadInput`, before anything is changed, when a folder that was imported before holds nothing any more.
    """
    started = time.monotonic()
    result = ImportResult()
    for path, reason in found.refused:
        result.refused.append({"path": path, "name": path, "reason": str(reason), "said": said(reason)})
    plan = make_plan(engine, home, collection, found, allow_empty, cutting, retry)
    result.known, result.removed, result.missing = plan.known, plan.removed, len(plan.missing)
    result.refused += [_refusal(source, reason) for source, reason in plan.refused]
    if plan.missing or plan.back:
        with engine.begin() as connection:
            touch(connection, collection.id)
            mark_missing(connection, plan.missing, True)
            mark_missing(connection, plan.back, False)
            result.back = show_again(connection, collection.id, plan.back)
    in_folders: dict[int, list[str]] = {}  # image id → names of the folders it lies in
    for source in found.sources if labels_from_folders else ():
        if source.depth > 0 and (row := plan.rows.get(source.path)) is not None and row.image_id is not None:
            _add_class(in_folders, row.image_id, source)
    pending: list[tuple[Source, list[Digest]]] = []

    def write() -> None:
        nonlocal pending
        batch, pending = pending, []
        while batch:
            done = commit(engine, home, collection, batch, plan)
            lost = {source.path for source in done.lost}
            batch = [(source, digests) for source, digests in batch if source.path not in lost]
            for source, image_id in done.image_ids:
                if source.depth > 0:
                    _add_class(in_folders, image_id, source)
            if embedder is not None:
                _give(embedder, batch, done.known)
            for source, digests in batch:
                result.refused += [_refusal(source, digest.refused) for digest in digests if digest.refused]
            result.added_total += len(done.added)
            result.added += done.added[: LISTED - len(result.added)]
            result.known += len(done.known) - done.removed
            result.moved += done.moved
            result.back += done.back
            result.removed += done.removed
            batch = list(digested(done.lost, home, 1, cutting=cutting)) if done.lost else []

    count, committed_at = 0, time.monotonic()
    sizes = _known_sizes(engine, plan.fresh)
    preparation = embedder.preparation if embedder is not None else None
    try:
        for source, digests in digested(plan.fresh, home, workers or os.cpu_count() or 1, sizes, cutting, preparation):
            pending.append((source, digests))
            count += 1
            if len(pending) >= BATCH or time.monotonic() - committed_at > 1:
                write()
                committed(result.added_total)
                committed_at = time.monotonic()
                progress(count / len(plan.fresh), rate_line(count, len(plan.fresh), time.monotonic() - started))
            if stop():
                english = "Stopped after {done:,} of {total:,} files; import again to go on."
                raise Cancelled(Line("import_stopped", english, done=count, total=len(plan.fresh)))
    finally:
        write()
    if labels_from_folders:
        result.labelled = label_unlabelled(engine, collection, in_folders, source="folders")
    result.seconds = time.monotonic() - started
    return result


def _give(embedder: Embedder, batch: Sequence[tuple[Source, list[Digest]]], known: Sequence[str]) -> None:
    """Have the pictures encoded that this batch brought in; of those known, what is missing is found by the index."""
    squares: dict[str, np.ndarray] = {}
    for _, digests in batch:
        for digest in digests:
            if digest.preview is not None and digest.preview.square is not None:
                squares[digest.sha256] = digest.preview.square
    for sha256 in known:
        squares.pop(sha256, None)
    if squares:
        embedder.put(list(squares), np.stack(list(squares.values())))


def _add_class(in_folders: dict[int, list[str]], image_id: int, source: Source) -> None:
    """Note the class that a picture takes from its folder, unless the folder's name cannot be one."""
    name = source.folder.rpartition("/")[2].strip()[:LONGEST_NAME].strip()
    if name:
        in_folders.setdefault(image_id, []).append(name)


def _refusal(source: Source, reason: str) -> dict[str, Any]:
    # An upload is named as the person knew it, never by where its bytes wait on the server.
    path = readable(source.path) if source.lasting else f"{source.folder}/{source.name}".lstrip("/")
    return {"path": path, "name": source.name, "reason": str(reason), "said": said(reason)}


def _known_sizes(engine: Engine, fresh: Sequence[Source]) -> dict[int, frozenset[tuple[str, str]]]:
    """(hash, preview's suffix) of contents by their size in bytes: a file that was moved or copied is one of these.

    Of all contents, or of those as large as `fresh` when these are few: a second less where there are a million.
    """
    if not fresh:
        return {}
    query = select(contents.c.bytes, contents.c.sha256, contents.c.preview_suffix)
    if len(fresh) <= FEW:
        query = query.where(contents.c.bytes.in_({source.size for source in fresh}))
    sizes: dict[int, set[tuple[str, str]]] = {}
    with engine.connect() as connection:
        for size, sha256, suffix in connection.execute(query):
            sizes.setdefault(size, set()).add((sha256, suffix))
    return {size: frozenset(known) for size, known in sizes.items()}
