"""One collection as one file: what it holds, written while it is in use.

A zip whose members are stored as they are, so that it is as large as what it holds and can be streamed. The last one,
`bundle.json`, names every other with its size and SHA-256; without it a bundle is not whole. Rows of the catalog are
lines of JSON under the ids they had. Nothing in it can be executed. `indexer.unbundle` reads it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine, Select, Table, select

from indexer.catalog import SCHEMA_VERSION, Collection
from indexer.errors import NoIndex
from indexer.home import Home
from indexer.published import CURRENT, files_of, read_published
from indexer.schema import (
    actions,
    classes,
    collections,
    contents,
    distinct_pairs,
    files,
    images,
    label_events,
    now,
    probes,
    searches,
)
from indexer.vectors import VectorStore
from model.info import ONNX, ONNX_INFO
from model.progress import Progress

FORMAT, VERSION = "likeness bundle", 1
MANIFEST, VECTORS = "bundle.json", "vectors.bin"
BLOCK = 1 << 20
ROWS = 1000  # of the catalog, or vectors, at once
CACHES = (ONNX, ONNX_INFO)  # of a model: made from its weights when they are missing
TABLES: tuple[Table, ...] = (
    collections, contents, images, files, distinct_pairs, classes, actions, label_events, searches, probes
)  # fmt: skip
README = b"""A collection of Likeness: its model, index, labels, classifier and previews. Bring it back with

    likeness restore THIS_FILE

labels.csv and report.json can be read without Likeness; bundle.json names every file with its size and SHA-256.
"""


@dataclass(frozen=True)
class _Chosen:
    """The files that go into a bundle, open: an index that is replaced meanwhile stays readable."""

    index: dict[str, tuple[IO[bytes], int]]  # name → file, bytes of it that count
    model: dict[str, Path]


def bundle(
    engine: Engine,
    home: Home,
    collection: Collection,
    extra: Mapping[str, bytes],
    originals: bool = False,
    progress: Progress = lambda share, message: None,
) -> Iterator[bytes]:
    """The bytes of a bundle, bit by bit. `extra` are files for people; `originals` takes uploads along.

    Raises NoIndex, before anything is given, for a collection without an index.
    """
    if collection.active_model is None:
        raise NoIndex(f"{collection.name!r} has no index yet: run `likeness index`, and bundle it then.")
    folder = home.index(collection.id, collection.active_model)
    published = read_published(folder)
    stack = ExitStack()
    try:
        row = published.dim * 4
        index: dict[str, tuple[IO[bytes], int]] = {}
        for kind, path in files_of(folder, published).items():
            file = stack.enter_context(open(path, "rb"))  # noqa: SIM115
            # Rows behind those that `current.json` counts are nobody's.
            index[path.name] = (file, published.count * row if kind == "matrix" else path.stat().st_size)
        index[CURRENT] = (stack.enter_context((folder / CURRENT).open("rb")), (folder / CURRENT).stat().st_size)
        model = {p.name: p for p in sorted(home.model(collection.active_model).iterdir())
                 if p.is_file() and p.name not in CACHES and not p.name.startswith(".")}  # fmt: skip
        connection = stack.enter_context(engine.connect())
        _begin_reading(connection)
    except BaseException:
        stack.close()
        raise
    return _written(stack, connection, home, collection, _Chosen(index, model), extra, originals, progress)


def _written(
    stack: ExitStack,
    connection: Connection,
    home: Home,
    collection: Collection,
    chosen: _Chosen,
    extra: Mapping[str, bytes],
    originals: bool,
    progress: Progress,
) -> Iterator[bytes]:
    with stack:
        stream: Any = _Stream()  # it can be written to, and that is all that a zip asks
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            members = _Members(archive)
            for name, data in {"README.txt": README, **extra}.items():
                yield from members.add(name, [data], stream)
            for table in TABLES:
                yield from members.add(f"catalog/{table.name}.jsonl", _lines(connection, collection, table), stream)
            for name, path in chosen.model.items():
                yield from members.add(f"model/{name}", _read(path), stream)
            for name, (file, size) in chosen.index.items():
                yield from members.add(f"index/{name}", _part(file, size), stream)
            held = _contents_of(connection, collection)
            fingerprint = collection.active_model or ""
            store = VectorStore(home.vectors(fingerprint), read_published(home.index(collection.id, fingerprint)).dim)
            yield from members.add(VECTORS, store.halves([each.sha256 for each in held]), stream)
            previews = {f"{each.sha256}.{each.preview_suffix}": home.preview(each.sha256, each.preview_suffix)
                        for each in held}  # fmt: skip
            kept = {each.parent_sha256 or each.sha256 for each in held if each.stored} if originals else set()
            paths = {f"previews/{name}": path for name, path in previews.items()}
            paths |= {f"originals/{sha256}": home.original(sha256) for sha256 in sorted(kept)}
            for number, (name, path) in enumerate(paths.items()):
                if path.exists():  # a picture that went meanwhile, or whose preview was lost
                    yield from members.add(name, _read(path), stream)
                if number % 500 == 0:
                    progress(number / len(paths), f"{number:,} of {len(paths):,} pictures")
            manifest = {
                "format": FORMAT, "version": VERSION, "schema": SCHEMA_VERSION, "created_at": now(),
                "collection": collection.name, "model": collection.active_model, "files": members.written,
            }  # fmt: skip
            archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
            yield stream.taken()
        yield stream.taken()


class _Stream:
    """What a zip writes to: bytes wait here until they are taken. It cannot seek, so sizes follow their files."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._waiting.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def taken(self) -> bytes:
        data, self._waiting = b"".join(self._waiting), []
        return data


