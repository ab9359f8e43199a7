"""What a person waits for after a click: a server over a large collection, asked over HTTP as the page asks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from indexer.catalog import create_collection, open_catalog, update_collection
from indexer.home import Home
from indexer.labels import label_each
from indexer.publish import publish
from indexer.schema import contents, images, now

LABELS = 100
NEAR, PART = 10, 10_000  # neighbours; vectors made at once
MODEL = "0123456789abcdef"  # nothing encodes here, so there need be no model


@dataclass(frozen=True)
class Clicks:
    """Milliseconds, medians but for `slowest_ms`; and what was labelled, for others to be timed on."""

    click_ms: float
    label_ms: float
    slowest_ms: float
    settled_ms: float
    labelled: np.ndarray  # (n, D)
    names: list[str]  # (n,)


def enlarged(real: np.ndarray, classes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """`size` unit vectors like the `real` ones (R, D), and their classes.

    Each lies between a picture's and one of its ten nearest of the same class, with noise half their distance long.
    """
    cosines = np.where(classes[:, np.newaxis] == classes, real @ real.T, -2)  # (R, R)
    near = np.argsort(-cosines, axis=1)[:, 1 : NEAR + 1]
    rng = np.random.default_rng(0)
    vectors, first = np.empty((size, real.shape[1]), np.float32), rng.integers(len(real), size=size)
    for at in range(0, size, PART):
        here = first[at : at + PART]
        a, b = real[here], real[near[here, rng.integers(NEAR, size=len(here))]]
        noise = rng.standard_normal(a.shape, np.float32)
        noise *= 0.5 * np.linalg.norm(a - b, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
        made = a + rng.random((len(here), 1), np.float32) * (b - a) + noise
        vectors[at : at + PART] = made / np.linalg.norm(made, axis=1, keepdims=True)
    return vectors, classes[first]


def clicks(vectors: np.ndarray, truth: np.ndarray, count: int) -> Clicks:
    """Label a picture and ask for the first page of predictions, `count` times, after `LABELS` labels.

    Unit `vectors` (N, D) and their classes `truth` (N,): what lies in the index, and what a person would answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        return clicked_in(Path(folder), fill(Home(Path(folder)), vectors, truth), vectors, truth, count)


def clicked_in(folder: Path, ids: np.ndarray, vectors: np.ndarray, truth: np.ndarray, count: int) -> Clicks:
    """The same in a data folder that is filled."""
    size = len(vectors)
    places = dict(zip(ids.tolist(), range(size), strict=True))
    with _Server(folder) as server:
        here = f"{server.url}/v1/collections/photos"
        client = httpx.Client(timeout=600)
        client.get(f"{here}/probe").raise_for_status()  # warm, and everything chosen once
        labels, wholes = [], []
        for image_id in ids[LABELS : LABELS + count].tolist():
            name = str(truth[places[image_id]])
            began = time.perf_counter()
            client.post(f"{here}/labels", json={"image_ids": [image_id], "class": name}).raise_for_status()
            labels.append(time.perf_counter() - began)
            found = client.get(f"{here}/predictions", params={"limit": 60}).raise_for_status().json()
            wholes.append(time.perf_counter() - began)
            assert (found["total"], len(found["items"])) == (size, 60)
            time.sleep(0.5)  # a person's pace; cross-validation works meanwhile
        began = time.perf_counter()
        while not client.get(f"{here}/probe", params={"wait": False}).json()["settled"]:
            time.sleep(0.05)
        settled = time.perf_counter() - began
    known = np.arange(LABELS + count)
    return Clicks(
        1000 * float(np.median(wholes)), 1000 * float(np.median(labels)), 1000 * max(wholes), 1000 * settled,
        vectors[known], truth[known].tolist(),
    )  # fmt: skip


def fill(home: Home, vectors: np.ndarray, truth: np.ndarray, labels: int = LABELS) -> np.ndarray:
    """A collection `photos` of pictures without files, indexed, the first `labels` labelled; the ids in order."""
    engine = open_catalog(home)
    collection = create_collection(engine, "photos")
    size = len(vectors)
    hashes = [f"{number:064x}" for number in range(size)]
    like = {"preview_suffix": "jpg", "width": 320, "height": 320, "bytes": 1, "format": "JPEG", "stored": 0}
    with engine.begin() as connection:
        for at in range(0, size, 10_000):
            part = hashes[at : at + 10_000]
            connection.execute(contents.insert(), [{"sha256": h, "preview_sha256": h, **like} for h in part])
            several = [
                {"collection_id": collection.id, "sha256": h, "name": h, "folder": "f", "added_at": now()} for h in part
            ]
            connection.execute(images.insert(), several)
    ids = np.arange(1, size + 1)
    publish(home.index(collection.id, MODEL), ids, vectors)
    update_collection(engine, collection, {"active_model": MODEL})
    label_each(engine, collection, {int(i): str(truth[i - 1]) for i in ids[:labels]}, "hand")
    engine.dispose()
    return ids


class _Server:
    """The API in a process of its own, on a free port, while the block lasts."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        program = f"import uvicorn; uvicorn.run('app.api:create_api', factory=True, port={port}, log_level='error')"
        environment = {**os.environ, "LIKENESS_HOME": str(home)}
        self.process = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=sys.stderr)

    def __enter__(self) -> _Server:
        for _ in range(600):
            try:
                httpx.get(f"{self.url}/v1/health").raise_for_status()
                return self
            except httpx.HTTPError:
                time.sleep(0.1)
        raise TimeoutError("the server did not start within a minute")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)
