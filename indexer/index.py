"""The index of one collection under one model: immutable, verified when opened, searched by one thread a request.

Two kinds, chosen by size (`indexer.publish`): every vector compared, or a graph of short forms (`indexer.sketch`) that
a search walks, with exact cosines last. Rows are places in the ascending ids; the last rows of the large kind, its
tail, came after the build and are compared one by one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from indexer.errors import DamagedIndex
from indexer.published import CURRENT, Published, damaged, files_of, read_published, whole
from indexer.sketch import Sketch
from indexer.walk import cosines_of
from model.files import hash_of

fast: Any = faiss  # FAISS's type hints know neither its own wrappers nor its streams

SCANNED = 20_000  # vectors that are compared one by one, in some milliseconds, rather than by their short forms first
FEW = 64  # ids to leave out that are dropped from a longer list, rather than masked
HEAD = 100  # places of a list that a walk finds; longer ones come from comparing with every short form
LEAST = 512  # exact cosines that such a comparison computes, at least


class VectorIndex:
    """Cosine search over unit vectors. Never changes once built; replace it to update."""

    def __init__(
        self, owner: Any, ids: np.ndarray, vectors: np.ndarray, published: Published, sketch: Sketch | None = None
    ) -> None:
        self._owner, self._sketch, self.published = owner, sketch, published  # `owner` of the memory that is viewed
        self.ids = ids  # (N,) int64, ascending: `publish` sees to it
        self.vectors = vectors  # (N, D) float32: a view on FAISS's memory, or mapped from disk

    def search(
        self,
        query: np.ndarray,
        k: int,
        among: np.ndarray | None = None,
        without: np.ndarray | None = None,
        keep: np.ndarray | None = None,
        everywhere: bool = False,
        first: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids (k',) and cosines (k',) of the `k` nearest to the unit vector `query` (D,), best first.

        `among` restricts the search to these ids (M,), or as `marked` by (N,) bools; `without` (E,) leaves these ids
        out; whoever has `kept` of both at hand gives that too. `everywhere` is for a query that is no picture's
        vector. Fewer than `k` come back when there are fewer. Of pictures that are exactly alike the lower id comes
        first, whatever `k` is. `first` is how long the page was that was asked for before: the list begins with it,
        and all others follow, so that pages fit together.
        """
        query = np.ascontiguousarray(query, np.float32)
        if among is None and (without is None or len(without) <= FEW):
            more = 0 if without is None else len(without)
            rows, cosines = self._ranked(query, k + more, None, everywhere, None if first is None else first + more)
            if without is not None and more:
                left = (self.ids[rows][:, np.newaxis] != without).all(axis=1)  # `np.isin` takes longer than the search
                rows, cosines = rows[left], cosines[left]
        else:
            keep = self.kept(among, without) if keep is None else keep
            rows, cosines = self._ranked(query, k, keep, everywhere or among is not None, first)
        return self.ids[rows[:k]], cosines[:k]

    def vectors_of(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids among `ids` that are indexed (M,), and their vectors (M, D), in the order given."""
        rows, present = self.rows_of(ids)
        return np.asarray(ids)[present], np.asarray(self.vectors[rows[present]])

    def rows_of(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The row of each of `ids` (M,), and whether it is indexed at all (M,); where not, the row says nothing."""
        if not len(self.ids):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        rows = np.searchsorted(self.ids, ids).clip(0, len(self.ids) - 1)
        return rows, self.ids[rows] == ids

    def kept(self, among: np.ndarray | None, without: np.ndarray | None) -> np.ndarray | None:
        """(N,) bool: the rows that may be listed, of `among` and `without` as in `search`; None: all of them."""
        if among is None and (without is None or not len(without)):
            return None
        if among is None:
            keep = np.full(len(self.ids), True)
        else:
            keep = among.copy() if among.dtype == bool else self.marked(among)
        if without is not None:
            rows, present = self.rows_of(without)
            keep[rows[present]] = False
        return keep

    def marked(self, ids: np.ndarray) -> np.ndarray:
        """(N,) bool: the rows of these ids (M,)."""
        rows, present = self.rows_of(ids)
        marks = np.full(len(self.ids), False)
        marks[rows[present]] = True
        return marks

    def _ranked(
        self, query: np.ndarray, k: int, keep: np.ndarray | None, anywhere: bool, first: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """At least `k` rows with their cosines, best first, where so many may be listed."""
        kept = len(self.ids) if keep is None else int(np.count_nonzero(keep))
        k = min(k, kept)
        if k <= 0:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        if self._sketch is None:
            return self.scan(query, _rows(keep, kept), k)
        first = k if first is None else min(first, k)
        if anywhere or first > HEAD or not self.published.effort:
            return self._compared(query, k, keep, kept)
        head = self.walked(query, first, keep)
        if head is None:
            return self._compared(query, k, keep, kept)
        if first == k:
            return head
        rest = np.full(len(self.ids), True) if keep is None else keep.copy()
        rest[head[0][:first]] = False
        others = self._compared(query, k - first, rest, kept - first)
        return np.concatenate([head[0][:first], others[0]]), np.concatenate([head[1][:first], others[1]])

    def walked(self, query: np.ndarray, k: int, keep: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray] | None:
        """The same by a walk through the graph; None when it finds too few, or more that are equal than it can hold."""
        assert self._sketch is not None
        count = max(self.published.effort or 1, 2 * k)
        if keep is None:
            rows, cosines = self._sketch.walk(query, self.vectors, count)
        else:  # a tenth of the rows may have gone: more than that, and a new index is built
            rows, cosines = self._sketch.walk(query, self.vectors, count + count // 4, keep)
        furthest = cosines[-1] if len(cosines) else np.inf
        if self.published.tail:
            came = self._tail(keep)
            rows, cosines = (
                np.concatenate([rows, came]),
                np.concatenate([cosines, cosines_of(self.vectors, came, query)]),
            )
            order = np.lexsort((rows, -cosines))
            rows, cosines = rows[order], cosines[order]
        return (rows, cosines) if len(rows) > k and cosines[k - 1] > furthest else None

    def _compared(self, query: np.ndarray, k: int, keep: np.ndarray | None, kept: int) -> tuple[np.ndarray, np.ndarray]:
        """By comparing with every short form, then with as many vectors as its error asks for; or with all at once."""
        assert self._sketch is not None
        count = max(LEAST, 4 * k)
        while kept > SCANNED and count < kept // 4:
            rows, furthest = self._sketch.nearest(query, count, keep)
            if self.published.tail:
                rows = np.concatenate([rows, self._tail(keep)])
            rows, cosines = self.scan(query, rows, k)
            if furthest + self._sketch.slack < cosines[k - 1]:
                return rows, cosines
            count *= 4
        return self.scan(query, _rows(keep, kept), k)

    def _tail(self, keep: np.ndarray | None) -> np.ndarray:
        """The rows that came since the index was built, as far as they may be listed."""
        rows = np.arange(self.published.base, len(self.ids))
        return rows if keep is None else rows[keep[rows]]

    def scan(self, query: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of `rows` (M,) in the order of their exact cosines, and those: `k`, and all that are as near."""
        cosines = cosines_of(self.vectors, rows, query)
        if k < len(rows):
            near = np.flatnonzero(cosines >= np.partition(cosines, len(rows) - k)[len(rows) - k])
            rows, cosines = rows[near], cosines[near]
        order = np.lexsort((rows, -cosines))
        return rows[order], cosines[order]


def _rows(keep: np.ndarray | None, kept: int) -> np.ndarray:
    return np.arange(kept) if keep is None else np.flatnonzero(keep)


def open_index(folder: Path, held: VectorIndex | None = None) -> VectorIndex:
    """Open the live index; raises `DamagedIndex` unless its bytes are those that were published.

    `held` is an index that is open already: what the live one shares with it is neither read nor verified again.
    """
    published = read_published(folder)
    try:
        return _opened(folder, published, held)
    except FileNotFoundError as error:
        # Another process may have published between our two reads; then there is a new name to read.
        if read_published(folder) != published:
            return open_index(folder, held)
        raise damaged(Path(error.filename), "missing") from None


def _opened(folder: Path, published: Published, held: VectorIndex | None) -> VectorIndex:
    files = files_of(folder, published)
    if held is not None and published.faiss is not None and held.published.faiss == published.faiss:
        owner = held._owner
    else:
        owner = _read(files["faiss"], published.faiss or published.sha256)
    if (owner.ntotal, owner.d) != (published.base, published.dim):
        raise damaged(folder / CURRENT)
    if published.matrix is None:
        return VectorIndex(owner, *unpack(owner), published)
    row, matrix = published.dim * 4, files["matrix"]  # bytes
    if published.sha256 != identity(published):
        raise damaged(folder / CURRENT)
    if held is None or held.published.matrix != published.matrix:
        _verify(matrix, published.matrix, 0, published.base * row)
    if published.tail:
        _verify(matrix, published.tail_sha256 or "", published.base * row, published.tail * row)
    _verify(files["ids"], published.ids or "")
    ids = np.frombuffer(files["ids"].read_bytes(), np.int64)
    if len(ids) != published.count:
        raise damaged(folder / CURRENT)
    mapped = np.memmap(matrix, np.float32, "r", shape=(published.count, published.dim))
    vectors = np.asarray(mapped)  # a plain view: a memmap's every slice takes longer
    vectors[:, ::1024].max()  # every page is touched once, or searches meet page faults that take as long as their walk
    sketch = held._sketch if held is not None and held._owner is owner else Sketch(owner, published.slack or 0.0)
    opened = VectorIndex(owner, ids, vectors, published, sketch)
    if held is None:  # what a walk needs is compiled now, not by whoever searches first
        for keep in (None, np.full(len(ids), True)):
            opened.walked(vectors[0], 1, keep)
    return opened


def unpack(index: Any) -> tuple[np.ndarray, np.ndarray]:
    """The ids (N,) of a small FAISS index, and a view (N, D) on the vectors it holds."""
    flat: Any = faiss.downcast_index(index.index)
    ids = faiss.vector_to_array(index.id_map)
    if not index.ntotal:
        return ids, np.zeros((0, index.d), np.float32)
    # A view on FAISS's own memory: the probe reads every vector, and a copy would double what the index costs.
    return ids, faiss.rev_swig_ptr(flat.get_xb(), index.ntotal * index.d).reshape(-1, index.d)


def identity(published: Published) -> str:
    """What the `sha256` of a large index must be."""
    figures = (published.count, published.dim, published.kind, published.tail, published.effort, published.slack)
    return whole(published.faiss, published.matrix, published.ids, published.tail_sha256, repr(figures))


def _read(path: Path, sha256: str) -> Any:
    """The FAISS index in a file, once its bytes are seen to be the right ones."""
    _verify(path, sha256)
    with open(path, "rb") as file:
        return faiss.read_index(fast.PyCallbackIOReader(file.read, 1 << 22))


def _verify(path: Path, sha256: str, start: int = 0, length: int | None = None) -> None:
    if hash_of(path, start, length) != sha256:
        raise DamagedIndex(f"{path} is damaged: run `likeness index` to make it again.")
