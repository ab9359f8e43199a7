"""Removing images: each leaves one collection, and what no collection shows any more goes with it.

Stored uploads, previews, renditions and vectors go; files in the user's own folders are never touched.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence

from sqlalchemy import Engine, select

from indexer.catalog import Collection, delete_collection, touch, visible
from indexer.home import Home
from indexer.images import portions
from indexer.schema import contents, images, now
from indexer.traits import forget as forget_traits
from indexer.vectors import forget
from model.files import PARTIAL

ABANDONED = 600.0  # seconds without a write after which nobody goes on writing a file


def remove(engine: Engine, home: Home, collection: Collection, image_ids: Sequence[int]) -> int:
    """Take images out of a collection, with a tombstone; drop what no collection holds any more. Returns how many.

    Stored uploads, previews and vectors go; files in the user's own folders are never touched.
    """
    removed: list[str] = []
    with engine.begin() as connection:
        touch(connection, collection.id)
        for part in portions([int(i) for i in image_ids]):
            here = visible(collection.id) & images.c.id.in_(part)
            removed += connection.execute(
                images.update().where(here).values(removed_at=now()).returning(images.c.sha256)
            ).scalars()
    drop_unheld(engine, home, removed)
    return len(removed)


def remove_collection(engine: Engine, home: Home, collection: Collection) -> None:
    """Forget a collection, its labels and jobs, and what only it held. Files in the user's folders stay as they are."""
    with engine.connect() as connection:
        query = select(images.c.sha256).where(images.c.collection_id == collection.id)
        shas = connection.execute(query).scalars().all()
    delete_collection(engine, collection)
    drop_unheld(engine, home, shas)
    shutil.rmtree(home.index(collection.id, "x").parent, ignore_errors=True)


def drop_unheld(engine: Engine, home: Home, shas: Sequence[str]) -> None:
    """Delete the files kept for contents that no collection shows any more. The catalog's rows stay: they are small."""
    if not shas:
        return
    with home.keeping():
        _drop_unheld(engine, home, shas)


def _drop_unheld(engine: Engine, home: Home, shas: Sequence[str]) -> None:
    held: set[str] = set()
    files_of = set(shas)  # with the uploads of which some of them are parts
    files_held: set[str] = set()
    with engine.connect() as connection:
        shown = select(images.c.sha256, contents.c.parent_sha256).join(contents, contents.c.sha256 == images.c.sha256)
        shown = shown.where(images.c.removed_at.is_(None))
        for part in portions(shas):
            held.update(row.sha256 for row in connection.execute(shown.where(images.c.sha256.in_(part))))
            parents = select(contents.c.parent_sha256).where(contents.c.sha256.in_(part))
            files_of.update(filter(None, connection.execute(parents).scalars()))
        if set(shas) <= held:
            return
        for part in portions(sorted(files_of)):
            # One after the other: for an "or" over both tables, every image would be looked at.
            for there in (images.c.sha256.in_(part), contents.c.parent_sha256.in_(part)):
                for row in connection.execute(shown.where(there)):
                    files_held |= {row.sha256, row.parent_sha256}
    stored = [sha256 for sha256 in files_of - files_held if home.original(sha256).exists()]
    if stored:
        _forget_stored(engine, stored)
    for sha256 in stored:
        home.original(sha256).unlink(missing_ok=True)
    dropped = [sha256 for sha256 in shas if sha256 not in held]
    for sha256 in dropped:
        for path in (*(home.preview(sha256, suffix) for suffix in ("jpg", "png")), home.rendition(sha256)):
            path.unlink(missing_ok=True)
    for store in home.all_vectors() if dropped else ():
        forget(store, dropped)
    forget_traits(home.traits, dropped)


def _forget_stored(engine: Engine, shas: Sequence[str]) -> None:
    """We keep no bytes of these any more: should they come in from a folder, they go with their file."""
    with engine.begin() as connection:
        for part in portions(shas):
            for these in (contents.c.sha256.in_(part), contents.c.parent_sha256.in_(part)):
                connection.execute(contents.update().where(these, contents.c.stored == 1).values(stored=0))


def sweep(home: Home) -> None:
    """Delete what killed processes left half written among previews, originals and renditions.

    Others may be writing there at this moment, so what is new stays.
    """
    for kept in ("previews", "originals", "renditions"):
        for path in (home.root / kept).glob(f"*/{PARTIAL}*"):
            with contextlib.suppress(FileNotFoundError):  # it was finished just now
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()


def unheld(engine: Engine, shas: Sequence[str]) -> list[str]:
    """Those of these contents that no collection shows."""
    held: set[str] = set()
    with engine.connect() as connection:
        for part in portions(shas):
            here = images.c.sha256.in_(part) & images.c.removed_at.is_(None)
            held.update(connection.execute(select(images.c.sha256).where(here)).scalars())
    return [sha256 for sha256 in shas if sha256 not in held]
