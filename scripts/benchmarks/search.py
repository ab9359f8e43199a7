"""Search at 10,000, 100,000 and a million vectors: ours, in process and over HTTP, beside other engines in one run.

    scripts/bench search --images FOLDER [--model FOLDER] [--sizes N ...] [--json] [--quick]

The vectors are those of real pictures by the product's own encoder, enlarged to each size (see `searched.enlarge`); the
queries are made alike, and are in no index. Each engine works in a process of its own and gets the least search effort
that reaches recall@10 0.99, one thread a search. What is not installed is a row "not measured": hnswlib, usearch,
milvus-lite with pymilvus. Over HTTP the query is a picture of the collection, and a search answers ten hits in full.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from scripts.benchmarks.searched import PEERS, K, enlarge, measure, measure_peer, nearest, resident
from scripts.benchmarks.table import Row, aim, missing, quick, report, row

SIZES, QUERIES, PORT = (10_000, 100_000, 1_000_000), 300, 8765
TARGET_MS = {100_000: 15, 1_000_000: 20}
FIGURES = {
    "recall": "recall@10", "p50": "ms", "p95": "ms", "rate": "per s", "build": "s", "memory": "KB each",
    "add": "ms", "delete": "ms",
}  # fmt: skip
WORDS = {
    "recall": "recall@10", "p50": "search, p50", "p95": "search, p95", "rate": "searches by 8 clients",
    "build": "build", "memory": "memory a vector", "add": "add 10", "delete": "delete 10",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench search")
    parser.add_argument("--images", type=Path, help="a folder of class folders")
    parser.add_argument("--model", type=Path, help="the encoder's folder; default: the one that ships, or random")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="10,000 vectors and 500 pictures only")
    parser.add_argument("--one", nargs=2, metavar=("ENGINE", "FOLDER"), help=argparse.SUPPRESS)  # a child's work
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], Path(options.one[1]))))
        return
    if options.images is None:
        parser.error("name a folder of pictures: --images FOLDER")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        real, model = encoded(options.images, options.model, Path(scratch), 50 if options.quick else None)
        for size in [10_000] if options.quick else options.sizes:
            rows += at_size(size, real, model, Path(scratch))
    notes = [f"vectors of {len(real):,} pictures ({model.name}), each size enlarged from them; {QUERIES} queries"]
    report("search", "plain FAISS Flat at the same size", quick(rows) if options.quick else rows, options.json, notes)


def encoded(folder: Path, model: Path | None, scratch: Path, most: int | None) -> tuple[np.ndarray, Path]:
    """(R, D) vectors of the pictures in `folder`, and the folder of the model that made them."""
    from scripts.benchmarks.labelled import encoder_of, read, start_of

    pictures = read(folder, most)
    encoder = encoder_of(start_of(model), scratch / "models", "cpu")
    return pictures.vectors(encoder), scratch / "models" / encoder.info.fingerprint


def at_size(size: int, real: np.ndarray, model: Path, scratch: Path) -> list[Row]:
    """Every engine on the same `size` vectors."""
    print(f"{size:,} vectors", file=sys.stderr)
    folder = scratch / str(size)
    folder.mkdir()
    vectors, queries = enlarge(real, size), enlarge(real, QUERIES, seed=1)
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", queries)
    np.save(folder / "truth.npy", nearest(vectors, queries, K))
    said: dict[str, dict[str, float] | None] = {}
    for name in (*PEERS, "Likeness"):
        command = [sys.executable, "-m", "scripts.benchmarks.search", "--one", name, str(folder)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        said[name] = json.loads(done.stdout)
    del vectors
    said["Likeness over HTTP"] = over_http(folder, model)
    flat = said["FAISS Flat"] or {}
    rows = []
    for figure, unit in FIGURES.items():
        for name, values in said.items():
            metric = f"{size:,}: {WORDS[figure]}, {name}"
            if values is None:
                rows.append(missing(metric, unit, "not installed"))
            elif figure in values:
                base = None if name == "FAISS Flat" else flat.get(figure)
                rows.append(_aimed(row(metric, values[figure], unit, base), figure, name, size))
    half = (said["Likeness over HTTP"] or {})["half"]
    rows.append(aim(row(f"{size:,}: p95 with a filter that keeps half, over HTTP", half, "ms"), at_most=100))
    return rows


def _aimed(each: Row, figure: str, name: str, size: int) -> Row:
    if figure == "recall" and name.startswith("Likeness"):
        return aim(each, at_least=0.99)
    if figure == "p95" and name == "Likeness over HTTP" and size in TARGET_MS:
        return aim(each, at_most=TARGET_MS[size])
    if figure == "add" and name == "Likeness over HTTP":
        return aim(each, at_most=1000)
    if figure == "memory" and size == 1_000_000 and name.startswith("Likeness"):
        return aim(each, at_most=3.5)
    if figure == "build" and name == "Likeness":
        return aim(each, at_most=600)
    return each


def one(name: str, folder: Path) -> dict[str, float] | None:
    """One engine's figures, in this process."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    if name == "Likeness":
        return ours(folder, vectors, queries, truth)
    try:
        return measure_peer(name, vectors, queries, truth)
    except ImportError:
        return None


