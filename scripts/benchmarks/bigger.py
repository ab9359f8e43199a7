"""What `scripts/bench search` searches: vectors of real pictures, enlarged to any number, with queries and truth."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.benchmarks.calls import say

K, QUERIES = 10, 300
BLOCK = 20_000
NEIGHBOURS, MIXED = 10, 4  # of a picture: those known, and those that a new vector is made of
NOISE = 0.5  # of the distance to a neighbour
BATCH = 512  # pictures in memory at once


def encode_folders(
    folders: Sequence[Path], model: Path | None, place: Path, most: int | None
) -> tuple[Path, np.ndarray]:
    """The vectors (R, D) of every picture below `folders`, in `place`/real.npy, unless they are there already.

    Returns the folder of the model that made them, and the vectors. `most` pictures at most.
    """
    from model.errors import CannotDecode
    from model.images import make_preview
    from model.train_command import find_files
    from scripts.benchmarks.labelled import encoder_of, start_of

    encoder = encoder_of(start_of(model), place / "models", "cpu")
    folder = place / "models" / encoder.info.fingerprint
    file = place / "real.npy"
    if file.exists():
        return folder, np.load(file)

    def prepared(path: Path) -> np.ndarray | None:
        try:
            return encoder.square(make_preview(path.read_bytes(), path.name).data, path.name)
        except CannotDecode:
            return None

    files = [path for each in folders for path in find_files(each)][:most]
    vectors = []
    with ThreadPoolExecutor() as pool:  # Pillow lets go of the interpreter while it works
        for at in range(0, len(files), BATCH):
            say(f"encoding {at:,} of {len(files):,} pictures")
            squares = [square for square in pool.map(prepared, files[at : at + BATCH]) if square is not None]
            if squares:
                vectors.append(encoder.encode(np.stack(squares)))
    save(file, np.concatenate(vectors))
    return folder, np.load(file)


@dataclass(frozen=True)
class Task:
    """A folder with what is to be searched."""

    folder: Path

    @property
    def vectors(self) -> Path:
        """The file of the vectors (N, D) float32."""
        return self.folder / "vectors.npy"

    def opened(self) -> np.ndarray:
        return np.load(self.vectors, mmap_mode="r")

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(N, D) in parts with the row each begins at; mapped anew for each, so that no process seems to hold them."""
        for at in range(0, len(self.opened()), BLOCK):
            yield at, np.array(self.opened()[at : at + BLOCK])

    def queries(self) -> np.ndarray:
        """(Q, D) made like the vectors, and in no index."""
        return np.load(self.folder / "queries.npy")

    def truth(self) -> np.ndarray:
        """(Q, K) rows of the nearest of each query."""
        return np.load(self.folder / "truth.npy")

    def dimension(self) -> float:
        return float(np.load(self.folder / "dimension.npy"))

    def asked(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows (Q,) that are queries themselves, and the rows (Q, K) nearest to each but itself."""
        return np.load(self.folder / "asked.npy"), np.load(self.folder / "asked_truth.npy")


def prepare(size: int, place: Path) -> Task:
    """The task of `size` vectors, made of `place`/real.npy unless it is there already."""
    task = Task(place / str(size))
    if (task.folder / "asked_truth.npy").exists():  # written last
        return task
    say(f"{size:,} vectors: enlarging, and comparing the queries with every one")
    task.folder.mkdir(exist_ok=True)
    real = np.load(place / "real.npy")
    near = neighbours(real)
    vectors, queries = enlarge(real, near, size), enlarge(real, near, QUERIES, seed=1)
    save(task.vectors, vectors)
    save(task.folder / "queries.npy", queries)
    save(task.folder / "dimension.npy", np.array(local_dimension(vectors)))
    save(task.folder / "truth.npy", nearest(vectors, queries, K))
    asked = np.random.default_rng(2).choice(size, min(QUERIES, size), replace=False)
    rows = nearest(vectors, vectors[asked], K + 1)
    save(task.folder / "asked.npy", asked)
    others = [found[found != own][:K] for found, own in zip(rows, asked, strict=True)]
    save(task.folder / "asked_truth.npy", np.array(others))
    return task


def save(file: Path, values: np.ndarray) -> None:
    """Whole or not at all: a run may be ended at any moment, and the next takes what it finds for whole."""
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as partial:
        np.save(partial, values)
    Path(partial.name).replace(file)


def neighbours(real: np.ndarray) -> np.ndarray:
    """(R, 10) the rows of the ten nearest others of each of `real` (R, D), in no order."""
    near = np.empty((len(real), NEIGHBOURS), np.int64)
    for start in range(0, len(real), 1000):
        cosines = real[start : start + 1000] @ real.T
        cosines[np.arange(len(cosines)), start + np.arange(len(cosines))] = -np.inf
        near[start : start + 1000] = np.argpartition(-cosines, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    return near


def enlarge(real: np.ndarray, near: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """(count, D) unit float32 like the `real` ones (R, D), whose `neighbours` are `near`.

    Each lies somewhere between a picture and four of its ten nearest neighbours, with noise half the distance to one
    of them long in a random direction. So the groups stay those of pictures, and so do the distances and the local
    dimension (`local_dimension`, which the benchmark prints): between two pictures only, with less noise, it is a
    third of theirs, and every search looks better than it is.
    """
    rng = np.random.default_rng(seed)
    vectors = np.empty((count, real.shape[1]), np.float32)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        first = rng.integers(0, len(real), size)
        chosen = np.argsort(rng.random((size, NEIGHBOURS)), axis=1)[:, :MIXED]
        others = np.take_along_axis(near[first], chosen, axis=1)  # (size, MIXED)
        shares = rng.dirichlet(np.ones(MIXED + 1), size).astype(np.float32)
        made = real[first] * shares[:, :1]
        for at in range(MIXED):
            made += real[others[:, at]] * shares[:, at + 1 : at + 2]
        noise = rng.standard_normal(made.shape, np.float32)
        far = np.linalg.norm(real[first] - real[others[:, 0]], axis=1, keepdims=True)
        noise *= NOISE * far / np.linalg.norm(noise, axis=1, keepdims=True)
        vectors[start : start + size] = (made + noise) / np.linalg.norm(made + noise, axis=1, keepdims=True)
    return vectors


def local_dimension(vectors: np.ndarray, seed: int = 0) -> float:
    """How many dimensions the neighbourhood of a vector has: the maximum-likelihood estimate from its twenty nearest.

    (Levina and Bickel, 2004; Amsaleg et al., KDD 2015), the median of 200 vectors.
    """
    rows = np.random.default_rng(seed).choice(len(vectors), min(200, len(vectors)), replace=False)
    cosines = np.concatenate([vectors[rows] @ part.T for part in _parts(vectors)], axis=1)
    cosines = -np.partition(-cosines, 21, axis=1)[:, :21]
    distances = np.sort(np.sqrt(np.maximum(2 - 2 * cosines, 1e-12)), axis=1)[:, 1:]  # (200, 20) without itself
    return float(np.median(-1 / np.log(distances[:, :-1] / distances[:, -1:]).mean(axis=1)))


def _parts(vectors: np.ndarray) -> Iterator[np.ndarray]:
    return (vectors[at : at + BLOCK] for at in range(0, len(vectors), BLOCK))


def nearest(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """(Q, k) rows by comparing every query with every vector, in no order."""
    best = np.full((len(queries), k), -np.inf, np.float32)
    rows = np.zeros((len(queries), k), np.int64)
    for start in range(0, len(vectors), BLOCK):
        cosines = np.concatenate([best, queries @ vectors[start : start + BLOCK].T], axis=1)
        here = np.arange(start, start + cosines.shape[1] - k)
        at = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        names = np.concatenate([rows, np.broadcast_to(here, (len(queries), len(here)))], axis=1)
        best, rows = (np.take_along_axis(x, at, axis=1) for x in (cosines, names))
    return rows
