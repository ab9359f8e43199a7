"""The 2-D map beside PCA's, and its clusters beside HDBSCAN's, on pictures of known classes.

    scripts/bench map --images FOLDER [FOLDER...] [--model FOLDER] [--enlarged N] [--json] [--quick]

A map is good where what is near in the vectors stays near on it: the share of a picture's 15 nearest that are among the
100 nearest on the map. Clusters are judged by adjusted mutual information with the classes, which no algorithm sees.
`--enlarged` maps so many vectors made of the first folder's (as `bench search` makes them) for time and memory.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
from sklearn.cluster import HDBSCAN
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_mutual_info_score

from indexer.map import NEIGHBOURS, make_map
from scripts.benchmarks.bigger import prepare
from scripts.benchmarks.labelled import encoder_of, read, start_of
from scripts.benchmarks.table import Row, quick, report, row

NEAR, JUDGED = 100, 1000  # on the map; pictures that are asked
HDBSCAN_DIM, HDBSCAN_LEAST, HDBSCAN_CORE = 32, 25, 5  # it needs few dimensions; the best of 10, 25 and 50


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench map")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="folders of class folders")
    parser.add_argument("--model", type=Path, help="the encoder's folder; default: the one that ships, or random")
    parser.add_argument("--enlarged", type=int, default=100_000, help="vectors for time and memory; 0: not")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="30 pictures a class, nothing enlarged")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        encoder = encoder_of(start_of(options.model), place, "cpu")
        for number, folder in enumerate(options.images):
            pictures = read(folder, 30 if options.quick else None)
            vectors = pictures.vectors(encoder)
            if number == 0:
                np.save(place / "real.npy", vectors)
            rows += judge(folder.name, vectors, list(pictures.classes))
        if options.enlarged and not options.quick:
            prepare(options.enlarged, place)
            many = np.load(place / str(options.enlarged) / "vectors.npy", mmap_mode="r")
            rows += time_of(f"{options.enlarged:,} vectors", np.asarray(many, np.float32))
    rows.append(row("peak memory of this process", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB"))
    report("map", "PCA; HDBSCAN for the clusters", quick(rows) if options.quick else rows, options.json)


def judge(name: str, vectors: np.ndarray, classes: list[str]) -> list[Row]:
    flat = PCA(2, random_state=0).fit_transform(vectors)
    few = PCA(min(HDBSCAN_DIM, len(vectors) - 1), random_state=0).fit_transform(vectors)
    dense = HDBSCAN(min(HDBSCAN_LEAST, len(vectors) // 4), min_samples=HDBSCAN_CORE, copy=False).fit_predict(few)
    started = time.perf_counter()
    found = make_map(np.arange(len(vectors)), vectors)
    seconds = time.perf_counter() - started
    information = [adjusted_mutual_info_score(classes, said) for said in (found.cluster, dense)]
    return [
        row(f"{name}: nearest kept near on the map", kept(vectors, found.places), "", kept(vectors, flat)),
        row(f"{name}: clusters beside classes (AMI)", information[0], "", information[1]),
        row(f"{name}: {len(vectors):,} pictures", seconds, "s"),
    ]


def time_of(name: str, vectors: np.ndarray) -> list[Row]:
    started = time.perf_counter()
    found = make_map(np.arange(len(vectors)), vectors)
    drawn = time.perf_counter() - started
    started = time.perf_counter()
    make_map(np.arange(len(vectors) + 1000), np.concatenate([vectors, vectors[:1000]]), found)
    placed = time.perf_counter() - started
    flat = PCA(2, random_state=0).fit_transform(vectors)
    return [
        row(f"{name}: drawn", drawn, "s"),
        row(f"{name}: 1,000 more placed", placed, "s"),
        row(f"{name}: nearest kept near on the map", kept(vectors, found.places), "", kept(vectors, flat)),
    ]


def kept(vectors: np.ndarray, places: np.ndarray) -> float:
    """The share of the nearest by vectors (N, D) that are among the `NEAR` nearest by places (N, 2)."""
    asked = np.random.default_rng(0).choice(len(vectors), min(JUDGED, len(vectors)), replace=False)
    there, here = (_nearest(rows, asked, k) for rows, k in ((vectors, NEIGHBOURS), (places, NEAR)))
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(there.tolist(), here.tolist(), strict=True)]))


def _nearest(rows: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """(A, k) the nearest rows to those asked, themselves left out."""
    rows = np.ascontiguousarray(rows, np.float32)
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    return np.asarray(index.search(rows[asked], min(k, len(rows) - 1) + 1)[1][:, 1:])


if __name__ == "__main__":
    main()
