"""The API as it runs in earnest, in a process of its own, over a copy of the home of the first version."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent.parent
HOME = ROOT / "tests" / "homes" / "0.1.0"  # eight pictures, indexed; two labels of each of two classes
PATIENCE = 60  # seconds to start or to answer, on a busy machine


class Server:
    """`python -m app.api`; its settings as keywords: `Server(folder, max_upload_mb=1)`. `inside`: what to run it by."""

    def __init__(self, folder: Path, home: Path = HOME, inside: Sequence[str] = (), **settings: object) -> None:
        self.home, self.temporary = folder / "home", folder / "tmp"
        if not self.home.exists():
            shutil.copytree(home, self.home)
        self.temporary.mkdir(exist_ok=True)
        self.port = free_port()
        given = {"home": self.home, "api_port": self.port, "threads": 1, **settings}
        environment = {f"LIKENESS_{name.upper()}": str(value) for name, value in given.items()}
        self.log = folder / "log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*inside, sys.executable, "-m", "app.api"],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(self.temporary), **environment},
                stdout=log,
                stderr=log,
            )
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                assert self.client.get("/v1/health").status_code == 200
                return
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def stop(self) -> int:
        """SIGTERM; returns how it ended."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def say(self, data: bytes, patience: float = PATIENCE) -> bytes:
        """Send bytes as they are on a connection of their own; returns the answer, or what came of it."""
        with self.connect() as connection:
            connection.settimeout(patience)
            heard = b""
            try:
                connection.sendall(data)
                while not _whole(heard) and (part := connection.recv(1 << 16)):
                    heard += part
            except (ConnectionError, TimeoutError):
                pass
            return heard

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def held(self) -> int:
        """Connections and temporary files that are open; the catalog's own files are not among them."""
        count = 0
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except FileNotFoundError:
                continue
            count += target.startswith(("socket:", str(self.temporary), str(self.home / "uploads")))
        return count

    def peak_memory(self) -> int:
        """Bytes resident at most since the process began."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def leftovers(self) -> list[str]:
        """Files in the temporary folder and among the waiting uploads."""
        return [str(path) for folder in (self.temporary, self.home / "uploads") for path in folder.rglob("*")]


def head(method: str, path: str, *lines: str) -> bytes:
    """The head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def _whole(heard: bytes) -> bool:
    start, _, body = heard.partition(b"\r\n\r\n")
    length = start.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
    return length.isdigit() and len(body) >= int(length)


def status_of(heard: bytes) -> int:
    return int(heard.split(b" ", 2)[1]) if heard.startswith(b"HTTP/1.1 ") else 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