class _Members:
    """Adds files to a zip, and remembers their sizes and hashes."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.written: dict[str, dict[str, Any]] = {}

    def add(self, name: str, parts: Iterable[bytes], stream: _Stream) -> Iterator[bytes]:
        hashed, size = hashlib.sha256(), 0
        with self.archive.open(name, "w", force_zip64=True) as file:
            for part in parts:
                hashed.update(part)
                size += len(part)
                file.write(part)
                yield stream.taken()
        self.written[name] = {"bytes": size, "sha256": hashed.hexdigest()}


def _begin_reading(connection: Connection) -> None:
    """From here on the connection sees the catalog as it is now, whoever writes meanwhile."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _contents_of(connection: Connection, collection: Collection) -> list[Any]:
    """The contents behind the images that are there, whose previews and vectors are kept."""
    query = (
        select(contents.c.sha256, contents.c.preview_suffix, contents.c.stored, contents.c.parent_sha256)
        .join(images, images.c.sha256 == contents.c.sha256)
        .where(images.c.collection_id == collection.id, images.c.removed_at.is_(None))
        .order_by(images.c.id)
    )
    return list(connection.execute(query).all())


def _rows_of(collection: Collection, table: Table) -> Select[Any]:
    """The rows of a table that are the collection's, in the order they were made."""
    query = select(table)
    if table is collections:
        return query.where(table.c.id == collection.id)
    if table is contents:
        held = select(images.c.sha256).where(images.c.collection_id == collection.id)
        return query.where(table.c.sha256.in_(held)).order_by(table.c.sha256)
    if table is label_events:
        of_it = select(actions.c.id).where(actions.c.collection_id == collection.id)
        return query.where(table.c.action_id.in_(of_it)).order_by(table.c.id)
    query = query.where(table.c.collection_id == collection.id)
    if table is probes:
        return query.where(table.c.fingerprint == collection.active_model)
    return query.order_by(*table.primary_key)


def _lines(connection: Connection, collection: Collection, table: Table) -> Iterator[bytes]:
    found = connection.execute(_rows_of(collection, table)).mappings()
    for part in found.partitions(ROWS):
        lines = [json.dumps({k: v.hex() if isinstance(v, bytes) else v for k, v in row.items()}) for row in part]
        yield ("\n".join(lines) + "\n").encode()


def _read(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while data := file.read(BLOCK):
            yield data


def _part(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size and (data := file.read(min(BLOCK, size))):
        size -= len(data)
        yield data
