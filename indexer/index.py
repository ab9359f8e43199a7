"""The FAISS index of one collection under one model: immutable, published atomically, verified when opened.

On disk: `<sha256>.faiss` and `current.json`, which names it and is written last. That write is the commit: a process
killed at any moment leaves the old index or the new one. (`faiss.write_index` would destroy the old file first and may
truncate silently, so the index is serialised to bytes, hashed, and written like every other file.)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from indexer.errors import DamagedIndex, NoIndex
from indexer.schema import now
from model.files import remove_partials, write_atomically

CURRENT = "current.json"


@dataclass(frozen=True)
class Published:
    """What `current.json` says about the index that is live."""

    sha256: str
    count: int
    dim: int
    kind: str
    created_at: str


class VectorIndex:
    """Cosine search over unit vectors. Never changes once built; replace it to update."""

    def __init__(self, index: Any, published: Published) -> None:
        self._faiss, self.published = index, published
        self.ids = faiss.vector_to_array(index.id_map)  # (N,) int64, ascending: `publish` sees to it
        flat: Any = faiss.downcast_index(index.index)
        pointer = flat.get_xb()
        # A view on FAISS's own memory: the probe reads every vector, and a copy would double what the index costs.
        self.vectors: np.ndarray = (
            faiss.rev_swig_ptr(pointer, index.ntotal * index.d).reshape(index.ntotal, index.d)
            if index.ntotal
            else np.zeros((0, index.d), np.float32)
        )

    def search(self, query: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Ids (k',) and cosines (k',) of the `k` nearest to the unit vector `query` (D,), best first.

        `among` (M,) restricts the search to these ids; fewer than `k` come back when there are fewer. Of pictures that
        are exactly alike the lower id comes first, whatever `k` is, or the pages of a list would not fit together.
        """
        parameters = faiss.SearchParameters()
        if among is not None:
            parameters.sel = faiss.IDSelectorBatch(np.ascontiguousarray(among, dtype=np.int64))
        rows = query[np.newaxis].astype(np.float32)
        one_more = max(1, min(k + 1, self._faiss.ntotal))
        (cosines,), (ids,) = self._faiss.search(rows, one_more, params=parameters)  # (1, k + 1)
        if len(ids) > k and ids[k] >= 0 and cosines[k] == cosines[k - 1]:
            # FAISS keeps any of those that tie for the last place; here are all of them.
            below = float(np.nextafter(cosines[k], np.float32(-np.inf)))
            _, cosines, ids = self._faiss.range_search(rows, below, params=parameters)
        order = np.lexsort((ids, -cosines))
        order = order[ids[order] >= 0][:k]
        return ids[order], cosines[order]

    def vectors_of(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids among `ids` that are indexed (M,), and their vectors (M, D), in the order given."""
        rows, present = self.rows_of(ids)
        return np.asarray(ids)[present], self.vectors[rows[present]]

    def rows_of(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The row of each of `ids` (M,), and whether it is indexed at all (M,); where not, the row says nothing."""
        if not len(self.ids):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        rows = np.searchsorted(self.ids, ids).clip(0, len(self.ids) - 1)
        return rows, self.ids[rows] == ids


def publish(folder: Path, ids: np.ndarray, vectors: np.ndarray) -> Published:
    """Build the exact index of `vectors` (N, D), unit float32, under `ids` (N,) and make it the live one."""
    order = np.argsort(ids)
    index = faiss.IndexIDMap(faiss.IndexFlatIP(vectors.shape[1]))
    index.add_with_ids(np.ascontiguousarray(vectors[order], np.float32), np.ascontiguousarray(ids[order], np.int64))
    data = faiss.serialize_index(index).tobytes()
    published = Published(hashlib.sha256(data).hexdigest(), len(ids), vectors.shape[1], "exact float32", now())
    folder.mkdir(parents=True, exist_ok=True)
    remove_partials(folder)
    write_atomically(folder / f"{published.sha256}.faiss", data)
    write_atomically(folder / CURRENT, json.dumps(published.__dict__, indent=2).encode())
    for old in folder.glob("*.faiss"):
        if old.stem != published.sha256:
            old.unlink(missing_ok=True)  # whoever has it open keeps it: it was read into memory
    return published


def read_published(folder: Path) -> Published:
    """What is live in this folder; cheap."""
    try:
        return Published(**json.loads((folder / CURRENT).read_bytes()))
    except FileNotFoundError as error:
        raise NoIndex("There is no index yet: run `likeness index`.") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedIndex(f"{folder / CURRENT} is damaged: run `likeness index` to make the index again.") from error


def open_index(folder: Path) -> VectorIndex:
    """Open the live index; raises `DamagedIndex` unless its bytes are those that were published."""
    published = read_published(folder)
    path = folder / f"{published.sha256}.faiss"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        # Another process may have published between our two reads; then there is a new name to read.
        if read_published(folder) != published:
            return open_index(folder)
        raise DamagedIndex(f"{path} is missing: run `likeness index` to make it again.") from None
    if hashlib.sha256(data).hexdigest() != published.sha256:
        raise DamagedIndex(f"{path} is damaged: run `likeness index` to make it again.")
    index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
    if (index.ntotal, index.d) != (published.count, published.dim):
        raise DamagedIndex(f"{folder / CURRENT} is damaged: run `likeness index` to make the index again.")
    return VectorIndex(index, published)
