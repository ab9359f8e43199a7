"""Folders, files, zips and uploads → catalog and previews. What was added, known, refused, and why.

The catalog is written in small batches, each of them complete, so a run that is stopped or killed goes on where it was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from indexer.catalog import Collection, touch
from indexer.classes import LONGEST_NAME
from indexer.digest import Digest, digested
from indexer.home import Home
from indexer.images import drop_unheld
from indexer.labels import label_unlabelled
from indexer.schema import contents, files, images, now
from indexer.sources import Scan, Source, readable
from model.errors import Cancelled
from model.progress import rate_line

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
        elif not home.preview(row.sha256, row.preview_suffix).exists():
            fresh.append(source)  # somebody cleared it away: make it again
        else:
            result.known += 1
    in_folders: dict[int, str] = {}  # image id → name of the folder it lies in
    for source in found.sources:
        if source.depth > 0 and (row := known.get(source.path)) is not None and row.image_id is not None:
            in_folders[row.image_id] = _class_of(source)
    pending: list[tuple[Source, Digest]] = []
    done, committed_at = 0, time.monotonic()
    try:
        for source, digest in digested(fresh, home, workers or os.cpu_count() or 1):
            pending.append((source, digest))
            done += 1
            if len(pending) >= BATCH or time.monotonic() - committed_at > 1:
                _commit(engine, home, collection, pending, known, result, in_folders)
                pending, committed_at = [], time.monotonic()
                progress(done / len(fresh), rate_line(done, len(fresh), time.monotonic() - started))
            if stop():
                raise Cancelled(f"Stopped after {done:,} of {len(fresh):,} files; import again to go on.")
    finally:
        _commit(engine, home, collection, pending, known, result, in_folders)
    if labels_from_folders:
        named = {image_id: name for image_id, name in in_folders.items() if name}
        result.labelled = label_unlabelled(engine, collection, named, source="folders")
    result.seconds = time.monotonic() - started
    return result


def _class_of(source: Source) -> str:
    """The class that a picture takes from its folder; empty when the folder's name cannot be one."""
    return source.folder.rpartition("/")[2].strip()[:LONGEST_NAME].strip()


def _refusal(source: Source, reason: str) -> dict[str, str]:
    # An upload is named as the person knew it, never by where its bytes wait on the server.
    path = readable(source.path) if source.lasting else f"{source.folder}/{source.name}".lstrip("/")
    return {"path": path, "name": source.name, "reason": reason}


def _known_files(engine: Engine, collection: Collection) -> dict[bytes, Any]:
    columns = (
        *(files.c.path, files.c.size, files.c.mtime_ns, files.c.reason, files.c.image_id),
        *(images.c.removed_at, contents.c.sha256, contents.c.preview_suffix),
    )
    query = (
        select(*columns)
        .outerjoin(images, images.c.id == files.c.image_id)
        .outerjoin(contents, contents.c.sha256 == images.c.sha256)
    )
    with engine.connect() as connection:
        rows = connection.execute(query.where(files.c.collection_id == collection.id))
        return {bytes(row.path): row for row in rows}


def _commit(
    engine: Engine,
    home: Home,
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
    known_already: list[str] = []
    removed = 0
    with engine.begin() as connection:
        for source, digest in pending:
            if digest.again:
                continue
            image_id, before = None, known.get(source.path)
            if digest.preview is not None:
                image_id, is_new, is_removed = _image_of(connection, collection, source, digest, before)
                if is_new:
                    added.append({"id": image_id, "name": source.name})
                else:
                    known_already.append(digest.sha256)
                removed += is_removed
            elif before is not None and before.image_id is not None:
                _mark_absent(connection, before.image_id, source.path)
            if source.lasting:
                _upsert(connection, files, ("collection_id", "path"), {
                    "collection_id": collection.id, "path": source.path, "image_id": image_id,
                    "size": source.size, "mtime_ns": source.mtime_ns, "reason": digest.refused,
                })  # fmt: skip
            if image_id is not None and source.depth > 0:
                in_folders[image_id] = _class_of(source)
        touch(connection, collection.id)
    # Of a removed image, and of one whose file got a tag, the worker has just kept a preview that nobody needs.
    drop_unheld(engine, home, known_already)
    for source, digest in pending:
        if digest.refused:
            result.refused.append(_refusal(source, digest.refused))
    result.added_total += len(added)
    result.added += added[: LISTED - len(result.added)]
    result.known += len(known_already) - removed
    result.removed += removed


def _image_of(
    connection: Connection, collection: Collection, source: Source, digest: Digest, before: Any
) -> tuple[int, bool, bool]:
    """The image a file belongs to: (id, whether it is new, whether a person removed it)."""
    preview = digest.preview
    assert preview is not None
    if before is not None and before.image_id is not None:
        same = connection.execute(
            select(images.c.id, images.c.removed_at)
            .join(contents, contents.c.sha256 == images.c.sha256)
            .where(images.c.id == before.image_id, contents.c.preview_sha256 == digest.preview_sha256)
        ).first()
        if same is not None:  # other bytes, same pixels: a tag was written into the file
            return same.id, False, same.removed_at is not None
    _upsert(connection, contents, ("sha256",), {
        "sha256": digest.sha256, "preview_sha256": digest.preview_sha256, "preview_suffix": preview.suffix,
        "width": preview.width, "height": preview.height, "bytes": digest.bytes, "format": preview.format,
        "taken_at": preview.taken_at, "camera": preview.camera, "stored": int(source.stored),
    }, keep=not source.stored)  # fmt: skip
    row = connection.execute(
        select(images.c.id, images.c.removed_at, contents.c.stored)
        .join(contents, contents.c.sha256 == images.c.sha256)
        .where(images.c.collection_id == collection.id, images.c.sha256 == digest.sha256)
    ).first()
    if before is not None and before.image_id is not None and (row is None or row.id != before.image_id):
        _mark_absent(connection, before.image_id, source.path)
    if row is not None:
        values: dict[str, Any] = {"absent_at": None}
        if not row.stored and not _shown_elsewhere(connection, row.id, source.path):
            values |= {"name": source.name, "folder": source.folder}  # it was moved here
        connection.execute(images.update().where(images.c.id == row.id).values(**values))
        return row.id, False, row.removed_at is not None
    values = {
        "collection_id": collection.id, "sha256": digest.sha256, "name": source.name,
        "folder": source.folder, "added_at": now(),
    }  # fmt: skip
    inserted = connection.execute(images.insert().values(**values).returning(images.c.id)).scalar_one()
    return int(inserted), True, False


def _mark_absent(connection: Connection, image_id: int, path: bytes) -> None:
    """The path now holds another picture; the old one leaves the lists unless another file still shows it."""
    stored = select(contents.c.stored).join(images, images.c.sha256 == contents.c.sha256).where(images.c.id == image_id)
    if not connection.execute(stored).scalar() and not _shown_elsewhere(connection, image_id, path):
        connection.execute(images.update().where(images.c.id == image_id).values(absent_at=now()))


def _shown_elsewhere(connection: Connection, image_id: int, path: bytes) -> bool:
    """Whether another file that we know of, and that is still there, shows the image."""
    others = connection.execute(select(files.c.path).where(files.c.image_id == image_id, files.c.path != path))
    return any(os.path.lexists(bytes(other.path)) for other in others.all())


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
