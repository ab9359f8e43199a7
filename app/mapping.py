"""Drawing the map of a collection, and reading it back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from app.workspace import Workspace
from indexer.catalog import Collection, collection_with_id
from indexer.errors import NoMap
from indexer.importer import Progress
from indexer.index import open_index
from indexer.map import FILE, Map, make_map, read_map, write_map


def draw_map(
    workspace: Workspace, collection: Collection, again: bool, progress: Progress, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Lay out the indexed pictures by the active model, or place those that came since the last map."""
    started = time.monotonic()
    with workspace.home.lock(collection.id, collection.name, "map"):
        collection = collection_with_id(workspace.engine, collection.id)
        folder = workspace.index_folder(collection)
        index = open_index(folder)
        earlier = None if again else read_map(folder)
        found = make_map(index.ids, index.vectors, earlier, progress, stop)
        write_map(folder, found)
    new = found.ids if earlier is None else np.setdiff1d(found.ids, earlier.ids, assume_unique=True)
    return {
        "model": collection.active_model,
        "mapped": len(found.ids),
        "placed": len(new),
        "clusters": len(found.clusters()),
        "outliers": len(found.outliers),
        "seconds": round(time.monotonic() - started, 2),
    }


def map_of(workspace: Workspace, collection: Collection) -> Map:
    """The map by the collection's active model. Raises `NoMap`."""
    if collection.active_model is not None and (found := read_map(workspace.index_folder(collection))) is not None:
        return found
    raise NoMap(f"{collection.name!r} has no map by its active model yet: run `likeness map -c {collection.name}`.")


def made_at(workspace: Workspace, collection: Collection) -> float:
    """When the map was written, in seconds since 1970."""
    return (workspace.index_folder(collection) / FILE).stat().st_mtime
