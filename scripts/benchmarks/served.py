"""`likeness serve` for what looks at the page, and the browser that looks."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """`likeness serve` over a home, on free ports; its address once it answers."""
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(str(probe.getsockname()[1]))
    command = [
        sys.executable,
        "-m",
        "app.cli",
        "serve",
        "--home",
        str(home),
        "--port",
        ports[0],
        "--api-port",
        ports[1],
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{ports[0]}"
    try:
        for _ in range(1200):
            try:
                if httpx.get(f"{address}/v1/ready", trust_env=False, timeout=5).is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)
