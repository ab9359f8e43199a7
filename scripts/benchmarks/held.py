"""Memory of a process and all that it starts, added up while it runs (Linux)."""

from __future__ import annotations

import time
from pathlib import Path

EVERY = 0.1  # seconds between looks


def peak_of(pid: int) -> int:
    """Bytes, until the process has ended: the most that it and all below it held at one time.

    What processes share counts once (PSS): a fork server's modules would otherwise count for every worker.
    """
    most = 0
    while _runs(pid):
        most = max(most, sum(held_by(each) for each in family_of(pid)))
        time.sleep(EVERY)
    return most


def family_of(pid: int) -> list[int]:
    """A process and all that descend from it and run."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):  # it has just ended
            continue
        children.setdefault(parent, []).append(int(folder.name))
    family, todo = [], [pid]
    while todo:
        family.append(todo.pop())
        todo += children.get(family[-1], [])
    return family


def held_by(pid: int) -> int:
    """Bytes that a process holds, its part of what it shares; 0 when it has ended."""
    try:
        for line in (Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _runs(pid: int) -> bool:
    """Whether it runs; one that has ended and waits for its parent does not."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
