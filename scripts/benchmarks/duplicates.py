"""Looking for near-duplicates among many vectors, beside comparing every pair.

    scripts/bench duplicates --images FOLDER [--model FOLDER] [--enlarged N] [--json] [--quick]

`--enlarged` vectors (100,000) are made of the folder's, as `bench search` makes them; of one in twenty another is a
copy, at a cosine of 0.92 to 0.99, as resized, cropped or re-encoded ones have. Baseline: FAISS range search over a flat
index, which compares every pair on all cores and lists whatever is as near as ours asks for. Only candidates are
measured: pixels, which decide, are looked at afterwards, by both alike.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from indexer.duplicates import NEAR, candidates
from scripts.benchmarks.bigger import encode_folders, enlarge, neighbours
from scripts.benchmarks.held import held_by
from scripts.benchmarks.table import quick, report, row

COPIES = 20  # one vector in so many has a copy
FAR = (0.92, 0.99)  # cosines of a copy
BLOCK = 4096  # queries at once: what a range search finds is held in memory


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench duplicates")
    parser.add_argument("--images", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--model", type=Path, help="the encoder's folder; default: the one that ships, or random")
    parser.add_argument("--enlarged", type=int, default=100_000, help="vectors")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="2,000 vectors of 200 pictures: shows that it runs")
    options = parser.parse_args()
    count = 2000 if options.quick else options.enlarged
    with tempfile.TemporaryDirectory() as scratch:
        _, real = encode_folders([options.images], options.model, Path(scratch), 200 if options.quick else None)
    vectors, copies = with_copies(enlarge(real, neighbours(real), count))
    ids = np.arange(len(vectors))
    ours, seconds, held = measured(lambda: set(candidates(ids, vectors)))
    every, longer, more = measured(lambda: every_pair(vectors))
    rows = [
        row(f"{count:,} vectors: looking for near pairs", seconds, "s", longer),
        row(f"{count:,} vectors: memory it takes", held / 1e6, "MB", more / 1e6),
        row(f"{len(copies):,} copies: found", 100 * len(copies & ours) / len(copies), "%", 100.0),
        row("pairs to look at", len(ours), "", every),
    ]
    report("duplicates", "FAISS range search, every pair", quick(rows) if options.quick else rows, options.json)


def with_copies(vectors: np.ndarray, seed: int = 0) -> tuple[np.ndarray, set[tuple[int, int]]]:
    """`vectors` (N, D) with the last of them replaced by copies of earlier ones, and the pairs of rows that are."""
    rng = np.random.default_rng(seed)
    many = len(vectors) // COPIES
    first = rng.choice(len(vectors) - many, many, replace=False)
    cosine = rng.uniform(*FAR, (many, 1)).astype(np.float32)
    aside = rng.standard_normal((many, vectors.shape[1]), np.float32)
    aside -= np.sum(aside * vectors[first], axis=1, keepdims=True) * vectors[first]
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    vectors[-many:] = cosine * vectors[first] + np.sqrt(1 - cosine**2) * aside
    return vectors, set(zip(first.tolist(), range(len(vectors) - many, len(vectors)), strict=True))


def every_pair(vectors: np.ndarray) -> int:
    """How many pairs are as near as NEAR."""
    index: Any = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    found = 0
    for start in range(0, len(vectors), BLOCK):
        limits, _, _ = index.range_search(vectors[start : start + BLOCK], NEAR)
        found += int(limits[-1])
    return (found - len(vectors)) // 2  # each from both ends, and each vector with itself


def measured(work: Callable[[], Any]) -> tuple[Any, float, int]:
    """What `work` returns, the seconds it takes, and the most that it holds more than there was before, bytes."""
    before, most, ended = held_by(os.getpid()), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.02):
            most = max(most, held_by(os.getpid()))

    watching = threading.Thread(target=watch)
    watching.start()
    started = time.perf_counter()
    try:
        result = work()
        seconds = time.perf_counter() - started
    finally:
        ended.set()
        watching.join()
    return result, seconds, max(0, most - before)


if __name__ == "__main__":
    main()
