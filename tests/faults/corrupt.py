"""The corrupter: the ways in which a file goes bad on its own."""

from collections.abc import Callable
from pathlib import Path


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flipped byte": _flipped,
    "cut in half": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "empty": lambda data: b"",
    "garbage": lambda data: bytes(range(256)) * (len(data) // 256 + 1),
}


def damage(path: Path, how: str) -> bytes:
    """Damage the file in the way `how` says; returns what it then holds."""
    damaged = DAMAGES[how](path.read_bytes())
    path.write_bytes(damaged)
    return damaged
