"""One batch of digested files → the catalog: contents, images and files together, or none of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, select

from indexer.catalog import Collection, touch
from indexer.digest import SUFFIXES, Digest
from indexer.home import Home
from indexer.missing import is_gone
from indexer.moved import LOOKS, found_again, held_of, looks_of, moved_with_a_tag
from indexer.parts import file_of, part_name
from indexer.plan import Plan
from indexer.removal import drop_unheld
from indexer.rows import write_contents, write_files, write_tags
from indexer.schema import contents, files, images, now
from indexer.sources import Source
from model.errors import CannotDecode
from model.files import settle
from model.images import PREVIEW_SIDE, decode, preview_of


@dataclass
class Committed:
    """What one batch brought. `image_ids` are those of the sources that lie in folders, for classes from folders."""

    added: list[dict[str, Any]] = field(default_factory=list)  # {id, name}
    known: list[str] = field(default_factory=list)  # contents that the collection held already
    moved: int = 0  # of the known: their files were elsewhere before
    back: int = 0  # of the known: they had left the lists, or lost their preview
    removed: int = 0  # of the known: a person had removed them
    image_ids: list[tuple[Source, int]] = field(default_factory=list)
    lost: list[Source] = field(default_factory=list)  # not brought in: what was kept of them is gone, decode them again


def commit(
    engine: Engine, home: Home, collection: Collection, pending: Sequence[tuple[Source, list[Digest]]], plan: Plan
) -> Committed:
    """Write one batch. Its previews are durable before the catalog speaks of them.

    Commits at one home come one after the other, so that on PostgreSQL no two of them wait for each other's rows.
    """
    done = Committed()
    settle(home.root)
    with home.keeping():
        there: list[tuple[Source, list[Digest]]] = []
        for source, digests in pending:
            if _is_kept(home, source, digests):
                there.append((source, digests))
            else:
                done.lost.append(source)
        with engine.begin() as connection:
            touch(connection, collection.id)
            run: list[tuple[Source, Digest]] = []
            for source, digests in there:
                for part_of, digest in _pieces(source, digests):
                    before = plan.rows.get(part_of.path)
                    if digest.again:
                        continue
                    if digest.refused is None and (before is None or before.image_id is None):
                        run.append((part_of, digest))  # new here: many of them go in a few statements
                        continue
                    _bring(connection, collection, run, plan, done)
                    run = []
                    if digest.refused is None:
                        _replace(connection, home, collection, part_of, digest, before, plan, done)
                        continue
                    if before is not None and before.image_id is not None:
                        _mark_absent(connection, before.image_id, part_of.path)
                    write_files(connection, collection, [(part_of, None, digest.refused)])
                if digests[0].part is not None:
                    run = _finish_parts(connection, collection, source, digests, plan, run, done)
            _bring(connection, collection, run, plan, done)
    # Of a removed image, and of one whose file got a tag, the worker has just kept a preview that nobody needs.
    drop_unheld(engine, home, done.known)
    return done


def _is_kept(home: Home, source: Source, digests: Sequence[Digest]) -> bool:
    """Whether what a process kept of a file is still there: who removed its content elsewhere saw nobody hold it."""
    for digest in digests:
        if digest.refused is not None:
            continue
        suffixes = SUFFIXES if digest.preview is None else (digest.preview.suffix,)
        if not any(home.preview(digest.sha256, suffix).exists() for suffix in suffixes):
            return False
        if source.stored and not home.original(digest.parent or digest.sha256).exists():
            return False
    return True


def _pieces(source: Source, digests: Sequence[Digest]) -> list[tuple[Source, Digest]]:
    """The file itself, or its parts as if they were files beside it."""
    if digests[0].part is None:
        return [(source, digests[0])]
    pieces = []
    for digest in digests:
        assert digest.part is not None
        place = part_name(digest.part)
        called = replace(source, path=source.path + b"#" + place.encode(), name=f"{source.name} {place}")
        pieces.append((called, digest))
    return pieces


def _finish_parts(
    connection: Connection,
    collection: Collection,
    source: Source,
    digests: Sequence[Digest],
    plan: Plan,
    run: list[tuple[Source, Digest]],
    done: Committed,
) -> list[tuple[Source, Digest]]:
    """Remember that the file was cut, and let go of parts that it has no more."""
    _bring(connection, collection, run, plan, done)
    before = plan.rows.get(source.path)
    whole = before.image_id if before is not None and before.sha256 == digests[0].parent else None
    if before is not None and before.image_id is not None and whole is None:
        _mark_absent(connection, before.image_id, source.path)
    write_files(connection, collection, [(source, whole, None)])
    for row in plan.parts.get(source.path, ()):
        if row.parent_sha256 != digests[0].parent and row.part not in [digest.part for digest in digests]:
            _mark_absent(connection, row.image_id, row.path)
    return []


def _bring(
    connection: Connection, collection: Collection, run: Sequence[tuple[Source, Digest]], plan: Plan, done: Committed
) -> None:
    """Bring in files whose paths show no image of the collection so far."""
    if not run:
        return
    tagged = moved_with_a_tag(connection, collection, run, plan)
    write_contents(connection, [(source, digest) for source, digest in run if digest.sha256 not in tagged])
    write_tags(connection, {tagged[digest.sha256].sha256: digest for _, digest in run if digest.sha256 in tagged})
    held = tagged | held_of(connection, collection, [digest.sha256 for _, digest in run])
    fresh: dict[str, Source] = {}
    for source, digest in run:
        if digest.sha256 not in held:
            fresh.setdefault(digest.sha256, source)
    if fresh:
        rows = [
            {"collection_id": collection.id, "sha256": sha256, "name": source.name, "folder": source.folder,
             "added_at": now()} for sha256, source in fresh.items()
        ]  # fmt: skip
        connection.execute(images.insert(), rows)
        held |= held_of(connection, collection, list(fresh))
    shown: list[tuple[Source, int | None, str | None]] = []
    for source, digest in run:
        row = held[digest.sha256]
        if fresh.get(digest.sha256) is source:
            done.added.append({"id": row.id, "name": source.name})
        else:
            known = digest.sha256 not in fresh and found_again(connection, row, source)
            done.known.append(digest.sha256)
            done.moved += known
            done.back += digest.sha256 not in fresh and row.absent_at is not None and row.removed_at is None
            done.removed += row.removed_at is not None
        shown.append((source, row.id, None))
        done.image_ids.append((source, row.id))
    write_files(connection, collection, shown)


def _replace(
    connection: Connection,
    home: Home,
    collection: Collection,
    source: Source,
    digest: Digest,
    before: Any,
    plan: Plan,
    done: Committed,
) -> None:
    """Bring in a file whose path showed an image before: the same with a tag, or another picture."""
    old = connection.execute(
        select(images.c.id, images.c.sha256, images.c.removed_at, *LOOKS)
        .join(contents, contents.c.sha256 == images.c.sha256)
        .where(images.c.id == before.image_id)
    ).one()
    looks = looks_of(connection, digest)
    if old.sha256 == digest.sha256 or _same_pixels(home, old, digest, looks):
        if old.sha256 == digest.sha256:
            write_contents(connection, [(source, digest)])  # its preview may have been made again
            done.back += digest.preview is not None and old.removed_at is None
        else:
            write_tags(connection, {old.sha256: digest})
        done.known.append(digest.sha256)
        done.removed += old.removed_at is not None
        write_files(connection, collection, [(source, old.id, None)])
        done.image_ids.append((source, old.id))
        return
    _bring(connection, collection, [(source, digest)], plan, done)
    if done.image_ids[-1][1] != old.id:
        _mark_absent(connection, old.id, source.path)


def _same_pixels(home: Home, old: Any, digest: Digest, looks: tuple[Any, ...]) -> bool:
    """Whether only something beside the pixels changed: a tag was written into the file."""
    if old.preview_sha256 == looks[0]:
        return True
    if (old.width, old.height) != looks[2:]:
        return False
    try:
        before, after = (
            decode(home.preview(sha256, suffix).read_bytes(), "preview")
            for sha256, suffix in ((old.sha256, old.preview_suffix), (digest.sha256, looks[1]))
        )
    except (OSError, CannotDecode):
        return False
    if after.size != (old.width, old.height):
        return False
    if before.size == after.size:  # neither lost a pixel, however they are packed
        return bool(np.array_equal(np.asarray(before), np.asarray(after)))
    # Earlier versions made the previews of middling JPEGs smaller.
    made = preview_of(after, "preview", PREVIEW_SIDE, after.size, ("JPEG", None, None, None))
    return hashlib.sha256(made.data).hexdigest() == old.preview_sha256


def _mark_absent(connection: Connection, image_id: int, path: bytes) -> None:
    """The path now holds another picture; the old one leaves the lists unless another file still shows it."""
    query = select(contents.c.stored, contents.c.part).join(images, images.c.sha256 == contents.c.sha256)
    row = connection.execute(query.where(images.c.id == image_id)).one()
    others = select(files.c.path).where(files.c.image_id == image_id, files.c.path != path)
    shown = any(not is_gone(file_of(bytes(other.path), row.part)) for other in connection.execute(others).all())
    if not row.stored and not shown:
        connection.execute(images.update().where(images.c.id == image_id).values(absent_at=now()))
