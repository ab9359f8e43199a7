"""A bundle back into a catalog: read whole and verified first, so that a damaged one changes nothing.

Everything is unpacked into a folder of its own in the data folder, under names that are checked, with sizes and hashes
that `bundle.json` gives. Rows are checked against the tables. Only then do files move to their places, all of them
named by their content, and one transaction makes the collection.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Table, select
from sqlalchemy.exc import IntegrityError

from indexer.bundle import BLOCK, FORMAT, MANIFEST, ROWS, TABLES, VECTORS, VERSION
from indexer.catalog import SCHEMA_VERSION, Collection, check_name, collection_named, lock_writes
from indexer.errors import CollectionExists, DamagedIndex, NoIndex, NoSuchCollection
from indexer.home import Home
from indexer.index import open_index
from indexer.publish import renumber
from indexer.schema import (
    actions,
    classes,
    collections,
    contents,
    distinct_pairs,
    files,
    images,
    label_events,
    probes,
    searches,
)
from indexer.vectors import VectorStore
from model.errors import BadInput, DamagedModel
from model.files import create_folder_atomically, settle
from model.info import read_verified
from model.progress import Progress

HASH = re.compile(r"[0-9a-f]{64}")
MEMBER = re.compile(
    r"README\.txt|labels\.csv|report\.json|vectors\.bin|catalog/[a-z_]{1,40}\.jsonl"
    r"|(model|index)/\w[\w.-]{0,120}|previews/[0-9a-f]{64}\.(jpg|png)|originals/[0-9a-f]{64}",
    re.ASCII,
)
DAMAGES = (  # what reading something else, or half of it, raises
    zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, TypeError, ArithmeticError, RuntimeError,
    FileNotFoundError, FileExistsError, IntegrityError, DamagedModel, DamagedIndex, NoIndex,
)  # fmt: skip
LARGEST_MANIFEST = 1 << 29  # bytes; two million files
Rows = dict[str, list[dict[str, Any]]]


def restore_bundle(
    source: Path,
    engine: Engine,
    home: Home,
    name: str | None = None,
    progress: Progress = lambda share, message: None,
) -> Collection:
    """Make the collection that a bundle holds, under its own name or `name`.

    Raises BadInput for what is no whole bundle, CollectionExists where the name is taken; then nothing has changed.
    """
    staging = home.root / f"restoring-{secrets.token_hex(8)}"
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = _manifest(archive)
            called = name or manifest["collection"]
            check_name(called)
            _require_free(engine, called)
            staging.mkdir(parents=True)
            _unpack(archive, manifest["files"], staging, progress)
        rows = {table.name: list(_rows(staging, table)) for table in TABLES}
        fingerprint = _checked(rows, staging)
        with home.keeping():
            _place(rows, staging, home, fingerprint)
            _write(rows, staging, engine, home, called, fingerprint)
    except DAMAGES as error:
        reason = str(error) or type(error).__name__
        raise BadInput(f"{source} is no whole bundle of Likeness ({reason}); nothing was changed.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return collection_named(engine, called)


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    """What the bundle says it holds, checked against what the zip has."""
    info = archive.getinfo(MANIFEST)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > LARGEST_MANIFEST:  # packed it may become anything
        raise ValueError(f"{MANIFEST} is packed or too large")
    manifest: dict[str, Any] = json.loads(archive.read(MANIFEST))
    if manifest["format"] != FORMAT:
        raise ValueError("it is something else")
    if manifest["version"] > VERSION or manifest["schema"] > SCHEMA_VERSION:
        raise BadInput("This bundle is of a newer Likeness: restore it with that one.")
    names = [info.filename for info in archive.infolist()]
    if len(set(names)) != len(names) or set(names) != {*manifest["files"], MANIFEST}:
        raise ValueError("its files are not those that it names")
    for member in manifest["files"]:
        if not MEMBER.fullmatch(member):
            raise ValueError(f"it holds {member!r}")
    return manifest


def _unpack(archive: zipfile.ZipFile, files_: dict[str, Any], staging: Path, progress: Progress) -> None:
    """Every member into `staging`, as long as its size and hash are those named."""
    for number, (name, said) in enumerate(files_.items()):
        info = archive.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != said["bytes"]:
            raise ValueError(f"{name} is not of the size that it names")
        target = staging / name  # of a checked form: it cannot lead elsewhere
        target.parent.mkdir(exist_ok=True)
        hashed, left = hashlib.sha256(), int(said["bytes"])
        with archive.open(info) as packed, open(target, "xb") as file:
            while data := packed.read(min(BLOCK, left + 1)):
                left -= len(data)
                if left < 0:
                    break
                hashed.update(data)
                file.write(data)
        if left or hashed.hexdigest() != said["sha256"]:
            raise ValueError(f"{name} is damaged")
        if number % 500 == 0:
            progress(number / len(files_), f"{number:,} of {len(files_):,} files verified")


def _rows(staging: Path, table: Table) -> Iterator[dict[str, Any]]:
    """A table's rows, each value of its column's type; a column that came later has its default."""
    with open(staging / "catalog" / f"{table.name}.jsonl", "rb") as file:
        for line in file:
            row = json.loads(line)
            if unknown := set(row) - {column.name for column in table.columns}:
                raise ValueError(f"{table.name} has {min(unknown)!r}")
            for column in table.columns:
                if column.name not in row:
                    if not column.nullable and column.server_default is None:
                        raise ValueError(f"{table.name} lacks {column.name!r}")
                    continue
                value, kind = row[column.name], column.type.python_type
                if value is None and column.nullable:
                    continue
                if kind is bytes:
                    value = row[column.name] = bytes.fromhex(value)
                if kind is dict:  # any JSON
                    continue
                wanted: tuple[type, ...] = (float, int) if kind is float else (bool, int) if kind is bool else (kind,)
                if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
                    raise ValueError(f"{table.name}.{column.name} is {value!r:.50}")
            yield row


def _checked(rows: Rows, staging: Path) -> str:
    """Whether rows and files fit together, and nothing names a place that it must not; the model's fingerprint."""
    (collection,) = rows["collections"]
    for content in rows["contents"]:
        hashes = (content["sha256"], content["preview_sha256"], content["parent_sha256"] or content["sha256"])
        if not all(map(HASH.fullmatch, hashes)) or content["preview_suffix"] not in ("jpg", "png"):
            raise ValueError("a content has no proper name")
    for path in (staging / "originals").glob("*"):
        if _hash(path) != path.name:
            raise ValueError(f"originals/{path.name} is damaged")
    info, _ = read_verified(staging / "model")
    index = open_index(staging / "index")
    if info.fingerprint != collection["active_model"] or index.published.dim != info.dim:
        raise ValueError("index and model are not of one another")
    if set(index.ids.tolist()) - {image["id"] for image in rows["images"]}:
        raise ValueError("its index holds other pictures")
    if (staging / VECTORS).stat().st_size % (32 + 2 * info.dim):
        raise ValueError(f"{VECTORS} is cut off")
    return info.fingerprint


