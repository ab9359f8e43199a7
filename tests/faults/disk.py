"""A small disk that is really full: a tmpfs in a mount namespace of its own, which needs no rights."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.faults.kill import ROOT


class Disk:
    """`megabytes` mounted at `folder` for whoever is run by `inside`; `seen` is the same folder for everybody else."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        mount = 'mount -t tmpfs -o "size=$1m" none "$0" && echo mounted && exec cat'
        command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(folder), str(megabytes)]
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except FileNotFoundError:
            pytest.skip("There is no unshare here: it comes with util-linux.")
        if self.process.stdout.readline() != "mounted\n":
            pytest.skip("This system lets nobody mount a disk of his own.")
        pid = self.process.pid
        self.inside = ["nsenter", f"--target={pid}", "--user", "--mount", "--preserve-credentials"]
        self.inside += ["env", f"--chdir={ROOT}"]  # who enters a namespace is at its root
        self.seen = Path(f"/proc/{pid}/root{folder}")

    def fill(self, but: int = 0) -> None:
        """Leave `but` bytes of it."""
        with open(self.seen / "filling", "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while file.write(bytes(4096)) == 4096:
                    pass
            file.truncate(file.tell() // 4096 * 4096 - but)

    def empty(self) -> None:
        os.unlink(self.seen / "filling")

    def end(self) -> None:
        self.process.communicate()
