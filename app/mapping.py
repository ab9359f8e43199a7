"""Drawing the map of a collection, and reading it back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.workspace import Workspace
from indexer.catalog import Collection, collection_with_id
from indexer.errors import NoMap
from indexer.index import open_index
from indexer.map import FILE, Map, make_map, read_map, write_map
from model.progress import Progress


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


@dataclass(frozen=True)
class Shown:
    """The rows of a map whose pictures are still in the collection."""

    map: Map
    made: float  # seconds since 1970
    version: str  # the same rows in the same order, as long as it is the same
    ids: np.ndarray  # (n,) int64, ascending
    places: np.ndarray  # (n, 2) float64
    cluster: np.ndarray  # (n,)
    missing: int  # pictures of the collection that are not on the map


def shown(workspace: Workspace, collection: Collection, present: np.ndarray) -> Shown:
    """The map of the ids `present` (P,), which are all of the collection's. Raises `NoMap`."""
    found = map_of(workspace, collection)
    written = (workspace.index_folder(collection) / FILE).stat().st_mtime_ns
    here = np.isin(found.ids, present, assume_unique=True)
    ids = found.ids[here]
    version = f"{collection.active_model}-{written}-{collection.revision}"
    places = found.places[here].astype(float)
    return Shown(found, written / 1e9, version, ids, places, found.cluster[here], len(present) - len(ids))
