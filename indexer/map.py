"""A collection as a 2-D map: what is alike lies together, in clusters, with what fits nowhere named.

UMAP (arXiv:1802.03426) lays out a sample. Every other picture, and every one that comes later, is put between its
nearest neighbours in the sample, so that nothing that lies on the map ever moves. Clusters are k-means on the vectors:
where classes run into each other HDBSCAN calls nearly all pictures noise (docs/benchmarks.md).
A map is a cache: made from an index, of one model, in one file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import faiss
import numpy as np

from model.errors import Cancelled, TooFewImages
from model.files import write_atomically
from model.progress import Line, Progress

FILE = "map.npz"
SAMPLE = 10_000  # pictures that UMAP lays out, in about a minute; more would only take longer
FEWEST = 20  # pictures that make a map
NEIGHBOURS = 15  # UMAP's own default
BETWEEN, SHARPNESS = 5, 8  # pictures of the sample that another is put between, and the power of their cosines
MOST_CLUSTERS, FEW = 64, 3  # clusters; pictures that make one
REPRESENTATIVES = 5
FAR = 3.5  # robust standard deviations less like its cluster than others are: an outlier
MOST_OUTLIERS = 200
BLOCK = 8192


@dataclass(frozen=True)
class Map:
    """Where every picture lies: columns, one row a picture."""

    ids: np.ndarray  # (N,) int64, ascending
    places: np.ndarray  # (N, 2) float32 in 0..1
    cluster: np.ndarray  # (N,) int32
    fits: np.ndarray  # (N,) float32, cosine to its cluster's centre
    sampled: np.ndarray  # (S,) int64, ids that UMAP laid out
    centres: np.ndarray  # (K, D) float32, unit vectors

    @property
    def outliers(self) -> list[int]:
        """Ids of the pictures that are far less like their own cluster than is usual, the strangest first."""
        middle = float(np.median(self.fits))
        spread = 1.4826 * float(np.median(np.abs(self.fits - middle)))
        order = np.argsort(self.fits)[:MOST_OUTLIERS]
        return [int(self.ids[row]) for row in order if self.fits[row] < middle - FAR * spread]

    def clusters(self) -> list[tuple[int, int, list[int]]]:
        """(cluster, how many pictures, ids of the most typical ones), the largest first."""
        found = []
        for number in range(len(self.centres)):
            rows = np.flatnonzero(self.cluster == number)
            typical = rows[np.argsort(-self.fits[rows], kind="stable")[:REPRESENTATIVES]]
            found.append((number, len(rows), [int(i) for i in self.ids[typical]]))
        return sorted((c for c in found if c[1]), key=lambda c: -c[1])

    def members(self, number: int) -> np.ndarray:
        """The ids of one cluster (M,)."""
        return self.ids[self.cluster == number]


def make_map(
    ids: np.ndarray,
    vectors: np.ndarray,
    earlier: Map | None = None,
    progress: Progress = lambda share, message: None,
    stop: Callable[[], bool] = lambda: False,
    seed: int = 0,
) -> Map:
    """The map of the pictures `ids` (N,), ascending, with unit `vectors` (N, D). What lies on `earlier` stays there.

    Raises `TooFewImages`, and `Cancelled` between the steps.
    """
    if len(ids) < FEWEST:
        raise TooFewImages(
            f"A map needs {FEWEST} indexed pictures; there are {len(ids)}: import more, then index them."
        )
    if earlier is None or _outgrown(earlier, ids):
        rows = np.arange(len(ids))  # of the sample
        if len(ids) > SAMPLE:
            rows = np.sort(np.random.default_rng(seed).choice(len(ids), SAMPLE, replace=False))
        sample = np.ascontiguousarray(vectors[rows], np.float32)
        progress(0.05, Line("clusters", "clusters of {n:,} pictures", n=len(rows)))
        centres = _centres(sample, seed)
        _unless(stop)
        english = "laying out {n:,} pictures; about {seconds} s"
        progress(0.15, Line("layout", english, n=len(rows), seconds=max(5, len(rows) // 200)))
        layout = _laid_out(sample, seed)
        _unless(stop)
        places = np.full((len(ids), 2), np.nan, np.float32)
        places[rows] = layout
    else:
        centres, known = earlier.centres, np.isin(ids, earlier.ids)
        places = np.full((len(ids), 2), np.nan, np.float32)
        places[known] = earlier.places[np.searchsorted(earlier.ids, ids[known])]
        rows = np.flatnonzero(np.isin(ids, earlier.sampled))
        sample, layout = np.ascontiguousarray(vectors[rows], np.float32), places[rows]
    _place(places, vectors, sample, layout, progress, stop)
    cluster, fits = np.empty(len(ids), np.int32), np.empty(len(ids), np.float32)
    for at in range(0, len(ids), BLOCK):
        likeness = vectors[at : at + BLOCK] @ centres.T  # (B, K)
        cluster[at : at + BLOCK], fits[at : at + BLOCK] = likeness.argmax(axis=1), likeness.max(axis=1)
    return Map(ids, places, cluster, fits, ids[rows], centres)


def _outgrown(earlier: Map, ids: np.ndarray) -> bool:
    """Whether most pictures are strange to a map, or too few are left of the sample that the others are put between."""
    known, left = (int(np.isin(ids, of).sum()) for of in (earlier.ids, earlier.sampled))
    return known * 2 < len(ids) or left * 2 < min(SAMPLE, len(ids))


def _unless(stop: Callable[[], bool]) -> None:
    if stop():
        raise Cancelled(Line("map_stopped", "Stopped before the map was finished; the earlier one, if any, stays."))


def _centres(sample: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    count = int(np.clip(round(len(sample) ** 0.5 / 2), 2, MOST_CLUSTERS))
    found = KMeans(count, n_init=2, random_state=seed).fit(sample)
    many = np.bincount(found.labels_, minlength=count) >= FEW  # one strange picture is an outlier, and no cluster
    centres = found.cluster_centers_[many if many.any() else slice(None)]
    return np.asarray(centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12), np.float32)


def _laid_out(sample: np.ndarray, seed: int) -> np.ndarray:
    """Places (S, 2) in 0..1. The neighbours are found exactly: at this size FAISS needs two seconds."""
    import umap  # only here: it compiles for seconds, and holds 200 MB

    near = min(NEIGHBOURS, len(sample) - 1)
    index = faiss.IndexFlatL2(sample.shape[1])
    index.add(sample)
    squared, neighbours = index.search(sample, near)  # itself among them, as UMAP counts
    distances = np.sqrt(np.maximum(squared, 0)).astype(np.float32)
    warnings.filterwarnings("ignore", message="precomputed_knn")  # placing others is our own, and needs no index
    mapper = umap.UMAP(
        n_neighbors=near,
        n_epochs=200,
        init="pca",
        random_state=seed,
        n_jobs=1,
        transform_seed=seed,
        precomputed_knn=(neighbours.astype(np.int64), distances, None),
    )
    found = np.asarray(mapper.fit_transform(sample), np.float32)
    low, high = found.min(axis=0), found.max(axis=0)
    return (found - low) / np.maximum(high - low, 1e-6)


def _place(
    places: np.ndarray,
    vectors: np.ndarray,
    sample: np.ndarray,
    layout: np.ndarray,
    progress: Progress,
    stop: Callable[[], bool],
) -> None:
    """Fill in the places that are NaN: the mean of the nearest sampled pictures' places, the nearer the weightier."""
    rows = np.flatnonzero(np.isnan(places[:, 0]))
    if not len(rows):
        return
    index = faiss.IndexFlatIP(sample.shape[1])
    index.add(sample)
    for at in range(0, len(rows), 1024):
        _unless(stop)
        line = Line("placing", "placing {done:,} of {total:,} pictures", done=at, total=len(rows))
        progress(0.6 + 0.4 * at / len(rows), line)
        part = rows[at : at + 1024]
        cosines, near = index.search(np.ascontiguousarray(vectors[part], np.float32), min(BETWEEN, len(sample)))
        weights = np.maximum(cosines, 1e-3) ** SHARPNESS
        weights /= weights.sum(axis=1, keepdims=True)
        places[part] = np.einsum("nk,nkd->nd", weights, layout[near])


def write_map(folder: Path, found: Map) -> None:
    """Keep a map beside the index it was made from."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{field.name: getattr(found, field.name) for field in fields(found)})
    write_atomically(folder / FILE, buffer.getvalue())


def read_map(folder: Path) -> Map | None:
    """The map there is; None where there is none, or one that cannot be read: it is made again."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as stored:
            return Map(**{field.name: stored[field.name] for field in fields(Map)})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
