"""Files that turn up where none was known: copies of a picture, or the file itself, moved, perhaps with a tag in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from indexer.catalog import REVISION, Collection
from indexer.digest import Digest
from indexer.missing import is_gone, mark_missing
from indexer.parts import file_of
from indexer.plan import Plan
from indexer.schema import contents, files, images
from indexer.sources import Source

LOOKS = (contents.c.preview_sha256, contents.c.preview_suffix, contents.c.width, contents.c.height)


def looks_of(connection: Connection, digest: Digest) -> tuple[Any, ...]:
    """What the preview of a file is: its hash and suffix, and the size of the picture."""
    if digest.preview is not None:
        return digest.preview_sha256, digest.preview.suffix, digest.preview.width, digest.preview.height
    return _written_looks(connection, digest.sha256)


def _written_looks(connection: Connection, sha256: str) -> tuple[Any, ...]:
    return tuple(connection.execute(select(*LOOKS).where(contents.c.sha256 == sha256)).one())


def held_of(connection: Connection, collection: Collection, shas: Sequence[str]) -> dict[str, Any]:
    """Content → its image in the collection, also one that was removed or left the lists."""
    found: dict[str, Any] = {}
    for start in range(0, len(shas), 500):
        query = (
            select(
                images.c.id,
                images.c.sha256,
                images.c.removed_at,
                images.c.absent_at,
                contents.c.stored,
                contents.c.part,
            )
            .join(contents, contents.c.sha256 == images.c.sha256)
            .where(images.c.collection_id == collection.id, images.c.sha256.in_(shas[start : start + 500]))
        )
        found |= {row.sha256: row for row in connection.execute(query)}
    return found


def found_again(connection: Connection, row: Any, source: Source) -> bool:
    """An image of the collection has turned up at a path that we did not know: a copy, or it was moved. Says which."""
    query = select(files.c.id, files.c.path, files.c.missing_at)
    others = connection.execute(query.where(files.c.image_id == row.id, files.c.path != source.path)).all()
    gone = [other for other in others if is_gone(file_of(bytes(other.path), row.part))]
    mark_missing(connection, gone, True)
    values: dict[str, Any] = {}
    if row.absent_at is not None:
        values["absent_at"] = None
    if not row.stored and len(gone) == len(others):
        values |= {"name": source.name, "folder": source.folder}
    if values:
        values["changed"] = REVISION
        connection.execute(images.update().where(images.c.id == row.id).values(**values))
    return bool(others) and len(gone) == len(others)


def moved_with_a_tag(
    connection: Connection, collection: Collection, run: Sequence[tuple[Source, Digest]], plan: Plan
) -> dict[str, Any]:
    """New content → the image of which it has the pixels, when that was shown by files that are all gone.

    Such a file was moved and then had a tag written into it. While a file is still there, another one with its pixels
    is a picture of its own.
    """
    if not plan.unseen:
        return {}
    held = held_of(connection, collection, [digest.sha256 for _, digest in run])
    taken, found = {row.id for row in held.values()}, dict[str, Any]()
    for source, digest in run:
        if digest.sha256 in held or digest.sha256 in found or source.stored or digest.part is not None:
            continue
        looks = looks_of(connection, digest)
        before = plan.unseen.get(looks[0])
        if before is None or before.image_id in taken or _written_looks(connection, before.sha256) != looks:
            continue
        paths = connection.execute(select(files.c.path).where(files.c.image_id == before.image_id)).scalars().all()
        if all(is_gone(bytes(path)) for path in paths):
            taken.add(before.image_id)
            found[digest.sha256] = held_of(connection, collection, [before.sha256])[before.sha256]
    return found
