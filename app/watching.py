"""Hearing that something has changed below a folder: from the operating system, and by looking now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

QUIET = 1.0  # seconds without a change until it counts: a file that is being copied goes on changing
PATIENCE = 10.0  # seconds after which it counts all the same
RESCAN = 300.0  # seconds: look again even when nothing was heard, for network disks do not tell
RETRY = 2.0  # seconds between looks for a folder that is gone, and for whether another process is done


class Changes:
    """Listens from the moment it is made until `stopping` is set."""

    def __init__(self, folders: Sequence[Path], stopping: threading.Event) -> None:
        self._folders, self._stopping = folders, stopping
        self._heard = threading.Event()
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(ready,), daemon=True).start()
        ready.wait(10)

    def wait(self, seconds: float = RESCAN) -> bool:
        """Return when something has changed since the last call, when the time is up, or to stop; whether it has."""
        until = time.monotonic() + seconds
        while not self._stopping.is_set() and time.monotonic() < until and not self._heard.wait(0.2):
            pass
        heard = self._heard.is_set()
        self._heard.clear()
        return heard

    def _listen(self, ready: threading.Event) -> None:
        """Set `_heard` on every change; listen anew when a folder went, came back, or another disk is in its place."""
        from watchfiles import watch

        while not self._stopping.is_set():
            identity = self._identity()
            try:
                for changes in watch(
                    *self._folders,
                    watch_filter=None,  # a scan knows what to pass over
                    debounce=int(PATIENCE * 1000),
                    step=int(QUIET * 1000),
                    stop_event=self._stopping,
                    rust_timeout=1000,
                    yield_on_timeout=True,
                    raise_interrupt=False,
                ):
                    ready.set()
                    if changes:
                        self._heard.set()
                    if self._identity() != identity:
                        break
            except OSError:  # the folder is gone, or the system has no notices left to give: `wait` looks now and then
                ready.set()
                while self._identity() == identity and not self._stopping.wait(RETRY):
                    pass
            self._heard.set()

    def _identity(self) -> list[tuple[int, int] | None]:
        return [_identity_of(folder) for folder in self._folders]


def _identity_of(folder: Path) -> tuple[int, int] | None:
    try:
        info = folder.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino
