"""Search over HTTP by the very processes that `likeness serve` starts, over a catalog of as many images as vectors."""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from scripts.benchmarks.bigger import K, Task
from scripts.benchmarks.calls import say
from scripts.benchmarks.pictures import make_pictures
from scripts.benchmarks.searched import measure, resident

PAGE, API = 8764, 8765  # ports
PAGES = 2  # that are open and rerun without a pause
FILTERED = 100  # searches with each filter
HALVES: dict[str, dict[str, Any]] = {  # kinds of filter, each of which keeps another half of what `fill_home` makes
    "folder": {"folder": "half/1"},
    "camera": {"camera": "Canon"},
    "text": {"text": "boat"},
    "class": {"class": "ship"},
    "labelled": {"labelled": True},
}


def over_http(task: Task, model: Path, scratch: Path) -> dict[str, float]:
    """The index that `ours` left in the task's folder, searched by a picture of the collection, ten hits in full."""
    home, count = scratch / "home", len(task.opened())
    fill_home(home, task.folder / "index", model, count)
    asked, truth = task.asked()
    local = threading.local()

    def ask(row: int, **more: Any) -> list[int]:
        if not hasattr(local, "client"):
            local.client = httpx.Client(base_url=f"http://127.0.0.1:{API}/v1", timeout=120, trust_env=False)
        body = {"positive": [int(row) + 1], "limit": K, **more}
        answer = local.client.post("/collections/bench/search", json=body).raise_for_status().json()
        return [hit["image"]["id"] - 1 for hit in answer["hits"]]

    def p95(**more: Any) -> float:
        return float(np.percentile([_timed(lambda row=row: ask(row, **more)) for row in asked[:FILTERED]], 95))

    with serving(home) as api, httpx.Client(base_url=f"http://127.0.0.1:{API}/v1", timeout=120) as client:
        for row in asked[:50]:
            ask(row)
        said = measure(lambda number: ask(asked[number]), truth)
        with pages_rerunning():
            said["rerunning"] = measure(lambda number: ask(asked[number]), truth)["p95"]
        first: list[float] = []

        def filtered(kinds: Sequence[str]) -> None:
            for kind in kinds:
                first.append(_timed(lambda kind=kind: ask(asked[0], filter=HALVES[kind])))
                said[kind] = p95(filter=HALVES[kind])
                say(f"  {kind}: {first[-1]:.0f} ms, and asked again p95 {said[kind]:.1f} ms")

        filtered(("folder", "camera", "text"))
        said["delete"] = _timed(lambda: _remove(client, range(1, 11)), lambda: ask(20))
        assert not set(range(10)) & set(ask(20, limit=50))
        paths = make_pictures(scratch / "new", 30, 128)
        for at in (0, 10):  # the first time the worker also loads its libraries
            files = [("files", (path.name, path.read_bytes())) for path in paths[at : at + 10]]
            said["add"] = _timed(lambda files=files: _add(client, files))
        label_half(home, count)
        ask(asked[0])  # any search reads labels that came
        filtered(("class", "labelled"))
        ready = {"filter": HALVES["labelled"]}
        said["delete_labelled"] = _timed(lambda: _remove(client, range(11, 21)), lambda: ask(20, **ready))
        files = [("files", (path.name, path.read_bytes())) for path in paths[20:]]
        said["add_labelled"] = _timed(lambda: _add(client, files), lambda: ask(20, **ready))
        said["first"] = max(first)
        said["whole"] = resident(api) / count / 1024
        return said


def _timed(*works: Callable[[], Any]) -> float:
    """What they take one after the other, ms."""
    started = time.perf_counter()
    for work in works:
        work()
    return (time.perf_counter() - started) * 1000


@contextmanager
def serving(home: Path) -> Iterator[int]:
    """`likeness serve`; the process id of its API. It ends with all its processes however this ends."""
    command = [sys.executable, "-m", "app.cli", "serve", "--home", str(home), "--port", str(PAGE)]
    served = subprocess.Popen([*command, "--api-port", str(API)], stdout=subprocess.DEVNULL)
    try:
        _wait(lambda: httpx.get(f"http://127.0.0.1:{API}/v1/ready", trust_env=False).status_code == 200)
        children = Path(f"/proc/{served.pid}/task/{served.pid}/children").read_text().split()
        yield next(int(pid) for pid in children if b"app.api" in Path(f"/proc/{pid}/cmdline").read_bytes())
    finally:
        served.terminate()
        try:
            served.wait(30)
        except subprocess.TimeoutExpired:
            served.kill()


