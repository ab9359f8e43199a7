"""Looking for near-duplicates: are changed copies found, and how long does a look at very many pictures take?

    scripts/bench duplicates --images FOLDER [FOLDER...] [--part changed|vectors|landmarks] [--copies N] [--enlarged N]
                             [--model FOLDER] [--json] [--quick]

`changed`: `--copies` (250) pictures of each folder come back resized, cropped, re-encoded and recoloured, and are
looked for among all. Baseline: pHash at 10 of its 64 bits. A pair among the folder's own pictures is judged by windows
of the one that lie in the other at the same size; what these do not confirm is named, to be looked at.

`vectors`: `--enlarged` (100,000) are made of the first folder's, as `bench search` makes them; of one in twenty another
is a copy, at a cosine of 0.92 to 0.99, as resized or re-encoded ones have. Baseline: FAISS range search over a flat
index, which compares every pair on all cores, for minutes, and lists whatever is as near.

`landmarks`: of as many pictures, drawn from the first folder's with noise, are sorted in and looked up; then those of
ten more. How many pictures a second get their traits, which is done once for each, is measured on the folder itself.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import faiss
import numpy as np

from indexer.crops import OF_EACH, LandmarkIndex
from indexer.look import NEAR, SAMPLE, near_pairs
from indexer.traits import traits_of
from model.images import make_preview
from model.landmarks import Landmarks
from model.train_command import find_files
from scripts.benchmarks import changed
from scripts.benchmarks.bigger import encode_folders, enlarge, neighbours
from scripts.benchmarks.calls import say
from scripts.benchmarks.held import held_by
from scripts.benchmarks.table import Row, aim, quick, report, row

T = TypeVar("T")

COPIES = 20  # one vector in so many has a copy
FAR = (0.92, 0.99)  # cosines of a copy
BLOCK = 4096  # queries at once: what a range search finds is held in memory
AT_ONCE = 512  # pictures
NOISE = 0.5  # of the distance of a landmark's code to the nearest
TEN = 10
MINUTES = 5  # that looking through 100,000 pictures whose traits are there may take


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench duplicates")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="folders of pictures")
    parser.add_argument("--part", choices=["changed", "vectors", "landmarks"], help="default: all")
    parser.add_argument("--copies", type=int, default=250, help="pictures that are changed")
    parser.add_argument("--enlarged", type=int, default=100_000, help="vectors, and pictures' landmarks")
    parser.add_argument("--model", type=Path, help="the encoder's folder; default: the one that ships, or random")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few pictures, 500 vectors: shows that it runs")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    if options.part in (None, "changed"):
        copies, most = (5, 30) if options.quick else (options.copies, None)
        for folder in options.images:
            rows += changed.rows(folder, options.model, copies, most)
    count, most = (500, 200) if options.quick else (options.enlarged, None)
    if options.part in (None, "vectors"):
        rows += _near(options.images[0], options.model, count, most)
    if options.part in (None, "landmarks"):
        rows += _landmarks(options.images[0], count, most)
    baseline = "pHash at 10 of 64 bits; of vectors FAISS range search, every pair"
    report("duplicates", baseline, quick(rows) if options.quick else rows, options.json)


def _near(folder: Path, model: Path | None, count: int, most: int | None) -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        _, real = encode_folders([folder], model, Path(scratch), most)
    say(f"{count:,} vectors: making them")
    vectors, copies = with_copies(enlarge(real, neighbours(real), count))
    ids = np.arange(len(vectors))
    ours, seconds, held = measured(lambda: near_pairs(ids, vectors, ids, _follow))
    found = copies & set(map(tuple, ours.tolist()))
    _, ten, _ = measured(lambda: near_pairs(ids, vectors, ids[-TEN:]))
    every, longer, more = measured(lambda: every_pair(vectors))
    return [
        row(f"{count:,} vectors: looking for near pairs", seconds, "s", longer),
        row(f"{count:,} vectors: the same for {TEN} that are new", ten, "s"),
        row(f"{count:,} vectors: memory it takes", held / 1e6, "MB", more / 1e6),
        row(f"{len(copies):,} copies: found", 100 * len(found) / len(copies), "%", 100.0),
        row("pairs whose thumbs are compared", len(ours), "", every),
    ]


def _landmarks(folder: Path, count: int, most: int | None) -> list[Row]:
    """How long sorting and looking up the landmarks of `count` pictures takes, and of ten more."""
    real, rate = _traits(folder, most)
    made, clock, ids = _Made(real), _Clock(), np.arange(count)

    def all_of_them() -> tuple[LandmarkIndex, int]:
        sample, found = made.of(range(min(count, SAMPLE))), 0
        index = clock(lambda: LandmarkIndex.like(sample, count))
        for start in range(0, count, AT_ONCE):
            _follow("sorting landmarks", start, count)
            part = made.of(range(start, min(start + AT_ONCE, count)))
            clock(lambda part=part: index.add(part))
        for start in range(0, count, AT_ONCE):
            _follow("looking landmarks up", start, count)
            part = made.of(range(start, min(start + AT_ONCE, count)))
            found += len(clock(lambda part=part: index.candidates(part, ids)))
        return index, found

    (index, found), _, held = measured(all_of_them)
    ten, again = made.of(range(count, count + TEN)), _Clock()
    index = again(lambda: LandmarkIndex.unpacked(index.packed()))
    again(lambda: index.add(ten))
    again(lambda: index.candidates(ten, np.arange(count + TEN)))
    both = row(f"landmarks of {count:,} pictures: sorting and looking up", clock.seconds, "s")
    return [
        row("traits made of previews", rate, "a second"),
        aim(both, at_most=60 * MINUTES),
        row(f"landmarks of {count:,} pictures: {TEN} that are new, with reading and writing", again.seconds, "s"),
        row(f"landmarks of {count:,} pictures: memory they take", held / 1e6, "MB"),
        row(f"landmarks of {count:,} pictures: candidates", found, ""),
    ]


class _Clock:
    """How long all that it is given takes: making up pictures does not count."""

    seconds = 0.0

    def __call__(self, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        result = work()
        self.seconds += time.perf_counter() - started
        return result


def _traits(folder: Path, most: int | None) -> tuple[list[Landmarks], float]:
    """The landmarks of the pictures of a folder, and how many a second are made of previews."""
    files = find_files(folder)[:most]
    say(f"making traits of {len(files):,} pictures")
    with ThreadPoolExecutor(2) as pool:
        previews = list(pool.map(lambda path: make_preview(path.read_bytes(), path.name).data, files))
        started = time.perf_counter()
        made = list(pool.map(lambda data: traits_of(data, "a picture").landmarks, previews))
    return made, len(made) / (time.perf_counter() - started)


class _Made:
    """Pictures with the landmarks of real ones: places of one, codes like those of all."""

    def __init__(self, real: list[Landmarks]) -> None:
        self.real = [each for each in real if len(each.codes)]
        self.codes = np.concatenate([each.codes for each in self.real]).astype(np.float32)
        some = self.codes[np.random.default_rng(0).choice(len(self.codes), min(2000, len(self.codes)), replace=False)]
        apart = (some**2).sum(axis=1)[:, np.newaxis] + (some**2).sum(axis=1) - 2 * some @ some.T
        np.fill_diagonal(apart, np.inf)
        self.noise = NOISE * float(np.sqrt(np.median(apart.min(axis=1)) / some.shape[1]))  # of each number

    def of(self, numbers: range) -> dict[int, Landmarks]:
        return {number: self._one(number) for number in numbers}

    def _one(self, number: int) -> Landmarks:
        rng = np.random.default_rng(number)
        places = self.real[int(rng.integers(len(self.real)))].places[:OF_EACH]
        codes = self.codes[rng.integers(0, len(self.codes), len(places))]
        codes = np.clip(np.round(codes + rng.normal(0, self.noise, codes.shape)), -128, 127)
        return Landmarks(places, codes.astype(np.int8))


_told = time.monotonic()


def _follow(part: str, done: int, total: int) -> None:
    """Say every few seconds how far it is."""
    global _told
    if time.monotonic() - _told > 10:
        _told = time.monotonic()
        say(f"{part}: {done:,} of {total:,}")


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
        _follow("comparing every pair", start, len(vectors))
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
