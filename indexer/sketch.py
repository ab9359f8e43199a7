"""A short form of the vectors in inverted lists: a search looks through it first, and at the vectors themselves last.

What tells the pictures of one collection apart lies mostly along a few principal axes. Along these a vector takes a
byte each, so that looking through lists touches a tenth of the memory. The nearest by this short form are put in order
by exact cosines, and how far it may be off is measured when the index is built: a search takes as many as it must for
its first `k` to be those of the vectors themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

fast: Any = faiss  # FAISS's type hints know neither its own wrappers nor its streams

AXES = 96  # of collections whose vectors have at least twice as many dimensions
FIRST, MOST = 48, 1024  # vectors whose exact cosines a search computes, at least and at most
SURE = 0.999  # the share of near vectors whose short form says at most `slack` too little
SAMPLE = 20_000  # vectors that say whether a few axes tell them apart
PAYS = 0.5  # the share of searches that the first `FIRST` vectors must suffice for

Exact = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # (query, rows) → rows, cosines; best first


class Sketch:
    """Inverted lists of short forms. Rows are those of the index that it belongs to."""

    def __init__(self, index: Any, slack: float = 0.0) -> None:
        """`index` is a FAISS index of axes followed by lists."""
        self.index, self.slack = index, slack
        axes: Any = faiss.downcast_VectorTransform(index.chain.at(0))
        self._axes = np.ascontiguousarray(faiss.vector_to_array(axes.A).reshape(axes.d_out, axes.d_in).T)  # (D, A)
        self._lists: Any = faiss.downcast_index(index.index)

    @property
    def centres(self) -> np.ndarray:
        """(L, D) float32: the lists' centres as vectors, which sort other vectors as the short forms are sorted."""
        quantizer: Any = faiss.downcast_index(self._lists.quantizer)
        return np.ascontiguousarray(quantizer.reconstruct_n(0, quantizer.ntotal) @ self._axes.T)

    def nearest(self, query: np.ndarray, count: int, effort: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows (C,) and short cosines (C,) of the `count` nearest to `query` (D,) in `effort` lists; fewer: row -1."""
        parameters = fast.SearchParametersIVF(nprobe=effort)
        (cosines,), (rows,) = self._lists.search((query @ self._axes)[np.newaxis], count, params=parameters)
        return rows, cosines

    def search(self, query: np.ndarray, k: int, effort: int, exact: Exact) -> tuple[np.ndarray, np.ndarray] | None:
        """Rows that hold the `k` nearest in `effort` lists, and their cosines; None when too many are nearly alike."""
        count = max(FIRST, 4 * k)
        while count <= MOST:
            rows, short = self.nearest(query, count, effort)
            all_of_them = rows[-1] < 0
            rows, cosines = exact(query, rows[rows >= 0] if all_of_them else rows)
            if all_of_them or short[-1] + self.slack < cosines[k - 1]:
                return rows, cosines
            count *= 4
        return None

    def measure(self, vectors: np.ndarray, held: np.ndarray, effort: int, exact: Exact) -> bool:
        """Set `slack` by the rows `held` of `vectors`, which are not in it; whether it makes searches quicker."""
        errors, lowest, tenth = [], [], []
        for row in held:
            rows, short = self.nearest(vectors[row], FIRST, effort)
            rows, short = rows[rows >= 0], short[rows >= 0]
            if len(rows) < FIRST:
                continue  # it has all there is
            order = np.argsort(rows)
            there, cosines = exact(vectors[row], rows)
            errors.append(cosines[np.argsort(there)] - short[order])
            lowest.append(short[-1])
            tenth.append(cosines[9])
        if errors:
            self.slack = max(0.0, float(np.quantile(np.concatenate(errors), SURE)))
        return not errors or float(np.mean(np.array(lowest) + self.slack < np.array(tenth))) >= PAYS


def axes_of(vectors: np.ndarray) -> np.ndarray | None:
    """(D, AXES) float32, the principal axes of `vectors` (S, D); None when so few do not tell them apart."""
    dim = vectors.shape[1]
    if dim < 2 * AXES:
        return None
    some = vectors[np.random.default_rng(2).choice(len(vectors), min(SAMPLE, len(vectors)), replace=False)]
    _, every = np.linalg.eigh(some.T @ some)  # ascending
    axes = np.ascontiguousarray(every[:, ::-1][:, :AXES], np.float32)
    queries, others = some[:200], some[200:]
    exact, short = queries @ others.T, (queries @ axes) @ (others @ axes).T  # (200, ·)
    near = np.argpartition(-short, FIRST, axis=1)[:, : FIRST + 1]
    errors = np.take_along_axis(exact - short, near, axis=1)
    lowest = np.take_along_axis(short, near[:, -1:], axis=1)[:, 0]
    tenth = -np.partition(-exact, 9, axis=1)[:, 9]
    return axes if np.mean(lowest + np.quantile(errors, SURE) < tenth) >= PAYS else None


def learn_sketch(sample: np.ndarray, lists: int, per_list: int, rounds: int) -> Sketch | None:
    """An empty sketch with `lists` learnt from `sample` (S, D); None when it would not make searches quicker."""
    axes = axes_of(sample)
    if axes is None:
        return None
    transform = fast.LinearTransform(*axes.shape, False)
    faiss.copy_array_to_vector(axes.T.ravel(), transform.A)
    transform.is_trained = True
    byte = faiss.ScalarQuantizer.QT_8bit
    quantizer = faiss.IndexFlatIP(axes.shape[1])
    inner = faiss.IndexIVFScalarQuantizer(quantizer, axes.shape[1], lists, byte, faiss.METRIC_INNER_PRODUCT, False)
    inner.cp.max_points_per_centroid, inner.cp.niter = per_list, rounds
    index: Any = faiss.IndexPreTransform(transform, inner)
    index.train(sample)
    return Sketch(index)
