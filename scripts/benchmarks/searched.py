"""The engines beside us in `scripts/bench search`, and how each is measured."""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmarks.bigger import K, Task

WANTED, CLIENTS = 0.99, 8
SECONDS, PATIENCE = 3, 15  # that the eight clients search; and that one at a time searches at most
LAST = 60  # seconds after which fewer than fifty queries have to do


def measure(find: Callable[[int], Any], truth: np.ndarray) -> dict[str, float]:
    """Recall, times of one at a time (ms) and searches a second of eight clients; `find` answers query number i.

    A slow engine answers fewer of the queries, but fifty at least, unless these take more than a minute.
    """
    recalls, times = [], []
    for number, expected in enumerate(truth):
        started = time.perf_counter()
        found = find(number)
        times.append((time.perf_counter() - started) * 1000)
        recalls.append(np.isin(expected, found).mean())
        if sum(times) > (PATIENCE if number >= 50 else LAST) * 1000:
            break
    started = time.perf_counter()

    def client(first: int) -> int:
        answered = 0
        while time.perf_counter() - started < SECONDS:
            find((first + CLIENTS * answered) % len(times))
            answered += 1
        return answered

    with ThreadPoolExecutor(CLIENTS) as pool:
        answered = sum(pool.map(client, range(CLIENTS)))
        rate = answered / (time.perf_counter() - started)
    p50, p95 = np.percentile(times, [50, 95])
    return {"recall": float(np.mean(recalls)), "p50": float(p50), "p95": float(p95), "rate": rate}


class Flat:
    """Plain FAISS: every float32 vector."""

    name, efforts = "FAISS Flat", (0,)

    def __init__(self, dim: int) -> None:
        import faiss

        self.faiss = faiss
        self.index = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self.index.add_with_ids(vectors, ids)

    def delete(self, ids: np.ndarray) -> None:
        self.index.remove_ids(ids)

    def find(self, query: np.ndarray, effort: int) -> np.ndarray:
        self.faiss.omp_set_num_threads(1)
        return self.index.search(query[None], K)[1][0]


class Hnswlib:
    """hnswlib at its usual M 16 and construction effort 200; deleting only marks."""

    name, efforts = "hnswlib", (16, 32, 64, 128, 256, 512)

    def __init__(self, dim: int) -> None:
        self.index = importlib.import_module("hnswlib").Index("ip", dim)
        self.index.init_index(100, M=16, ef_construction=200)

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self.index.resize_index(self.index.get_current_count() + len(ids))
        self.index.add_items(vectors, ids)

    def delete(self, ids: np.ndarray) -> None:
        for each in ids:
            self.index.mark_deleted(each)

    def find(self, query: np.ndarray, effort: int) -> np.ndarray:
        if effort != getattr(self, "effort", None):
            self.index.set_ef(effort)
            self.effort = effort
        return self.index.knn_query(query, K, num_threads=1)[0][0]


class Usearch:
    """usearch with half-precision vectors and its usual connectivity."""

    name, efforts = "usearch", (16, 32, 64, 128, 256, 512)

    def __init__(self, dim: int) -> None:
        self.index = importlib.import_module("usearch.index").Index(ndim=dim, metric="ip", dtype="f16")

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self.index.add(ids, vectors)

    def delete(self, ids: np.ndarray) -> None:
        self.index.remove(ids)

    def find(self, query: np.ndarray, effort: int) -> np.ndarray:
        if effort != getattr(self, "effort", None):
            self.index.expansion_search = effort
            self.effort = effort
        return self.index.search(query, K, threads=1).keys


class MilvusLite:
    """Milvus Lite through pymilvus, with the index it chooses itself."""

    name, efforts = "Milvus Lite", (0,)

    def __init__(self, dim: int) -> None:
        importlib.import_module("milvus_lite")
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name) / "milvus.db"
        self.client = importlib.import_module("pymilvus").MilvusClient(str(file))
        self.client.create_collection("bench", dimension=dim, metric_type="IP")

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        for at in range(0, len(ids), 1000):
            part = zip(ids[at : at + 1000].tolist(), vectors[at : at + 1000].tolist(), strict=True)
            self.client.insert("bench", [{"id": i, "vector": v} for i, v in part])

    def delete(self, ids: np.ndarray) -> None:
        self.client.delete("bench", ids=ids.tolist())

    def find(self, query: np.ndarray, effort: int) -> np.ndarray:
        (hits,) = self.client.search("bench", data=[query.tolist()], limit=K)
        return np.array([hit["id"] for hit in hits])


PEERS: dict[str, Any] = {each.name: each for each in (Flat, Hnswlib, Usearch, MilvusLite)}


def resident(pid: int | str = "self", what: str = "VmRSS") -> float:
    """The memory a process holds, bytes; `what` RssAnon: without files it has mapped."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return float(line.split()[1]) * 1024
    return 0.0


def measure_peer(name: str, task: Task, limit: float = np.inf) -> dict[str, float]:
    """Build, search at the least effort that reaches the recall, add ten, delete ten. ImportError when it is absent.

    A build that takes longer than `limit` seconds is given up: then `unfinished` comes back, how many vectors were
    in by then, with its seconds.
    """
    (count, dim), queries, truth = task.opened().shape, task.queries(), task.truth()
    peer, before, build = PEERS[name](dim), resident(what="RssAnon"), 0.0
    for at, part in task.blocks():
        if build > limit:
            return {"unfinished": at, "build": build}
        started = time.perf_counter()
        peer.add(np.arange(at, at + len(part)), part)
        build += time.perf_counter() - started
    said = {"build": build, "memory": (resident(what="RssAnon") - before) / count / 1024}
    for effort in peer.efforts:
        if effort == peer.efforts[-1]:
            break  # there is no greater one, or it chooses itself
        recall = np.mean([np.isin(t, peer.find(q, effort)).mean() for q, t in zip(queries, truth, strict=True)])
        if recall >= WANTED:
            break
    said |= measure(lambda number: peer.find(queries[number], effort), truth)
    for what, work in (
        ("add", lambda: peer.add(count + np.arange(10), queries[:10])),
        ("delete", lambda: peer.delete(np.arange(10))),
    ):
        started = time.perf_counter()
        work()
        said[what] = (time.perf_counter() - started) * 1000
    return said
