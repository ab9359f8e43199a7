"""How much RAM a process may still take, also inside a container, and how it keeps what it took."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that can be taken without swapping, or being killed for it: the machine's, or what a control group leaves.

    Where the kernel has no /proc/meminfo, all the RAM that the machine has. `root` holds `proc` and `sys`.
    """
    machine = _table(root / "proc/meminfo").get("MemAvailable:")
    if machine is None:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(0, min([machine * 1024, *_left_to_control_groups(root)]))


@contextmanager
def keeping_blocks() -> Iterator[None]:
    """Within it, large blocks that were freed are used again; at the end they go back to the system.

    Otherwise glibc hands them back at once, and each step of a training waits for the kernel to clear hundreds of
    megabytes anew. Other C libraries are left as they are.
    """
    glibc = _glibc()
    if glibc is None:
        yield
        return
    glibc.mallopt(M_MMAP_THRESHOLD, 2**30)
    glibc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        glibc.mallopt(M_MMAP_THRESHOLD, 2**25)  # where glibc's own, which grow as a program runs, end
        glibc.mallopt(M_TRIM_THRESHOLD, 2**26)
        glibc.malloc_trim(0)


def give_back_pictures() -> None:
    """From now on a block as large as a decoded picture goes back to the system when it is freed.

    Otherwise glibc learns to keep such blocks, for each of a server's threads apart: sixteen pictures of 20 MB, two of
    them decoded at once, left a process with a gigabyte. Other C libraries are left as they are.
    """
    if (glibc := _glibc()) is not None:
        glibc.mallopt(M_MMAP_THRESHOLD, 2**23)


def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
        return libc if libc.mallopt and libc.malloc_trim else None
    except (AttributeError, OSError, TypeError):
        return None


def resident_memory(root: Path = Path("/")) -> int:
    """Bytes of RAM that this process has now; where the kernel has no /proc, the most that it ever had."""
    words = " ".join(_lines(root / "proc/self/statm")).split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") if len(words) > 1 else getrusage(RUSAGE_SELF).ru_maxrss * 1024


def _left_to_control_groups(root: Path) -> Iterator[int]:
    """What the limit of each group around this process leaves; a group's path may not exist as the container sees it.

    A file's pages in the page cache count as used, but the kernel gives them up before it refuses memory.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            top, limit, usage, prefix = root / "sys/fs/cgroup", "memory.max", "memory.current", ""
        elif "memory" in controllers.split(","):  # version 1
            top, limit, usage = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            prefix = "total_"
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            most, used = _lines(folder / limit), _lines(folder / usage)
            if most and used and most[0] != "max":
                stat = _table(folder / "memory.stat")
                cached = stat.get(f"{prefix}inactive_file", 0) + stat.get(f"{prefix}active_file", 0)
                yield int(most[0]) - int(used[0]) + cached


def _table(path: Path) -> dict[str, int]:
    """Lines of a name and a number, perhaps followed by a unit."""
    return {words[0]: int(words[1]) for line in _lines(path) if len(words := line.split()) > 1}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
