"""A zip of any size through the real API: broken off, gone on with, imported, in bounded memory (promises 25 and 27).

`--deep 172`: beyond 4 GiB; `-s` prints the figures of docs/benchmarks.md. Its files are removed afterwards.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abuse.server import PATIENCE, ROOT, Server, head
from tests.zips import in_64_bits, photographs
from ui.client import ApiError, Likeness

EACH = 24 << 20  # bytes of the zip, times --deep
PHOTOGRAPH = 8 << 20  # bytes
PIECE = 1 << 20


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for path in (tmp_path / "large.zip", tmp_path / "home"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@pytest.fixture
def server(place: Path) -> Iterator[Server]:
    started = Server(place)
    yield started
    started.stop()


@pytest.fixture
def worker(server: Server) -> Iterator[subprocess.Popen]:
    environment = {**os.environ, "LIKENESS_HOME": str(server.home)}
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "worker", "--lane", "pictures"], cwd=ROOT, env=environment
    )
    yield process
    process.terminate()
    process.wait(PATIENCE)


def write_large(path: Path, total: int) -> int:
    """A zip of photographs beside members that must be refused; how many photographs."""
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as inner:
        inner.writestr("x.jpg", b"x")
    count = 0
    with in_64_bits(), zipfile.ZipFile(path, "w") as archive:
        for count, data in enumerate(photographs(total, PHOTOGRAPH), 1):
            archive.writestr(f"{count % 7}/{count:05}.jpg", data)
        archive.writestr("../../escaped.jpg", data + b" ")
        archive.writestr("nested.zip", nested.getvalue())
        archive.writestr("bomb.jpg", b"\0" * (64 << 20), zipfile.ZIP_DEFLATED)
    return count + 1


def send_half(server: Server, upload: str, path: Path) -> None:
    """Half of a file on a connection that breaks then."""
    size = path.stat().st_size
    request = f"/v1/uploads/{upload}/file?name={path.name}&size={size}"
    with server.connect() as connection, open(path, "rb") as file:
        connection.sendall(head("PUT", request, f"Content-Length: {size}"))
        for _ in range(size // 2 // PIECE):
            connection.sendall(file.read(PIECE))


def patiently_sent(likeness: Likeness, upload: str, path: Path) -> dict:
    """Send, once the server has heard that the connection before is gone."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return likeness.send(upload, [path])
        except ApiError as error:
            if error.status != 409 or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def resident(process: int, which: str = "VmRSS") -> int:
    """MB that a process has resident now, or had at most (`VmHWM`)."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition(f"{which}:")[2].split()[0]) // 1024


def settled(process: int) -> int:
    """What it has resident once it has imported all that it imports by itself; from now on its peak counts anew."""
    before = -1
    while before != (now := resident(process)):
        before = now
        time.sleep(2)
    Path(f"/proc/{process}/clear_refs").write_text("5")
    return now


@pytest.mark.promise(25, 27)
def test_a_zip_of_any_size_comes_in_through_the_api_goes_on_where_it_broke_off_and_takes_bounded_memory(
    request, place, server, worker
):
    deep = request.config.getoption("--deep")
    path = place / "large.zip"
    photographs_in_it = write_large(path, EACH * deep)
    size = path.stat().st_size
    with Likeness(server.url, timeout=PATIENCE) as likeness:
        likeness.create_collection("large")
        upload = likeness.begin_upload("large")
        api = server.process.pid
        before = settled(api)
        began = time.monotonic()

        send_half(server, upload, path)
        (arrived,) = server.client.get(f"/v1/uploads/{upload}").json()["files"]
        job = patiently_sent(likeness, upload, path)
        sent = time.monotonic() - began
        at_most = resident(api, "VmHWM")
        done = likeness.wait(job, timeout=3600)
        again = likeness.begin_upload("large")
        known = likeness.wait(likeness.send(again, [path]), timeout=3600)

    print(json.dumps({
        "zip_bytes": size, "photographs": photographs_in_it, "arrived_at_the_break": arrived["received"],
        "api_before_mb": before, "api_peak_mb": at_most, "worker_peak_mb": resident(worker.pid, "VmHWM"),
        "sent_s": round(sent, 1), "import_s": round(done["result"]["seconds"], 1),
    }))  # fmt: skip
    assert 0 < arrived["received"] <= size // 2
    assert not arrived["complete"]
    assert at_most - before < 24  # less than the smallest of these zips
    assert resident(worker.pid, "VmHWM") < 1500
    assert done["result"]["added_total"] == photographs_in_it
    assert (known["result"]["added_total"], known["result"]["known"]) == (0, photographs_in_it)
    reasons = {one["path"].rpartition("!")[2]: one["said"]["name"] for one in done["result"]["refused"]}
    assert reasons == {"nested.zip": "zip_in_zip", "bomb.jpg": "zip_bomb"}
    deadline = time.monotonic() + PATIENCE  # a job is done a moment before its files are gone
    while server.leftovers() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server.leftovers() == []
    assert [found for found in place.rglob("*.jpg") if server.home not in found.parents] == []
