"""Folders, files, zips and uploads → catalog and previews. What was added, known, refused, and why.

Decoding runs in a process pool: it uses every core, and a decoder that dies takes only its own file. The catalog is
written in small batches, each of them complete, so a run that is stopped or killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from indexer.catalog import Collection, touch
from indexer.home import Home
from indexer.labels import label_unlabelled
from indexer.schema import contents, files, images, now
from indexer.sources import Scan, Source, batches, read, readable
from model.errors import Cancelled, CannotDecode
from model.files import write_atomically
from model.images import PREVIEW_SIDE, Preview, make_preview

BATCH = 64  # images a transaction: what a kill may repeat
Progress = Callable[[float, str], None]  # share done (0..1), one sentence
LISTED = 1000  # ids listed in a result; a job's row must stay small


@dataclass
class ImportResult:
    """What an import did. `added` are new images, `known` files whose picture the collection holds already."""

    added: list[dict[str, Any]] = field(default_factory=list)  # {id, name}, the first `LISTED`
    added_total: int = 0
    known: int = 0
    removed: int = 0  # left out because a person removed them from the collection
    refused: list[dict[str, str]] = field(default_factory=list)  # {path, name, reason}
    labelled: int = 0  # images that took their folder's name as class
    seconds: float = 0.0


@dataclass(frozen=True)
class Digest:
    """What a worker process found in one file. The preview is on disk when this arrives."""

    sha256: str
    preview_sha256: str
    preview: Preview | None  # without its data
    bytes: int
    refused: str | None = None


def import_sources(
    engine: Engine,
    home: Home,
    collection: Collection,
    found: Scan,
    *,
    labels_from_folders: bool = False,
    progress: Progress = lambda share, message: None,
    stop: Callable[[], bool] = lambda: False,
    workers: int | None = None,
) -> ImportResult:
    """Bring the pictures of a scan into a collection. Running it again adds nothing."""
    started = time.monotonic()
    result = ImportResult()
    for path, reason in found.refused:
        result.refused.append({"path": path, "name": path, "reason": reason})
    known = _known_files(engine, collection)
    fresh: list[Source] = []
    for source in found.sources:
        row = known.get(source.path)
        if row is None or (row.size, row.mtime_ns) != (source.size, source.mtime_ns):
            fresh.append(source)
        elif row.reason:
            result.refused.append(_refusal(source, row.reason))
        elif row.removed_at:
            result.removed += 1
        else:
            result.known += 1
    in_folders: dict[int, str] = {}  # image id → name of the folder it lies in
    for source in found.sources:
        if source.depth > 0 and (row := known.get(source.path)) is not None and row.image_id is not None:
            in_folders[row.image_id] = source.folder.rpartition("/")[2]
    pending: list[tuple[Source, Digest]] = []
    done, committed_at = 0, time.monotonic()
    try:
        for source, digest in _digested(fresh, home, workers or os.cpu_count() or 1):
            pending.append((source, digest))
            done += 1
            if len(pending) >= BATCH or time.monotonic() - committed_at > 1:
                _commit(engine, collection, pending, known, result, in_folders)
                pending, committed_at = [], time.monotonic()
                progress(done / len(fresh), _rate(done, len(fresh), time.monotonic() - started))
            if stop():
                raise Cancelled(f"Stopped after {done:,} of {len(fresh):,} files; import again to go on.")
    finally:
        _commit(engine, collection, pending, known, result, in_folders)
    if labels_from_folders:
        result.labelled = label_unlabelled(engine, collection, in_folders, source="folders")
    result.seconds = time.monotonic() - started
    return result


def _digested(sources: Sequence[Source], home: Home, workers: int) -> Iterator[tuple[Source, Digest]]:
    """Decode in parallel, in order, with a bounded number of files in memory."""
    pool = _pool(workers)
    window: deque[tuple[Source, bytes | None, Future[Digest]]] = deque()

    def finish() -> tuple[Source, Digest]:
        nonlocal pool
        source, data, future = window.popleft()
        try:
            return source, future.result()
        except BrokenProcessPool:
            # One of the files in flight killed its decoder: each now gets a process of its own, so only it is lost.
            pool.shutdown(wait=False, cancel_futures=True)
            digest = _alone(source, data, home)
            pool = _pool(workers)
            waiting = list(window)
            window.clear()
            for other, other_data, _ in waiting:
                window.append((other, other_data, _done(_alone(other, other_data, home))))
            return source, digest

    try:
        for archive, group in batches(sources):
            for source in group:
                data: bytes | None = None
                if archive is not None:
                    try:
                        data = read(source, archive)
                    except Exception as error:  # zipfile raises BadZipFile, zlib.error, RuntimeError, EOFError, ...
                        window.append((source, None, _done(_failed(f"cannot be unpacked ({error})"))))
                        continue
                window.append((source, data, pool.submit(digest_file, source, data, home)))
                if len(window) >= 4 * workers:
                    yield finish()
        while window:
            yield finish()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def digest_file(source: Source, data: bytes | None, home: Home) -> Digest:
    """Read, hash, decode and write the preview of one file. Runs in a worker process."""
    try:
        data = read(source) if data is None else data
    except (OSError, zipfile.BadZipFile) as error:
        return _failed(f"cannot be read ({getattr(error, 'strerror', None) or error})")
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        preview = make_preview(data, source.name, PREVIEW_SIDE)
    except CannotDecode as error:
        return _failed(error.reason)
    for path, content in (
        (home.preview(sha256, preview.suffix), preview.data),
        (home.original(sha256), data if source.stored else None),
    ):
        if content is not None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
    slim = Preview(b"", preview.suffix, preview.width, preview.height, preview.format, preview.taken_at, preview.camera)
    return Digest(sha256, hashlib.sha256(preview.data).hexdigest(), slim, len(data))


def _alone(source: Source, data: bytes | None, home: Home) -> Digest:
    with _pool(1) as pool:
        try:
            return pool.submit(digest_file, source, data, home).result()
        except BrokenProcessPool:
            return _failed("made the decoder crash")


def _pool(workers: int) -> ProcessPoolExecutor:
    # A fork of a process with threads (Torch, ONNX Runtime) may hang; a fork server starts clean.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["indexer.importer"])
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_ctrl_c_to_the_parent)


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _done(digest: Digest) -> Future[Digest]:
    future: Future[Digest] = Future()
    future.set_result(digest)
    return future


def _failed(reason: str) -> Digest:
    return Digest("", "", None, 0, refused=reason)


def _refusal(source: Source, reason: str) -> dict[str, str]:
    # An upload is named as the person knew it, never by where its bytes wait on the server.
    path = readable(source.path) if source.lasting else f"{source.folder}/{source.name}".lstrip("/")
    return {"path": path, "name": source.name, "reason": reason}


def _known_files(engine: Engine, collection: Collection) -> dict[bytes, Any]:
    columns = (files.c.path, files.c.size, files.c.mtime_ns, files.c.reason, files.c.image_id, images.c.removed_at)
    query = select(*columns).outerjoin(images, images.c.id == files.c.image_id)
    with engine.connect() as connection:
        rows = connection.execute(query.where(files.c.collection_id == collection.id))
        return {bytes(row.path): row for row in rows}


def _commit(
    engine: Engine,
    collection: Collection,
    pending: Sequence[tuple[Source, Digest]],
    known: dict[bytes, Any],
    result: ImportResult,
    in_folders: dict[int, str],
) -> None:
    """Write one batch: contents, images and files together, or none of them."""
    if not pending:
        return
    added: list[dict[str, Any]] = []
    seen = removed = 0
    with engine.begin() as connection:
        for source, digest in pending:
            image_id = None
            if digest.preview is not None:
                image_id, is_new, is_removed = _image_of(connection, collection, source, digest, known)
                if is_new:
                    added.append({"id": image_id, "name": source.name})
                removed += is_removed
                seen += not is_new and not is_removed
            if source.lasting:
                _upsert(connection, files, ("collection_id", "path"), {
                    "collection_id": collection.id, "path": source.path, "image_id": image_id,
                    "size": source.size, "mtime_ns": source.mtime_ns, "reason": digest.refused,
                })  # fmt: skip
            if image_id is not None and source.depth > 0:
                in_folders[image_id] = source.folder.rpartition("/")[2]
        touch(connection, collection.id)
    for source, digest in pending:
        if digest.refused:
            result.refused.append(_refusal(source, digest.refused))
    result.added_total += len(added)
    result.added += added[: LISTED - len(result.added)]
    result.known += seen
    result.removed += removed


def _image_of(
    connection: Connection, collection: Collection, source: Source, digest: Digest, known: dict[bytes, Any]
) -> tuple[int, bool, bool]:
    """The image a file belongs to: (id, whether it is new, whether a person removed it)."""
    preview = digest.preview
    assert preview is not None
    before = known.get(source.path)
    if before is not None and before.image_id is not None:
        same = connection.execute(
            select(images.c.id)
            .join(contents, contents.c.sha256 == images.c.sha256)
            .where(images.c.id == before.image_id, contents.c.preview_sha256 == digest.preview_sha256)
        ).scalar()
        if same is not None:  # other bytes, same pixels: a tag was written into the file
            return same, False, False
    _upsert(connection, contents, ("sha256",), {
        "sha256": digest.sha256, "preview_sha256": digest.preview_sha256, "preview_suffix": preview.suffix,
        "width": preview.width, "height": preview.height, "bytes": digest.bytes, "format": preview.format,
        "taken_at": preview.taken_at, "camera": preview.camera, "stored": int(source.stored),
    }, keep=not source.stored)  # fmt: skip
    row = connection.execute(
        select(images.c.id, images.c.removed_at, images.c.absent_at).where(
            images.c.collection_id == collection.id, images.c.sha256 == digest.sha256
        )
    ).first()
    if before is not None and before.image_id is not None and (row is None or row.id != before.image_id):
        _mark_absent(connection, before.image_id, source.path)
    if row is not None:
        if row.absent_at is not None:
            connection.execute(images.update().where(images.c.id == row.id).values(absent_at=None))
        return row.id, False, row.removed_at is not None
    values = {
        "collection_id": collection.id, "sha256": digest.sha256, "name": source.name,
        "folder": source.folder, "added_at": now(),
    }  # fmt: skip
    inserted = connection.execute(images.insert().values(**values).returning(images.c.id)).scalar_one()
    return int(inserted), True, False


def _mark_absent(connection: Connection, image_id: int, path: bytes) -> None:
    """The path now holds another picture; the old one leaves the lists unless another file still shows it."""
    others = select(files.c.id).where(files.c.image_id == image_id, files.c.path != path).limit(1)
    stored = select(contents.c.stored).join(images, images.c.sha256 == contents.c.sha256).where(images.c.id == image_id)
    if connection.execute(others).first() is None and not connection.execute(stored).scalar():
        connection.execute(images.update().where(images.c.id == image_id).values(absent_at=now()))


def _upsert(
    connection: Connection, table: Any, key: tuple[str, ...], values: dict[str, Any], keep: bool = False
) -> None:
    """Insert, or update the row with that key (`keep` leaves an existing row as it is)."""
    dialect: Any = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name]
    insert = dialect.insert(table).values(**values)
    if keep:
        connection.execute(insert.on_conflict_do_nothing(index_elements=list(key)))
    else:
        rest = {name: value for name, value in values.items() if name not in key}
        connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_=rest))


def _rate(done: int, total: int, seconds: float) -> str:
    rate = done / max(seconds, 1e-9)
    return f"{done:,} of {total:,} pictures, {rate:.0f} a second, {duration((total - done) / max(rate, 1e-9))} left"


def duration(seconds: float) -> str:
    """'42 s', '3 min', '1 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
