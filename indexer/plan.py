"""What an import will do, before it does anything: which files are new, changed, known, removed, missing or back."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, select

from indexer.catalog import Collection
from indexer.home import Home
from indexer.missing import vanished
from indexer.parts import WHOLE, Cutting, file_of, is_cut_so
from indexer.schema import contents, files, images
from indexer.sources import Scan, Source
from model.images import TILE_IT
from model.progress import recalled

MANY = 1000  # known files from which on listing the previews is quicker than asking for each


@dataclass
class Plan:
    """What a scan means for a collection."""

    fresh: list[Source] = field(default_factory=list)  # to be opened
    changed: int = 0  # of them: files that were there before with another size or time
    known: int = 0
    removed: int = 0  # a person took them out of the collection
    refused: list[tuple[Source, str]] = field(default_factory=list)  # refused before, and unchanged since
    missing: list[Any] = field(default_factory=list)  # rows of files that are gone
    back: list[Any] = field(default_factory=list)  # rows of files that were missing and are as they were
    rows: dict[bytes, Any] = field(default_factory=dict)  # path → what the catalog knows of it
    unseen: dict[str, Any] = field(default_factory=dict)  # preview's hash → row of a whole file that the scan lacks
    parts: dict[bytes, list[Any]] = field(default_factory=dict)  # path of a file → rows of its pages or tiles


def make_plan(
    engine: Engine,
    home: Home,
    collection: Collection | None,
    found: Scan,
    allow_empty: bool = False,
    cutting: Cutting = WHOLE,
    retry: bool = False,
) -> Plan:
    """Compare a scan with the catalog; no file is opened. Raises `BadInput` when a known folder came up empty.

    A file that was refused, and is as it was, is opened again only to `retry`.
    """
    plan = Plan(rows=_known_files(engine, collection) if collection else {})
    for row in plan.rows.values():
        if row.part:
            plan.parts.setdefault(file_of(row.path, row.part), []).append(row)
    previews = _Previews(home, len(plan.rows))
    for source in found.sources:
        row = plan.rows.get(source.path)
        if row is None:
            plan.fresh.append(source)
            continue
        if (row.size, row.mtime_ns) != (source.size, source.mtime_ns):
            plan.fresh.append(source)
            plan.changed += 1
            continue
        if row.missing_at is not None:
            plan.back.append(row)
        if row.reason and not retry and not (cutting.tile and TILE_IT in row.reason):
            plan.refused.append((source, recalled(row.reason, row.said)))
        elif row.removed_at:
            plan.removed += 1
        elif row.reason or (
            cutting and not any(is_cut_so(cut.part, cutting) for cut in plan.parts.get(source.path, ()))
        ):
            plan.fresh.append(source)
        elif row.image_id is not None and not previews.hold(row.sha256, row.preview_suffix):
            plan.fresh.append(source)  # somebody cleared it away: make it again
        else:  # without an image of its own it was imported in parts
            plan.known += 1
    if not all(source.stored for source in plan.fresh):
        seen = {source.path for source in found.sources}
        gone = (row for path, row in plan.rows.items() if path not in seen and row.image_id is not None)
        plan.unseen = {row.preview_sha256: row for row in gone if not (row.stored or row.part)}
    plan.missing = vanished(plan.rows, found, allow_empty)
    return plan


class _Previews:
    """Which previews are there: asked for one by one, or listed once when they are many."""

    def __init__(self, home: Home, known: int) -> None:
        self.home = home
        self.names: set[str] | None = None
        if known >= MANY and home.previews.exists():
            folders = [entry.path for entry in os.scandir(home.previews) if entry.is_dir()]
            self.names = {name for folder in folders for name in os.listdir(folder)}

    def hold(self, sha256: str, suffix: str) -> bool:
        if self.names is not None:
            return f"{sha256}.{suffix}" in self.names
        return self.home.preview(sha256, suffix).exists()


def _known_files(engine: Engine, collection: Collection) -> dict[bytes, Any]:
    columns = (
        *(files.c.id, files.c.path, files.c.size, files.c.mtime_ns, files.c.reason, files.c.said, files.c.image_id),
        *(files.c.missing_at, images.c.removed_at, contents.c.sha256, contents.c.preview_suffix),
        *(contents.c.preview_sha256, contents.c.stored, contents.c.part, contents.c.parent_sha256),
    )
    query = (
        select(*columns)
        .outerjoin(images, images.c.id == files.c.image_id)
        .outerjoin(contents, contents.c.sha256 == images.c.sha256)
    )
    with engine.connect() as connection:
        rows = connection.execute(query.where(files.c.collection_id == collection.id))
        return {bytes(row.path): row for row in rows}
