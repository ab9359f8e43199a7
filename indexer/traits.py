"""What a look for duplicates keeps of every content: a thumb and its landmarks, in a SQLite file of its own.

Made once of a preview, whatever the model and the collection; it can always be made again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
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
        self._made_anew(self._create)

    def _create(self) -> None:
        with _opened(self.path) as connection:
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
        query = "INSERT OR REPLACE INTO traits (sha256, version, traits) VALUES (?, ?, ?)"

        def write() -> None:
            with _opened(self.path) as connection:
                connection.executemany(query, rows)

        self._made_anew(write)

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

    def _rows(self, column: str, contents: Collection[str]) -> list[tuple[bytes, Any]]:
        query = f"SELECT sha256, {column} FROM traits WHERE sha256 = ? AND version = ?"

        def read() -> list[tuple[bytes, Any]]:
            with _opened(self.path) as connection:
                return [
                    row for sha256 in contents for row in connection.execute(query, (bytes.fromhex(sha256), VERSION))
                ]

        return self._made_anew(read)

    def _made_anew(self, act: Callable[[], Any]) -> Any:
        """What `act` returns; where it meets a damaged file, with a new one."""
        try:
            return act()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._create()
            return act()


def forget(path: Path, contents: Sequence[str]) -> None:
    """Drop the traits of these contents. Whoever removes pictures need not hear that a cache cannot be written."""
    if path.exists():
        with contextlib.suppress(sqlite3.DatabaseError), _opened(path) as connection:
            connection.executemany("DELETE FROM traits WHERE sha256 = ?", [(bytes.fromhex(c),) for c in contents])


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction. A file that turns out to be damaged is deleted: it can be made anew."""
    try:
        with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        raise


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
