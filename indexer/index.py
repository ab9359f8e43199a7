"""The index of one collection under one model: immutable, verified when opened, searched by one thread a request.

Three kinds, chosen by size (`indexer.publish`): every vector as float32; every vector as float16; inverted lists of
float16, of which a search looks into as many as measuring said, mostly by a short form of them (`indexer.sketch`). The
float16 kinds order what they find by exact float32 cosines from a mapped matrix. Rows are places in the ascending ids;
the last rows, the tail, came after the build.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from indexer.errors import DamagedIndex
from indexer.published import CURRENT, EXACT, LISTS, Published, damaged, files_of, read_published, whole
from indexer.sketch import Sketch
from model.files import hash_of

fast: Any = faiss  # FAISS's type hints know neither its own wrappers nor its streams

SCANNED = 20_000  # rows that are compared one by one, in about 10 ms, rather than looked for
FEW = 64  # ids to leave out that are dropped from a longer list, rather than masked
HEAD = 1000  # places of a list that come from inverted lists; what follows them comes from comparing with every vector
ROUNDING = 1e-4  # by how much a cosine of float16 vectors may be off: eight times what 512 roundings add up to
ROUNDING_FLOAT32 = 1e-6  # ... of float32 vectors, added up in another order
PATIENCE = 1 << 30  # bytes of float16 that a filtered search may read to be exact: a tenth of a second
BLOCK = 16_384  # rows compared at once: 32 MB of float32 at 512 dimensions


class VectorIndex:
    """Cosine search over unit vectors. Never changes once built; replace it to update."""

    def __init__(
        self, base: Any, ids: np.ndarray, vectors: np.ndarray, published: Published, sketch: Sketch | None = None
    ) -> None:
        self._base, self._sketch, self.published = base, sketch, published
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
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids (k',) and cosines (k',) of the `k` nearest to the unit vector `query` (D,), best first.

        `among` restricts the search to these ids (M,), or as `marked` by (N,) bools; `without` (E,) leaves these ids
        out; whoever has `kept` of both at hand gives that too. `everywhere` is for a query that is no picture's
        vector. Fewer than `k` come back when there are fewer. Of pictures that are exactly alike the lower id comes
        first, whatever `k` is, or the pages of a list would not fit together.
        """
        faiss.omp_set_num_threads(1)  # of this thread: two make a single query slower, and requests bring their own
        query = np.ascontiguousarray(query, np.float32)
        if among is None and (without is None or len(without) <= FEW):
            without = np.zeros(0, np.int64) if without is None else without
            rows, cosines = self._ranked(query, k + len(without), None, everywhere)
            if len(without):
                left = (self.ids[rows][:, np.newaxis] != without).all(axis=1)  # `np.isin` takes longer than FAISS
                rows, cosines = rows[left], cosines[left]
        else:
            keep = self.kept(among, without) if keep is None else keep
            rows, cosines = self._ranked(query, k, keep, everywhere or among is not None)
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
        self, query: np.ndarray, k: int, keep: np.ndarray | None, anywhere: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """At least `k` rows with their cosines, best first, where so many may be listed."""
        kept = len(self.ids) if keep is None else int(np.count_nonzero(keep))
        k = min(k, kept)
        if k <= 0:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        if keep is not None and kept <= SCANNED and self.published.kind != EXACT:
            return self.scan(query, np.flatnonzero(keep))
        if self.published.kind != LISTS:
            return self._first(query, k, keep, kept, anywhere)
        head, cosines = (found[:HEAD] for found in self._first(query, min(k, HEAD), keep, kept, anywhere))
        if len(head) >= k:
            return head, cosines
        # Beyond what the lists gave come all others, compared one by one: every list is whole, and its pages fit.
        rest = np.full(len(self.ids), True) if keep is None else keep.copy()
        rest[head] = False
        others = self.scan(query, np.flatnonzero(rest))
        return np.concatenate([head, others[0]]), np.concatenate([cosines, others[1]])

    def _first(
        self, query: np.ndarray, k: int, keep: np.ndarray | None, kept: int, anywhere: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same by way of FAISS, and of comparing with every row of the tail."""
        found: np.ndarray
        if self._sketch is not None and keep is None and not anywhere:
            looked = self._sketch.search(query, k, self.published.effort or 1, self.scan)
            if looked is not None and not self.published.tail:
                return looked
            found = self._near(query, k, keep, kept, anywhere) if looked is None else looked[0]
        else:
            found = self._near(query, k, keep, kept, anywhere)
        if self.published.tail:
            tail = np.arange(self.published.base, len(self.ids))
            found = np.concatenate([found, tail if keep is None else tail[keep[tail]]])
        return self.scan(query, found)

    def scan(self, query: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`rows` (M,) in the order of their exact cosines, and those.

        Not a matrix product: BLAS rounds a row by where it stands, and equal vectors must have equal cosines.
        """
        cosines = np.empty(len(rows), np.float32)
        for at in range(0, len(rows), BLOCK):
            part = rows[at : at + BLOCK]
            cosines[at : at + BLOCK] = np.einsum("nd,d->n", self.vectors[part], query)
        order = np.lexsort((rows, -cosines))
        return rows[order], cosines[order]

    def _near(self, query: np.ndarray, k: int, keep: np.ndarray | None, kept: int, anywhere: bool) -> np.ndarray:
        """Rows of the FAISS part that hold the `k` nearest ones to be kept, in no order."""
        if self.published.kind != LISTS:
            return self._ask(query, k, keep, None)
        lists, effort = self.published.lists or 1, self.published.effort or 1
        if not anywhere:
            return self._ask(query, k, keep, effort)
        if kept * self.published.dim * 2 <= PATIENCE:
            return self._ask(query, k, keep, lists)  # what a filter keeps may lie in any list
        found = self._ask(query, k, keep, effort)
        while effort < lists:  # too many to look at all: look further until that changes nothing
            effort = min(2 * effort, lists)
            before, found = found, self._ask(query, k, keep, effort)
            first, second = (self.scan(query, rows)[0][:k] for rows in (before, found))
            if len(first) == k and np.array_equal(first, second):
                break
        return found

    def _ask(self, query: np.ndarray, k: int, keep: np.ndarray | None, effort: int | None) -> np.ndarray:
        """Rows that hold the `k` nearest by exact cosines: FAISS is asked for more until its rounding cannot matter."""
        chosen: dict[str, Any] = {}
        if keep is not None:
            bits = np.packbits(keep[: self.published.base], bitorder="little")
            chosen["sel"] = fast.IDSelectorBitmap(bits)
        if effort is not None:
            parameters = fast.SearchParametersIVF(nprobe=effort, **chosen)
        else:
            parameters = faiss.SearchParameters(**chosen)
        margin = 2 * (ROUNDING if self.published.matrix is not None else ROUNDING_FLOAT32)
        more = k + max(16, k // 4)
        while True:
            more = min(more, self._base.ntotal)
            (cosines,), (rows,) = self._base.search(query[np.newaxis], more, params=parameters)  # (1, more)
            if more == self._base.ntotal or rows[-1] < 0 or cosines[-1] < cosines[k - 1] - margin:
                return rows[rows >= 0]
            more *= 4


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
    sketch: Sketch | None = None
    if held is not None and published.faiss is not None and held.published.faiss == published.faiss:
        base = held._base
    else:
        base = _read(files["faiss"], published.faiss or published.sha256)
    if published.sketch is not None:
        if held is not None and (held.published.sketch, held.published.slack) == (published.sketch, published.slack):
            sketch = held._sketch
        else:
            sketch = Sketch(_read(files["sketch"], published.sketch), published.slack or 0.0)
    if (base.ntotal, base.d) != (published.base, published.dim):
        raise damaged(folder / CURRENT)
    if published.matrix is None:
        return VectorIndex(*unpack(base), published)
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
    vectors = np.memmap(matrix, np.float32, "r", shape=(published.count, published.dim))
    return VectorIndex(
        base, ids, np.asarray(vectors), published, sketch
    )  # a plain view: a memmap's every slice takes longer


def unpack(index: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """The FAISS index below a small one's ids, those ids (N,), and a view (N, D) on the vectors it holds."""
    flat: Any = faiss.downcast_index(index.index)
    ids = faiss.vector_to_array(index.id_map)
    if not index.ntotal:
        return _Keeping(index, flat), ids, np.zeros((0, index.d), np.float32)
    # A view on FAISS's own memory: the probe reads every vector, and a copy would double what the index costs.
    return _Keeping(index, flat), ids, faiss.rev_swig_ptr(flat.get_xb(), index.ntotal * index.d).reshape(-1, index.d)


class _Keeping:
    """A part of a FAISS index, which lives as long as the whole does."""

    def __init__(self, owner: Any, part: Any) -> None:
        self.owner, self.ntotal, self.d, self.search = owner, part.ntotal, part.d, part.search


def identity(published: Published) -> str:
    """What the `sha256` of a large index must be."""
    figures = (published.count, published.dim, published.kind, published.tail, published.lists, published.effort)
    short = () if published.sketch is None else (published.sketch, repr(published.slack))  # earlier ones had none
    return whole(published.faiss, published.matrix, published.ids, published.tail_sha256, repr(figures), *short)


def _read(path: Path, sha256: str) -> Any:
    """The FAISS index in a file, once its bytes are seen to be the right ones."""
    _verify(path, sha256)
    with open(path, "rb") as file:
        return faiss.read_index(fast.PyCallbackIOReader(file.read, 1 << 22))


def _verify(path: Path, sha256: str, start: int = 0, length: int | None = None) -> None:
    if hash_of(path, start, length) != sha256:
        raise DamagedIndex(f"{path} is damaged: run `likeness index` to make it again.")