def ours(folder: Path, vectors: np.ndarray, queries: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Our index in this process. The folder stays for the API, which adds and deletes."""
    from indexer.index import open_index
    from indexer.publish import publish

    ids, place = np.arange(1, len(vectors) + 1), folder / "index"
    started = time.perf_counter()
    publish(place, ids, vectors, say=lambda sentence: print(f"  {sentence}", file=sys.stderr))
    said = {"build": time.perf_counter() - started}
    before = resident()
    index = open_index(place)
    for query in queries[:50]:
        index.search(query, K)
    said["memory"] = (resident() - before) / len(ids) / 1024
    said |= measure(lambda number: index.search(queries[number], K)[0] - 1, truth)
    return said


def over_http(folder: Path, model: Path) -> dict[str, float]:
    """The real API over a catalog of as many images; the pictures themselves are not looked at in a search."""
    from scripts.benchmarks.pictures import make_pictures

    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    home, count = folder / "home", len(vectors)
    half = fill_home(home, folder, model, count)
    asked = np.random.default_rng(2).choice(count, QUERIES, replace=False)
    rows = nearest(vectors, np.ascontiguousarray(vectors[asked]), K + 1)
    truth = np.array([found[found != own][:K] for found, own in zip(rows, asked, strict=True)])
    environment = {**os.environ, "LIKENESS_HOME": str(home), "LIKENESS_PORT": str(PORT + 1)}
    api = [sys.executable, "-m", "uvicorn", "app.api:create_api", "--factory", "--log-level", "warning"]
    commands = [[*api, "--port", str(PORT)], [sys.executable, "-m", "app.cli", "worker", "--lane", "pictures"]]
    processes = [subprocess.Popen(command, env=environment) for command in commands]
    local = threading.local()

    def ask(positive: int, **more: Any) -> list[int]:
        if not hasattr(local, "client"):
            local.client = httpx.Client(base_url=f"http://127.0.0.1:{PORT}/v1", timeout=120)
        body = {"positive": [positive], "limit": K, **more}
        answer = local.client.post("/collections/bench/search", json=body).raise_for_status().json()
        return [hit["image"]["id"] - 1 for hit in answer["hits"]]

    try:
        client = httpx.Client(base_url=f"http://127.0.0.1:{PORT}/v1", timeout=120)
        _wait(lambda: client.get("/ready").status_code == 200)
        for each in asked[:50]:
            ask(int(each) + 1)
        said = measure(lambda number: ask(int(asked[number]) + 1), truth)
        said["memory"] = resident(processes[0].pid) / count / 1024
        kept = {"filter": {"folder": half}}
        ask(1, **kept)  # the catalog is asked once for what a filter keeps
        times = []
        for each in asked[:100]:
            started = time.perf_counter()
            ask(int(each) + 1, **kept)
            times.append((time.perf_counter() - started) * 1000)
        said["half"] = float(np.percentile(times, 95))
        started = time.perf_counter()
        client.post("/collections/bench/images/remove", json={"image_ids": list(range(1, 11))}).raise_for_status()
        assert not set(range(10)) & set(ask(20, limit=50))
        said["delete"] = (time.perf_counter() - started) * 1000
        paths = make_pictures(folder / "new", 20, 128)
        for at in (0, 10):  # the first time the worker also loads its libraries
            files = [("files", (path.name, path.read_bytes())) for path in paths[at : at + 10]]
            started = time.perf_counter()
            client.post("/collections/bench/images", files=files).raise_for_status()
            _wait(lambda there=count + at + 10: _newest_found(client, there))
            said["add"] = (time.perf_counter() - started) * 1000
        return said
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def _newest_found(client: httpx.Client, count: int) -> bool:
    """Whether the newest picture is found by a search with it."""
    newest = client.get("/collections/bench/images", params={"limit": 1}).json()["items"][0]["id"]
    body = {"positive": [newest], "limit": 1}
    return newest >= count and client.post("/collections/bench/search", json=body).status_code == 200


def _wait(there: Any, seconds: float = 300) -> None:
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        try:
            if there():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise TimeoutError("the API did not answer as it should")


def fill_home(home: Path, folder: Path, model: Path, count: int) -> str:
    """A data folder whose catalog names `count` images, and the index made before; returns a folder of half."""
    import shutil

    from sqlalchemy import insert

    from indexer.catalog import create_collection, open_catalog, update_collection
    from indexer.home import Home
    from indexer.schema import contents, images, now

    place = Home(home)
    engine = open_catalog(place)
    collection = create_collection(engine, "bench")
    shutil.copytree(model, place.model(model.name))
    shutil.move(folder / "index", place.index(collection.id, model.name))
    with engine.begin() as connection:
        for at in range(0, count, 20_000):
            shas = [f"{number:064x}" for number in range(at, min(at + 20_000, count))]
            made = {"preview_suffix": "jpg", "width": 640, "height": 480, "bytes": 1, "format": "JPEG", "stored": 0}
            connection.execute(insert(contents), [{"sha256": s, "preview_sha256": s, **made} for s in shas])
            row = {"collection_id": collection.id, "added_at": now()}
            named = [
                {"sha256": s, "name": f"{n}.jpg", "folder": f"half/{n % 2}", **row} for n, s in enumerate(shas, at)
            ]
            connection.execute(insert(images), named)
    update_collection(engine, collection, {"active_model": model.name})
    engine.dispose()
    return "half/1"


if __name__ == "__main__":
    main()