def _place(rows: Rows, staging: Path, home: Home, fingerprint: str) -> None:
    """Model, vectors, previews and originals to where they belong; what is there already is the same."""
    model = staging / "model"
    if not home.model(fingerprint).exists():

        def fill(folder: Path) -> None:
            for path in model.iterdir():
                shutil.copyfile(path, folder / path.name)
            settle(folder)

        create_folder_atomically(home.model(fingerprint), fill)
    for content in rows["contents"]:
        sha256, suffix = content["sha256"], content["preview_suffix"]
        _move(staging / "previews" / f"{sha256}.{suffix}", home.preview(sha256, suffix))
        kept = content["parent_sha256"] or sha256
        _move(staging / "originals" / kept, home.original(kept))
        content["stored"] = int(bool(content["stored"]) and home.original(kept).exists())
    settle(home.root)
    info, _ = read_verified(home.model(fingerprint))
    store = VectorStore(home.vectors(fingerprint), info.dim)
    with open(staging / VECTORS, "rb") as file:
        while data := file.read(ROWS * (32 + 2 * info.dim)):
            store.put_halves(data)


def _move(source: Path, target: Path) -> None:
    if source.exists() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)


def _write(rows: Rows, staging: Path, engine: Engine, home: Home, name: str, fingerprint: str) -> None:
    """All rows in one transaction, under new ids; a catalog that is empty takes them as they were."""
    with engine.begin() as connection:
        lock_writes(connection)
        _require_free(connection, name)
        # Then what was written down elsewhere by id, as a fine-tuned model does, is true still.
        keep = engine.dialect.name == "sqlite" and not connection.execute(select(collections.c.id).limit(1)).first()
        (collection,) = rows["collections"]
        own = _insert(connection, collections, [{**collection, "name": name}], keep)[collection["id"]]
        there = set(connection.execute(select(contents.c.sha256)).scalars())
        fresh = [content for content in rows["contents"] if content["sha256"] not in there]
        for at in range(0, len(fresh), ROWS):
            connection.execute(contents.insert(), fresh[at : at + ROWS])
        of_it = {"collection_id": own}
        image = _insert(connection, images, [{**row, **of_it} for row in rows["images"]], keep)
        class_ = _insert(connection, classes, [
            {"place": row["id"], **row, **of_it} for row in rows["classes"]  # before places were written down
        ], keep)  # fmt: skip
        _insert(connection, files, [
            {**row, **of_it, "image_id": None if row["image_id"] is None else image[row["image_id"]]}
            for row in rows["files"]
        ], keep)  # fmt: skip
        action: dict[int, int] = {}
        for row in rows["actions"]:
            of, hid = row["of_action"], row.get("hid_class")
            said = {**row, **of_it, "of_action": None if of is None else action[of],
                    "hid_class": None if hid is None else class_[hid],
                    "changes": _of_these(row.get("changes"), class_)}  # fmt: skip
            action |= _insert(connection, actions, [said], keep)
        _insert(connection, label_events, [
            {**row, "action_id": action[row["action_id"]], "image_id": image[row["image_id"]],
             "class_id": class_[row["class_id"]]}
            for row in rows["label_events"]
        ], keep)  # fmt: skip
        for row in rows["distinct_pairs"]:
            pair = {"first_id": image[row["first_id"]], "second_id": image[row["second_id"]]}
            connection.execute(distinct_pairs.insert().values(**{**row, **of_it, **pair}))
        for row in rows["searches"]:
            examples = [*row["positive"], *row["negative"]]
            if all(isinstance(each, int) and each in image for each in examples):  # uploaded queries stay behind
                moved = {key: [image[each] for each in row[key]] for key in ("positive", "negative")}
                _insert(connection, searches, [{**row, **of_it, **moved}], keep)
        for row in rows["probes"]:
            last = {"last_action": action.get(row["last_action"], 0)}
            connection.execute(probes.insert().values(**{**row, **of_it, **last}))
        renumber(staging / "index", home.index(own, fingerprint), lambda ids: np.array([image[int(i)] for i in ids]))


