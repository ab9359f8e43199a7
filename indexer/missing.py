"""Files that are not where they were: deleted, moved, or on a disk that is not mounted just now.

Nothing is ever taken out of a collection for that: the file's row is marked, the image keeps its labels and vectors and
stays in the lists, where a filter finds it (`missing`). What is back is unmarked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from indexer.catalog import touch
from indexer.parts import file_of
from indexer.schema import files, images, now
from indexer.sources import Scan, readable
from model.errors import BadInput
from model.progress import Line

PART = 500  # rows in one statement


def is_gone(path: bytes) -> bool:
    """Whether there is surely no such file. A folder closed to us, or a disk that fails, proves nothing."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def vanished(known: Mapping[bytes, Any], found: Scan, allow_empty: bool) -> list[Any]:
    """The known files below the scanned roots that are gone.

    Raises `BadInput` when a root holds nothing any more of all that was imported from it, unless `allow_empty`:
    an unmounted disk looks like an empty folder.
    """
    seen = {source.path for source in found.sources}
    gone: dict[bytes, Any] = {}
    for root in found.roots:
        inside = root.rstrip(b"/") + b"/"
        below = [row for row in known.values() if row.path == root or row.path.startswith(inside)]
        below = [row for row in below if not row.stored]  # ours to keep: a zip may go when it was imported
        lost = [row for row in below if row.path not in seen and is_gone(file_of(row.path, row.part))]
        news = any(row.missing_at is None for row in lost)
        empty = len(lost) == len(below) and not any(path.startswith(inside) for path in seen)
        if news and empty and not allow_empty:
            words = (
                "{path} holds none of the {n:,} pictures that were imported from it. If its disk is not mounted, mount "
                "it; if they are gone on purpose, --allow-empty marks them as missing. Nothing was changed."
            )
            raise BadInput(Line("lost_mount", words, path=readable(root), n=len(below)))
        gone |= {row.path: row for row in lost}
    return list(gone.values())


def mark_missing(connection: Connection, rows: Sequence[Any], missing: bool) -> None:
    """Mark these files as missing, or as back."""
    value = now() if missing else None
    ids = [row.id for row in rows if (row.missing_at is None) == missing]
    for start in range(0, len(ids), PART):
        part = files.c.id.in_(ids[start : start + PART])
        connection.execute(files.update().where(part).values(missing_at=value))


def show_again(connection: Connection, collection_id: int, rows: Sequence[Any]) -> int:
    """Images that left the lists, and of which these files are back, are in them again; returns how many."""
    wanted = sorted({row.image_id for row in rows if row.image_id is not None})
    shown = 0
    for start in range(0, len(wanted), PART):
        away = images.c.id.in_(wanted[start : start + PART]) & images.c.absent_at.is_not(None)
        shown += len(connection.execute(select(images.c.id).where(away, images.c.removed_at.is_(None))).all())
        connection.execute(images.update().where(away).values(absent_at=None))
    if shown:
        touch(connection, collection_id)
    return shown
