"""A child that is killed: forked, so that it starts in a millisecond, and heard until its end."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import forkserver

Say = Callable[[object], None]


@dataclass
class Tally:
    """What was tried, and what went wrong: each failure in a line of its own."""

    what: str
    until: float  # monotonic seconds
    least: int = 0  # tries, however long they take
    tries: int = 0
    failures: list[str] = field(default_factory=list)

    def goes_on(self, begun: int = 0) -> bool:
        """Whether to try once more, with so many tries begun and not yet counted."""
        return time.monotonic() < self.until or self.tries + begun < self.least

    def check(self, right: bool, otherwise: str) -> None:
        if not right:
            self.failures.append(otherwise)
            print(f"FAILED {self.what}: {otherwise}", flush=True)


@dataclass(frozen=True)
class Ended:
    said: list[str]  # what it had finished, a line each
    killed: bool  # it was still at work
    failed: str  # its own error, if it ended by one


def killed_after(seconds: float, work: Callable[[Say], None]) -> Ended:
    """Do `work(say)` in a fork, and kill it without a warning after so many seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 0
        os.close(reading)
        forkserver._forkserver.__init__()  # type: ignore[misc,attr-defined]  # ours is not the child's to ask
        try:
            work(lambda message: os.write(writing, f"{message}\n".encode()) and None)
        except BaseException:
            os.write(writing, b"\0" + traceback.format_exc().encode())
            code = 3
        os._exit(code)
    os.close(writing)
    deadline, heard, killed, status = time.monotonic() + seconds, b"", False, None
    while status is None:
        pid, result = os.waitpid(child, os.WNOHANG)
        if pid:
            status = result
        elif time.monotonic() >= deadline and not killed:
            os.kill(child, signal.SIGKILL)
            killed = True
        else:
            time.sleep(0.002)
    while part := os.read(reading, 1 << 16):  # ends when the child's own children have ended, too
        heard += part
    os.close(reading)
    said, _, failed = heard.partition(b"\0")
    died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not died and status != 0 and not failed:
        failed = f"it ended with status {status}".encode()
    lines = said.decode().split("\n")[:-1]  # a line that was cut off was not said
    return Ended(lines, died, failed.decode())
