"""What a look for duplicates keeps of every content: a thumb and its landmarks, in a SQLite file of its own.

Made once of a preview, whatever the model and the collection; it can always be made again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.alike import SIDE, thumb
from model.images import decode
from model.landmarks import VERSION, Landmarks, landmarks, scaled

THUMB = SIDE * SIDE  # bytes


@dataclass(frozen=True)
class Traits:
    """A picture as it is compared."""

    thumb: np.ndarray  # (SIDE, SIDE) uint8
    landmarks: Landmarks


def traits_of(preview: bytes, name: str) -> Traits:
    """Raises CannotDecode."""
    grey = scaled(decode(preview, name))
    return Traits(thumb(grey), landmarks(grey))


class TraitStore:
    """Content (SHA-256) → traits. Every `put` is one durable transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(_connect(path)) as connection, connection:
            connection.execute("PRAGMA page_size = 16384")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS traits (sha256 BLOB UNIQUE NOT NULL, version INTEGER, traits BLOB NOT NULL)"
            )

    def put(self, traits: dict[str, Traits]) -> None:
        rows = [
            (bytes.fromhex(sha256), VERSION, each.thumb.tobytes() + each.landmarks.packed())
            for sha256, each in traits.items()
        ]
        with closing(_connect(self.path)) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO traits (sha256, version, traits) VALUES (?, ?, ?)", rows)

    def known(self, contents: Collection[str]) -> set[str]:
        """Those of `contents` that have traits."""
        return {sha256.hex() for sha256, _ in self._rows("1", contents)}

    def get(self, contents: Collection[str]) -> dict[str, Traits]:
        """The traits of those of `contents` that have some."""
        found = {}
        for sha256, data in self._rows("traits", contents):
            grey = np.frombuffer(data, np.uint8, THUMB).reshape(SIDE, SIDE)
            found[sha256.hex()] = Traits(grey, Landmarks.unpacked(data[THUMB:]))
        return found

    def _rows(self, column: str, contents: Collection[str]) -> Iterator[tuple[bytes, Any]]:
        query = f"SELECT sha256, {column} FROM traits WHERE sha256 = ? AND version = ?"
        with closing(_connect(self.path)) as connection:
            for sha256 in contents:
                yield from connection.execute(query, (bytes.fromhex(sha256), VERSION))


def forget(path: Path, contents: Sequence[str]) -> None:
    """Drop the traits of these contents."""
    if path.exists():
        with closing(_connect(path)) as connection, connection:
            connection.executemany("DELETE FROM traits WHERE sha256 = ?", [(bytes.fromhex(c),) for c in contents])


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    connection.execute("PRAGMA synchronous = FULL")
    return connection
