"""Looking for near-duplicates, and what the last look found: kept beside the index it looked through."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from app.workspace import Workspace
from indexer.catalog import Collection, collection_with_id
from indexer.duplicates import Pair, find_pairs
from indexer.index import open_index
from indexer.schema import now
from model.files import write_atomically
from model.progress import Line, Progress

FILE = "duplicates.json"


@dataclass(frozen=True)
class Look:
    """What was found, among how many images, when."""

    at: str  # ISO 8601, UTC
    images: int
    pairs: list[Pair]


def look_for_duplicates(
    workspace: Workspace, collection: Collection, progress: Progress, stop: Callable[[], bool]
) -> Look:
    """Compare every indexed picture with its nearest ones, and keep what shows the same shot."""
    with workspace.home.lock(collection.id, collection.name, "duplicates"):
        collection = collection_with_id(workspace.engine, collection.id)
        folder = workspace.index_folder(collection)
        index = open_index(folder)
        progress(0.0, Line("comparing", "comparing {n:,} pictures", n=len(index.ids)))
        pairs = find_pairs(workspace.engine, workspace.home, index.ids, index.vectors, stop, progress)
        look = Look(now(), len(index.ids), pairs)
        said = {"at": look.at, "images": look.images, "pairs": look.pairs}
        write_atomically(folder / FILE, json.dumps(said).encode())
    return look


def last_look(workspace: Workspace, collection: Collection) -> Look | None:
    """What the last look by the active model found; None before the first, or where its file is damaged.

    Pairs are of images, so it stays true when the index is built anew; it only does not know those that came since.
    """
    file = workspace.index_folder(collection) / FILE
    try:
        said = json.loads(file.read_bytes())
        look = Look(said["at"], said["images"], [(int(first), int(second)) for first, second in said["pairs"]])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return look if isinstance(look.at, str) and isinstance(look.images, int) else None
