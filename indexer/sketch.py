"""A short form of the vectors, and a graph of which are alike: a search looks at these first, and at vectors last.

What tells the pictures of one collection apart lies mostly along a few principal axes. Along these a vector takes a
byte each. A search for a picture walks the graph by these bytes (`indexer.walk`); where a filter or a direction leads
away from pictures, it compares with all of them. Either way exact cosines put in order what is near.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from indexer.steer import direction
from indexer.walk import walk

fast: Any = faiss  # FAISS's type hints know neither its own wrappers nor its streams

AXES = 128  # of collections whose vectors have at least twice as many dimensions
NEAR = 48  # short forms that should suffice for the ten nearest, if so few axes are to do
PAYS = 0.5  # ... for this share of pictures
SAMPLE = 20_000  # vectors that say whether a few axes tell them apart
SURE = 0.9999  # the share of near vectors whose short form says at most `slack` too little
LINKS = 24  # of a vector on each level, twice as many on the lowest
CARE = 128  # near ones that are looked at to choose them


class Sketch:
    """Short forms of rows, and the graph between them. Never changes: take a new one when its index has grown."""

    def __init__(self, index: Any, slack: float = 0.0) -> None:
        """`index` is a FAISS index of ids, axes and graph, as `learn_sketch` makes it."""
        self.index, self.slack = index, slack
        inner: Any = faiss.downcast_index(index.index)
        turn: Any = faiss.downcast_VectorTransform(inner.chain.at(0))
        whole: Any = faiss.downcast_index(inner.index)
        self._codes = fast.downcast_index(whole.storage)
        graph, count = whole.hnsw, index.ntotal
        # Views on FAISS's memory, which lives as long as `index` does.
        self._axes = _view(turn.A).reshape(turn.d_out, turn.d_in)
        self.places = _view(index.id_map)  # (N,) int64: the row that each is
        steps = _view(self._codes.sq.trained)[turn.d_out :] / np.float32(255)  # a byte goes through its axis's range
        self._graph = (
            self._axes * steps[:, np.newaxis],
            _view(self._codes.codes).reshape(count, turn.d_out),
            _view(graph.neighbors),
            _view(graph.offsets).view(np.int64),
            graph.entry_point,
            graph.max_level,
            graph.nb_neighbors(1),
            self.places,
        )

    def walk(
        self, query: np.ndarray, vectors: np.ndarray, count: int, keep: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """At most `count` rows near `query` (D,) that `keep` (N,) lists, and their cosines by `vectors`; best first."""
        rows, cosines = walk(query, *self._graph, vectors, keep, count)
        return rows, cosines

    def nearest(self, query: np.ndarray, count: int, keep: np.ndarray | None) -> tuple[np.ndarray, float]:
        """The `count` rows of those to `keep` (N,) whose short forms are nearest to `query`, and the last one's cosine.

        -inf when these are all there are.
        """
        chosen = (
            {} if keep is None else {"sel": fast.IDSelectorBitmap(np.packbits(keep[self.places], bitorder="little"))}
        )
        faiss.omp_set_num_threads(1)  # of this thread: two make a single query slower, and requests bring their own
        turned = (self._axes @ query)[np.newaxis]
        (cosines,), (found,) = self._codes.search(turned, count, params=faiss.SearchParameters(**chosen))
        if found[-1] < 0:
            return self.places[found[found >= 0]], -np.inf
        return self.places[found], float(cosines[-1])

    def measured(self, vectors: np.ndarray, held: np.ndarray, threads: int) -> float:
        """By how much a short form says too little of what is near `held` rows of `vectors`, or directions of them."""
        rng = np.random.default_rng(3)
        some = vectors[held]
        steered = [direction(*np.split(some[rng.choice(len(some), 6)], 2)) for _ in some]
        queries = np.concatenate([some, np.array(steered)])
        faiss.omp_set_num_threads(threads)
        shorts, found = self._codes.search(queries @ self._axes.T, min(NEAR, self.index.ntotal))
        errors = [
            vectors[self.places[at]] @ query - short for query, at, short in zip(queries, found, shorts, strict=True)
        ]
        return max(0.0, float(np.quantile(np.concatenate(errors), SURE)))


def learn_sketch(sample: np.ndarray) -> Any:
    """An empty FAISS index for vectors like the `sample` (S, D)."""
    axes = _axes_of(sample)
    turn = fast.LinearTransform(*axes.shape[::-1], False)
    faiss.copy_array_to_vector(axes.ravel(), turn.A)
    turn.is_trained = True
    byte = faiss.ScalarQuantizer.QT_8bit
    graph = fast.IndexHNSWSQ(len(axes), byte, LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = CARE
    inner = faiss.IndexPreTransform(turn, graph)
    inner.train(sample)  # the range of each axis
    index: Any = faiss.IndexIDMap(inner)
    return index


def _axes_of(vectors: np.ndarray) -> np.ndarray:
    """(A, D) float32: the first principal axes of `vectors` (S, D), or every dimension where so few do not suffice."""
    dim = vectors.shape[1]
    every = np.eye(dim, dtype=np.float32)
    if dim < 2 * AXES or len(vectors) < 2 * dim:
        return every
    some = vectors[np.random.default_rng(2).choice(len(vectors), min(SAMPLE, len(vectors)), replace=False)]
    axes = np.ascontiguousarray(np.linalg.eigh(some.T @ some)[1][:, ::-1][:, :AXES].T, np.float32)
    queries, others = some[:200], some[200:]
    exact, short = queries @ others.T, (queries @ axes.T) @ (others @ axes.T).T  # (200, ·)
    near = np.argpartition(-short, NEAR, axis=1)[:, : NEAR + 1]
    errors = np.take_along_axis(exact - short, near, axis=1)
    lowest = np.take_along_axis(short, near[:, -1:], axis=1)[:, 0]
    tenth = -np.partition(-exact, 9, axis=1)[:, 9]
    return axes if np.mean(lowest + np.quantile(errors, 0.999) < tenth) >= PAYS else every


def _view(numbers: Any) -> np.ndarray:
    """FAISS's vector as an array, without a copy."""
    return faiss.rev_swig_ptr(numbers.data(), numbers.size())
