"""Search at 10,000, 100,000 and a million vectors: ours, in process and over HTTP, beside other engines in one run.

    scripts/bench search --images FOLDER ... [--model FOLDER] [--sizes N ...] [--json] [--quick]
                         [--keep FOLDER] [--engines NAME ...] [--limit SECONDS]

The vectors are those of real pictures by the product's own encoder, enlarged to each size (see `bigger.enlarge`); the
queries are made alike, and are in no index. Each engine works in a process of its own and gets the least search effort
that reaches recall@10 0.99, one thread a search. What is not installed is a row "not measured": hnswlib, usearch,
milvus-lite with pymilvus. Over HTTP the query is a picture of the collection, and a search answers ten hits in full.

A million vectors take a while. With `--keep` everything is kept in a folder, and a call does what is not there yet: one
call may prepare (`--engines`, naming none), others measure an engine each, the last prints the table of all.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from model.info import read_info
from scripts.benchmarks.bigger import QUERIES, K, Task, encode_folders, local_dimension, prepare
from scripts.benchmarks.calls import say
from scripts.benchmarks.over_http import HALVES, end_in_order, over_http
from scripts.benchmarks.searched import PEERS, WANTED, measure, measure_peer, resident
from scripts.benchmarks.table import Row, aim, missing, quick, report, row

SIZES = (10_000, 100_000, 1_000_000)
OURS, HTTP, FLAT = "Likeness", "Likeness over HTTP", "FAISS Flat"
ENGINES = (*PEERS, OURS, HTTP)
TARGET_MS = {100_000: 15, 1_000_000: 20}
FIGURES = {
    "recall": ("recall@10", "recall@10"),
    "p50": ("search, p50", "ms"),
    "p95": ("search, p95", "ms"),
    "rate": ("searches by 8 clients", "per s"),
    "build": ("build", "s"),
    "memory": ("memory a vector", "KB each"),
    "add": ("add 10", "ms"),
    "delete": ("delete 10", "ms"),
    "add_labelled": ("add 10 where half is labelled, and find what is labelled", "ms"),
    "delete_labelled": ("delete 10 where half is labelled, and find what is labelled", "ms"),
    "rerunning": ("search, p95 while two pages rerun", "ms"),
    "first": ("a search with a filter that keeps half, the first time, slowest kind", "ms"),
    **{kind: (f"search, p95 with a filter by {kind} that keeps half", "ms") for kind in HALVES},
    "whole": ("memory of the whole process a vector", "KB each"),
}
Said = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench search")
    parser.add_argument("--images", type=Path, nargs="+", help="folders of pictures")
    parser.add_argument("--model", type=Path, help="the encoder's folder; default: the one that ships, or random")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--keep", type=Path, help="a folder for vectors and figures, so that several calls share them")
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=ENGINES, help="the ones to measure, by name")
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which a peer's build is given up")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="10,000 vectors and 500 pictures only")
    parser.add_argument("--one", nargs=2, metavar=("ENGINE", "FOLDER"), help=argparse.SUPPRESS)  # a child's work
    options = parser.parse_args()
    end_in_order()
    if options.one:
        print(json.dumps(one(options.one[0], Task(Path(options.one[1])), options.limit)))
        return
    if options.images is None:
        parser.error("name a folder of pictures: --images FOLDER")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() if options.keep is None else nullcontext(options.keep) as folder:
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        model, real = encode_folders(options.images, options.model, place, 500 if options.quick else None)
        notes = [
            f"vectors of {len(real):,} pictures by {read_info(model).started_from}, enlarged; {QUERIES} queries",
            f"the pictures' own vectors: local dimension {local_dimension(real):.1f}",
        ]
        for size in [10_000] if options.quick else options.sizes:
            task = prepare(size, place)
            rows += rows_of(size, at_size(task, model, options.engines, options.limit))
            notes.append(f"{size:,} vectors: local dimension {task.dimension():.1f}")
    report("search", "plain FAISS Flat at the same size", quick(rows) if options.quick else rows, options.json, notes)


def at_size(task: Task, model: Path, engines: list[str], limit: float) -> dict[str, Said | None]:
    """What is known of every engine on one task; those of `engines` that are not measured yet are measured."""
    said: dict[str, Said | None] = {}
    for name in ENGINES:
        file = task.folder / f"{name}.json"
        if not file.exists() and name in engines:
            say(f"{task.folder.name} vectors: {name}")
            if name == HTTP:
                with tempfile.TemporaryDirectory(dir=task.folder) as scratch:
                    found: Said | None = over_http(task, model, Path(scratch))
            else:
                command = [sys.executable, "-m", "scripts.benchmarks.search", "--limit", str(limit)]
                done = subprocess.run(
                    [*command, "--one", name, str(task.folder)], stdout=subprocess.PIPE, text=True, check=True
                )
                found = json.loads(done.stdout)
            file.write_text(json.dumps(found))
        if file.exists():
            said[name] = json.loads(file.read_text())
    return said


def rows_of(size: int, said: dict[str, Said | None]) -> list[Row]:
    rows = []
    flat = said.get(FLAT) or {}
    for figure, (words, unit) in FIGURES.items():
        for name, values in said.items():
            metric = f"{size:,}: {words}, {name}"
            if values is None:
                rows.append(missing(metric, unit, "not installed"))
            elif "unfinished" in values:
                rows.append(missing(metric, unit, f"{values['unfinished']:,} were in after {values['build']:.0f} s"))
            elif figure in values:
                base = None if name == FLAT else flat.get(figure)
                rows.append(_aimed(row(metric, values[figure], unit, base), figure, name, size))
    ours = said.get(OURS) or {}
    for name, values in said.items():
        # All of them can delete. One that does not reach the recall may be quicker for that.
        if name in PEERS and values and ours and values.get("recall", 0) >= WANTED:
            a_second = row(f"{size:,}: searches a second beside {name}", 1000 / ours["p50"], "", 1000 / values["p50"])
            rows.append(aim(a_second, ratio_at_least=1))
    return rows


def _aimed(each: Row, figure: str, name: str, size: int) -> Row:
    if name not in (OURS, HTTP):
        return each
    match figure:
        case "recall":
            return aim(each, at_least=WANTED)
        case "p95" | "rerunning" if name == HTTP and size in TARGET_MS:
            return aim(each, at_most=TARGET_MS[size])
        case "first":
            return aim(each, at_most=300)
        case _ if figure in HALVES:
            return aim(each, at_most=100)
        case "add" | "add_labelled":
            return aim(each, at_most=1000)
        case "build":
            return aim(each, at_most=600)
        case "memory" if size == SIZES[-1]:
            return aim(each, at_most=1.3)
        case "whole" if size == SIZES[-1]:
            return aim(each, at_most=3.5)
    return each


def one(name: str, task: Task, limit: float) -> Said | None:
    """One engine's figures, in this process; None when it is not installed."""
    if name == OURS:
        return ours(task)
    try:
        return measure_peer(name, task, limit)
    except ImportError:
        return None


def ours(task: Task) -> Said:
    """Our index in this process; it was built in another, whose memory must not count. It stays for the API."""
    from indexer.index import open_index

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as elsewhere:
        build = elsewhere.submit(_build, task).result()
    before, queries = resident(what="RssAnon"), task.queries()
    index = open_index(task.folder / "index")
    for query in queries[:50]:
        index.search(query, K)
    said = {"build": build, "memory": (resident(what="RssAnon") - before) / len(index.ids) / 1024}
    return said | measure(lambda number: index.search(queries[number], K)[0] - 1, task.truth())


def _build(task: Task) -> float:
    """How long it takes, s."""
    from indexer.publish import publish

    vectors = task.opened()
    started = time.perf_counter()
    publish(task.folder / "index", np.arange(1, len(vectors) + 1), vectors, say=lambda sentence: say(f"  {sentence}"))
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
