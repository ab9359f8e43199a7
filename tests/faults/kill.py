"""The kill harness: children that say what they have finished, and are then killed without a warning."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_MARK = "LIKENESS_TEST_CHILD"


class Child:
    """`python -m tests.faults.child TASK ARGUMENTS`, a process that prints a line for everything it has finished."""

    kills = 0  # of all children so far, by us or by themselves

    def __init__(self, task: str, *arguments: object) -> None:
        self.mark = uuid.uuid4().hex
        command = [sys.executable, "-m", "tests.faults.child", task, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, _MARK: self.mark}, **pipes)
        self.said: list[str] = []

    def wait_for_lines(self, count: int) -> list[str]:
        """What it said, once that is `count` lines; it must not end before."""
        while len(self.said) < count:
            line = self.process.stdout.readline()
            assert line, f"the child ended with {self.process.wait()} after {self.said}"
            self.said.append(line.rstrip("\n"))
        return self.said

    def go(self) -> None:
        """Let a child that waits for its start begin."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> list[str]:
        """SIGKILL; returns all it has said until then."""
        self.process.send_signal(signal.SIGKILL)
        return self.end()

    def end(self) -> list[str]:
        """Wait for its end; returns all it has said."""
        rest, _ = self.process.communicate(timeout=120)
        Child.kills += self.process.returncode == -signal.SIGKILL
        self.said += rest.splitlines()
        return self.said

    def left_behind(self) -> list[int]:
        """The processes it started that are still there."""
        mark = f"{_MARK}={self.mark}".encode()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mark in _environment(pid)]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has just ended
        return []
