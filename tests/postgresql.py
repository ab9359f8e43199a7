"""A real PostgreSQL server for the tests, from the operating system's packages, as a user without rights."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import psycopg

DRIVER = "postgresql+psycopg"


def binaries() -> Path | None:
    """Where the newest installed server's programs are; Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    here = shutil.which("postgres")
    return Path(here).parent if here else None


class Server:
    """A server of its own in a temporary folder, reached by a socket in it. Nothing outlives `stop`."""

    template = "template1"

    def __init__(self, programs: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path may have 107 bytes
        user = None
        if os.geteuid() == 0:  # PostgreSQL refuses to be root
            user = next(name for name in ("postgres", "nobody") if _exists(name))
            shutil.chown(self.folder, user)
        options = {"user": user, "cwd": self.folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        data = self.folder / "data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "likeness", "--auth=trust", "-N", "--encoding=UTF8", "--locale=C"],
            check=True,
            **options,
        )
        self.process = subprocess.Popen(
            [
                programs / "postgres",
                "-D",
                data,
                "-k",
                self.folder,
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "full_page_writes=off",
            ],
            **options,
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self._do("SELECT 1")
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def new_database(self, template: str | None = None) -> str:
        """Make a copy of `template`, or of the server's own; returns its URL."""
        name = f"t{uuid.uuid4().hex}"
        self._do(f"CREATE DATABASE {name} TEMPLATE {template or self.template}")
        return f"{DRIVER}://likeness@/{name}?host={self.folder}"

    def _do(self, statement: str) -> None:
        with psycopg.connect(f"host={self.folder} user=likeness dbname=postgres", autocommit=True) as connection:
            connection.execute(statement)

    def stop(self) -> None:
        self.process.send_signal(3)  # SIGQUIT: at once, nothing is kept
        self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