def _of_these(changes: list[dict[str, Any]] | None, class_: dict[int, int]) -> list[dict[str, Any]] | None:
    """An action's changes, of classes by their new ids."""
    return changes and [
        {**change, **{field: class_[change[field]] for field in ("class_id", "into") if field in change}}
        for change in changes
    ]


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]], keep: bool) -> dict[int, int]:
    """Insert rows in their order; the new id of each old one, ascending alike."""
    if keep:
        for at in range(0, len(rows), ROWS):
            connection.execute(table.insert(), rows[at : at + ROWS])
        return {row["id"]: row["id"] for row in rows}
    numbers: dict[int, int] = {}
    for at in range(0, len(rows), ROWS):
        part = rows[at : at + ROWS]
        values = [{key: value for key, value in row.items() if key != "id"} for row in part]
        query = table.insert().returning(table.c.id, sort_by_parameter_order=True)
        made = connection.execute(query, values).scalars().all()
        numbers |= {row["id"]: new for row, new in zip(part, made, strict=True)}
    return numbers


def _require_free(where: Engine | Connection, name: str) -> None:
    if isinstance(where, Engine):
        try:
            collection_named(where, name)
        except NoSuchCollection:
            return
    elif not where.execute(select(collections.c.id).where(collections.c.name == name)).first():
        return
    raise CollectionExists(f"There is a collection {name!r} already: restore under another name with --collection.")


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
