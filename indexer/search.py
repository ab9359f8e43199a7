"""Positives, negatives and a filter → ranked hits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.index import VectorIndex

NEGATIVE_WEIGHT = 0.5  # Rocchio's β:γ of 2:1 or more (Manning et al. 2008, §9.1.1): what you like counts more


@dataclass(frozen=True)
class Hits:
    """A page of a ranked list. `scores` is what it is sorted by, `cosines` the likeness to the nearest positive."""

    ids: np.ndarray  # (n,) int64
    scores: np.ndarray  # (n,) float32
    cosines: np.ndarray  # (n,) float32
    total: int  # of images that could have been listed


def search(
    index: VectorIndex,
    positive: np.ndarray,
    negative: np.ndarray,
    *,
    limit: int,
    offset: int = 0,
    among: np.ndarray | None = None,
    exclude: np.ndarray | None = None,
) -> Hits:
    """Rank by likeness to `positive` (P, D) and unlikeness to `negative` (M, D), all unit vectors.

    Several examples become one query, mean(positive) − β·mean(negative), made unit again (Rocchio 1971).
    `among` are the only ids to list (None: all), `exclude` ids never to list (the examples themselves).
    """
    query = positive.mean(axis=0)
    if len(negative):
        query = query - NEGATIVE_WEIGHT * negative.mean(axis=0)
    query = (query / max(float(np.linalg.norm(query)), 1e-12)).astype(np.float32)
    exclude = np.zeros(0, np.int64) if exclude is None else np.unique(exclude)
    keep = None if among is None else index.kept(among, exclude)
    total = len(index.ids) - int(index.rows_of(exclude)[1].sum()) if keep is None else int(np.count_nonzero(keep))
    if total == 0:
        return Hits(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32), 0)
    ids, scores = (found[offset:] for found in index.search(query, offset + limit, among, exclude, keep))
    _, vectors = index.vectors_of(ids)
    cosines = (vectors @ positive.T).max(axis=1) if len(ids) else scores
    return Hits(ids, scores, cosines.astype(np.float32), total)
