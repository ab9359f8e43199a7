"""Overload: 64 clients with pictures of 20 MB against one server, as promise 26 has it.

The API runs in a process of its own over the home of the first version. Every client sends its picture, half of them as
a query (which is decoded at once) and half for import (which is written to disk), and comes back as told when it is
refused. Meanwhile somebody asks for health ten times a second, and the memory of the process is read.
"""

from __future__ import annotations

import argparse
import http.client
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from scripts.benchmarks.table import aim, quick, report, row
from tests.abuse.server import Server
from tests.pictures import encoded

CLIENTS, MEGABYTES, ROUNDS = 64, 20, 3
PATIENCE = 120  # seconds a client waits for one answer
ROUTES = {"query": ("/v1/collections/photos/queries", "file"), "import": ("/v1/collections/photos/images", "files")}


@dataclass
class Storm:
    """What the clients and the one who asked for health have seen."""

    answers: Counter[int] = field(default_factory=Counter)  # status → how often; 0: no answer
    unexplained: int = 0  # refusals that did not say when to come back
    served: list[float] = field(default_factory=list)  # seconds of each answer that was a success
    health: list[float] = field(default_factory=list)  # seconds of each answer
    silent: int = 0  # times that health was not answered
    grown: int = 0  # bytes by which the peak of the server's memory rose
    seconds: float = 0.0


def noise(megabytes: int) -> bytes:
    """A sound PNG of so many MB: noise, which cannot be made smaller."""
    side = int((megabytes * 1e6 / 3) ** 0.5)
    return encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)), "PNG")


def storm(server: Server, clients: int, picture: bytes, rounds: int = 1, stubborn: bool = False) -> Storm:
    """All clients at once, so many pictures each; a `stubborn` one comes back until it is served."""
    seen, lock = Storm(), threading.Lock()
    bodies = {kind: _form(name, picture) for kind, (_, name) in ROUTES.items()}
    before, started = server.peak_memory(), time.monotonic()

    def client(number: int) -> None:
        kind = list(ROUTES)[number % len(ROUTES)]
        for _ in range(rounds):
            while True:
                since = time.monotonic()
                status, retry = _send(server.port, ROUTES[kind][0], bodies[kind])
                with lock:
                    seen.answers[status] += 1
                    seen.unexplained += status in (429, 503) and not retry
                    if 200 <= status < 300:
                        seen.served.append(time.monotonic() - since)
                if not (stubborn and status in (429, 503)):
                    break
                time.sleep(float(retry or 1))

    with _asking_for_health(server.port, seen), ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    seen.grown, seen.seconds = server.peak_memory() - before, time.monotonic() - started
    return seen


@contextmanager
def _asking_for_health(port: int, seen: Storm) -> Iterator[None]:
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.1):
            since = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request("GET", "/v1/health")
                answered = connection.getresponse().status == 200
            except OSError:
                answered = False
            finally:
                connection.close()
            seen.health.append(time.monotonic() - since)
            seen.silent += not answered

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()


def _form(name: str, picture: bytes) -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="noise.png"\r\n\r\n'.encode()
    return head + picture + b"\r\n--x--\r\n"


def _send(port: int, path: str, body: bytes) -> tuple[int, str | None]:
    """(status, what Retry-After says); status 0 when the connection broke without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", path, body, {"Content-Type": "multipart/form-data; boundary=x"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("Retry-After")
    except OSError:
        return 0, None
    finally:
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench load", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--quick", action="store_true", help="8 clients with 2 MB, once")
    options = parser.parse_args()
    clients, megabytes, rounds = (8, 2, 1) if options.quick else (CLIENTS, MEGABYTES, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            picture = noise(megabytes)
            storm(server, 1, picture)  # what the first picture loads is not the load's
            seen = storm(server, clients, picture, rounds, stubborn=True)
        finally:
            server.stop()
    refused = seen.answers[429] + seen.answers[503]
    other = sum(seen.answers.values()) - len(seen.served) - refused
    rows = [
        aim(row("pictures served", len(seen.served), "", clients * rounds), ratio_at_least=1),
        row("refused for now, and served later", refused, ""),
        aim(row("refused without saying when to come back", seen.unexplained, ""), at_most=0),
        aim(row("other answers, or none", other, ""), at_most=0),
        row("pictures served a second", len(seen.served) / seen.seconds, "1/s"),
        row("picture sent to answer, p50", float(np.median(seen.served)), "s"),
        row("picture sent to answer, slowest", max(seen.served), "s"),
        row("health, p50", 1000 * float(np.median(seen.health)), "ms"),
        aim(row(f"health, slowest of {len(seen.health)}", 1000 * max(seen.health), "ms"), at_most=1000),
        aim(row("health not answered", seen.silent, ""), at_most=0),
        aim(row("memory of the process, above one client's", seen.grown / 1e6, "MB"), at_most=400),
    ]
    said = f"{clients} clients, {rounds} pictures of {megabytes} MB each; half are queries, half are imported"
    report("load", "what was sent", quick(rows) if options.quick else rows, options.json, [said])


if __name__ == "__main__":
    main()
