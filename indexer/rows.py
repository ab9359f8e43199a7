"""The rows that an import writes: contents, what their files say beside the pixels, and the files themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from indexer.catalog import REVISION, Collection, touch
from indexer.digest import Digest
from indexer.images import portions
from indexer.schema import contents, files, images
from indexer.sources import Source
from model.progress import said

_TAGS = ("taken_at", "camera", "latitude", "longitude")


def write_contents(connection: Connection, run: Sequence[tuple[Source, Digest]]) -> None:
    """What these files hold. Of contents that are known only what can have changed is written."""
    rows: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    _say_stored(connection, [digest.sha256 for source, digest in run if source.stored])
    for source, digest in run:
        preview = digest.preview
        if preview is None:  # known: new may be that we keep its bytes, and what it says
            if source.stored:
                connection.execute(contents.update().where(contents.c.sha256 == digest.sha256).values(stored=1))
            continue
        rows[source.stored].append({
            "sha256": digest.sha256, "preview_sha256": digest.preview_sha256, "preview_suffix": preview.suffix,
            "width": preview.width, "height": preview.height, "bytes": digest.bytes, "format": preview.format,
            "stored": int(source.stored), "parent_sha256": digest.parent, "part": digest.part, **_tags(digest),
        })  # fmt: skip
    write_tags(connection, {digest.sha256: digest for _, digest in run if digest.preview is None})
    _say_changed(connection, {digest.sha256: _tags(digest) for _, digest in run if digest.preview is not None})
    # Known already, its preview was missing and has just been made again, by another version perhaps.
    _upsert(connection, contents, ("sha256",), rows[False], ("preview_sha256", "preview_suffix", *_TAGS))
    _upsert(connection, contents, ("sha256",), rows[True])


def _tags(digest: Digest) -> dict[str, Any]:
    """What the file says beside its pixels, as columns of its content; empty where nobody could read it."""
    said = digest.preview or digest.tags
    if said is None:
        return {}
    return dict(zip(_TAGS, (said.taken_at, said.camera, *(said.position or (None, None))), strict=True))


def write_tags(connection: Connection, seen: Mapping[str, Digest]) -> None:
    """Content → the file of it that was read now: date, camera and place are those of the one seen last."""
    rows = [{"which": sha256, **tags} for sha256, digest in seen.items() if (tags := _tags(digest))]
    if rows:
        _say_changed(connection, {row["which"]: row for row in rows})
        columns: dict[str, Any] = {name: bindparam(name) for name in _TAGS}
        connection.execute(contents.update().where(contents.c.sha256 == bindparam("which")).values(columns), rows)


def _say_changed(connection: Connection, tags: Mapping[str, Mapping[str, Any]]) -> None:
    """Before tags are written: the images, of any collection, that will have others, for who holds them in memory."""
    columns = (contents.c[name] for name in _TAGS)
    known = select(contents.c.sha256, *columns).where(contents.c.sha256.in_(bindparam("shas", expanding=True)))
    other = [
        row[0]
        for shas in portions(list(tags))
        for row in connection.execute(known, {"shas": shas})
        if tuple(row[1:]) != tuple(tags[row[0]].get(name) for name in _TAGS)
    ]
    _touch(connection, other)


def _say_stored(connection: Connection, kept: Sequence[str]) -> None:
    """Before it is written that we keep these contents: images whose files are gone are missing no more by it."""
    for shas in portions(kept):
        fresh = select(contents.c.sha256).where(contents.c.sha256.in_(shas), contents.c.stored == 0)
        _touch(connection, connection.execute(fresh).scalars().all())


def _touch(connection: Connection, changed: Sequence[str]) -> None:
    """Filters answer otherwise for the images of these contents, in any collection."""
    for shas in portions(changed):
        theirs = select(images.c.collection_id).distinct().where(images.c.sha256.in_(shas))
        for collection_id in sorted(connection.execute(theirs).scalars()):
            touch(connection, collection_id)
        connection.execute(images.update().where(images.c.sha256.in_(shas)).values(changed=REVISION))


def write_files(
    connection: Connection, collection: Collection, shown: Sequence[tuple[Source, int | None, str | None]]
) -> None:
    """Where each was seen, which image it shows, and why it was refused."""
    rows = [
        {"collection_id": collection.id, "path": source.path, "image_id": image_id, "size": source.size,
         "mtime_ns": source.mtime_ns, "reason": reason and str(reason), "said": said(reason), "missing_at": None}
        for source, image_id, reason in shown if source.lasting
    ]  # fmt: skip
    _upsert(connection, files, ("collection_id", "path"), rows)


def _upsert(
    connection: Connection,
    table: Any,
    key: tuple[str, ...],
    rows: list[dict[str, Any]],
    columns: tuple[str, ...] | None = None,
) -> None:
    """Insert, or update the rows with those keys; of existing rows only these `columns`, if they are named."""
    if not rows:
        return
    dialect: Any = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name]
    insert = dialect.insert(table)
    rest = {name: insert.excluded[name] for name in columns or rows[0] if name not in key}
    connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_=rest), rows)