def end_in_order() -> None:
    """On SIGTERM as on Ctrl-C, what was started is ended first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@contextmanager
def pages_rerunning() -> Iterator[None]:
    """Two sessions of the page that run its script again as soon as it has run, each as a browser would ask for it.

    In a process of its own, as browsers are: in ours, the client that is timed would wait for Python's lock.
    """
    _wait(lambda: httpx.get(f"http://127.0.0.1:{PAGE}/_stcore/health", trust_env=False).status_code == 200)
    context = multiprocessing.get_context("spawn")
    stopping, runs = context.Event(), context.Array("i", PAGES)
    browsers = context.Process(target=_keep_running, args=(stopping, runs), daemon=True)
    browsers.start()
    try:
        _wait(lambda: min(runs) > 0)
        before, started = sum(runs), time.monotonic()
        yield
        say(f"  the pages ran {(sum(runs) - before) / (time.monotonic() - started):.1f} times a second meanwhile")
        if sum(runs) <= before:
            raise RuntimeError("the pages did not run while searches were measured")
    finally:
        stopping.set()
        browsers.join(20)


def _keep_running(stopping: Any, runs: Any) -> None:
    async def all_of_them() -> None:
        await asyncio.gather(*(_rerun(stopping, runs, which) for which in range(PAGES)))

    asyncio.run(all_of_them())


async def _rerun(stopping: Any, runs: Any, which: int) -> None:
    import websockets
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    address = f"ws://127.0.0.1:{PAGE}/_stcore/stream"
    async with websockets.connect(address, subprotocols=["streamlit"], max_size=None, proxy=None) as socket:  # type: ignore[list-item]
        while not stopping.is_set():
            wanted = BackMsg()
            wanted.rerun_script.query_string = ""
            await socket.send(wanted.SerializeToString())
            while True:
                told = ForwardMsg.FromString(await asyncio.wait_for(socket.recv(), 60))  # type: ignore[arg-type]
                if told.WhichOneof("type") == "script_finished":
                    break
            runs[which] += 1


def _add(client: httpx.Client, files: list[tuple[str, tuple[str, bytes]]]) -> None:
    """Upload pictures and wait until a search with the last of them finds its neighbours."""
    job = client.post("/collections/bench/images", files=files).raise_for_status().json()["id"]
    _wait(lambda: client.get(f"/jobs/{job}").json()["state"] == "succeeded")
    newest = client.get(f"/jobs/{job}").json()["result"]["added"][-1]["id"]
    _wait(lambda: client.post("/collections/bench/search", json={"positive": [newest], "limit": 1}).is_success)


def _remove(client: httpx.Client, ids: range) -> None:
    client.post("/collections/bench/images/remove", json={"image_ids": list(ids)}).raise_for_status()


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


def fill_home(home: Path, index: Path, model: Path, count: int) -> None:
    """A data folder whose catalog names `count` images, with a copy of the index. `HALVES` keep half of them each."""
    from sqlalchemy import insert

    from indexer.catalog import create_collection, open_catalog, update_collection
    from indexer.home import Home
    from indexer.schema import contents, images, now

    place = Home(home)
    engine = open_catalog(place)
    collection = create_collection(engine, "bench")
    shutil.copytree(model, place.model(model.name))
    shutil.copytree(index, place.index(collection.id, model.name))  # a copy: images are added to it
    with engine.begin() as connection:
        for at in range(0, count, 20_000):
            some = {number: f"{number:064x}" for number in range(at, min(at + 20_000, count))}
            made = {"preview_suffix": "jpg", "width": 640, "height": 480, "bytes": 1, "format": "JPEG", "stored": 0}
            rows = [
                {"sha256": s, "preview_sha256": s, "camera": ("Canon", "Nikon")[n // 2 % 2], "taken_at": _minute(n)}
                for n, s in some.items()
            ]
            connection.execute(insert(contents), [row | made for row in rows])
            about = {"collection_id": collection.id, "added_at": now()}
            named = [
                {"sha256": s, "name": f"{('boat', 'tree')[n // 4 % 2]} {n}.jpg", "folder": f"half/{n % 2}"}
                for n, s in some.items()
            ]
            connection.execute(insert(images), [row | about for row in named])
    update_collection(engine, collection, {"active_model": model.name})
    engine.dispose()


def label_half(home: Path, count: int) -> None:
    """Every second eight are said to be ships, by this process and not the API's.

    One class alone: no probe is fitted to half a million labels, which is no part of a search.
    """
    from indexer.catalog import collection_named, open_catalog
    from indexer.classes import ensure_class
    from indexer.home import Home
    from indexer.journal import record

    engine = open_catalog(Home(home))
    collection = collection_named(engine, "bench")
    with engine.begin() as connection:
        ship = ensure_class(connection, collection, "ship")
        wanted = {(n + 1, ship): "yes" for n in range(count) if n // 8 % 2}
        record(connection, collection, "label", wanted, {}, "bulk")
    engine.dispose()


def _minute(number: int) -> str:
    """A minute of its own for each picture."""
    return (datetime(2020, 1, 1) + timedelta(minutes=number)).isoformat()
