"""Vectors of one model: content → float16, in a SQLite file of their own. Removing a model is removing its file.

Float16 keeps cosine within 1e-3 of float32 on unit vectors, at half the space (a million × 512 is 1.1 GB).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

FEW = 2000  # contents that are looked up one by one
AT_ONCE = 65_536  # vectors, so that temporaries stay small


class VectorStore:
    """Content (SHA-256) → unit vector (D,). Every `put` is one durable transaction."""

    def __init__(self, path: Path, dim: int) -> None:
        self.path, self.dim = path, dim
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open()) as connection, connection:
            connection.execute("PRAGMA page_size = 16384")  # before the first table: 1.1 GB a million, not 4.7 GB
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS vectors "
                "(id INTEGER PRIMARY KEY, sha256 BLOB UNIQUE NOT NULL, vector BLOB NOT NULL)"
            )

    def put(self, contents: Sequence[str], vectors: np.ndarray) -> None:
        """Keep `vectors` (N, D) of these contents."""
        halves = vectors.astype(np.float16)
        rows = [(bytes.fromhex(sha256), half.tobytes()) for sha256, half in zip(contents, halves, strict=True)]
        with closing(self._open()) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO vectors (sha256, vector) VALUES (?, ?)", rows)

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Meanwhile a `put` only appends to the journal: who closes the file as the last one has to write it back."""
        with closing(self._open()) as connection:
            connection.execute("SELECT 1 FROM vectors LIMIT 1").fetchone()  # SQLite opens a file when it is read
            yield

    def missing(self, contents: Sequence[str]) -> list[str]:
        """Those of `contents` that have no vector yet, in their order."""
        present = {sha256 for (sha256,) in self._rows("sha256", contents)}
        return [sha256 for sha256 in contents if bytes.fromhex(sha256) not in present]

    def get(self, contents: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The positions in `contents` (M,) that have a vector, and those unit vectors (M, D) float32."""
        position: dict[bytes, list[int]] = {}
        for i, sha256 in enumerate(contents):
            position.setdefault(bytes.fromhex(sha256), []).append(i)
        vectors = np.zeros((len(contents), self.dim), dtype=np.float32)
        have = np.zeros(len(contents), dtype=bool)
        for sha256, blob in self._rows("sha256, vector", contents):
            for i in position.get(sha256, ()):
                vectors[i] = np.frombuffer(blob, dtype=np.float16)
                have[i] = True
        found = vectors if have.all() else vectors[have]  # a million are not copied for nothing
        for start in range(0, len(found), AT_ONCE):
            part = found[start : start + AT_ONCE]  # float16 moved the norm a little
            part /= np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12)
        return np.flatnonzero(have), found

    def halves(self, contents: Sequence[str]) -> Iterator[bytes]:
        """What is kept of `contents` as bytes: 32 of the SHA-256 and the float16 vector, one after the other."""
        wanted = {bytes.fromhex(sha256) for sha256 in contents}
        for sha256, blob in self._rows("sha256, vector", contents):
            if sha256 in wanted:
                yield sha256 + blob

    def put_halves(self, data: bytes) -> None:
        """Keep vectors that `halves` gave; those of contents that have one stay as they are."""
        size = 32 + 2 * self.dim
        rows = [(data[at : at + 32], data[at + 32 : at + size]) for at in range(0, len(data), size)]
        with closing(self._open()) as connection, connection:
            connection.executemany("INSERT OR IGNORE INTO vectors (sha256, vector) VALUES (?, ?)", rows)

    def _rows(self, columns: str, contents: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of `contents`, and when they are many those of all: the whole file is read in a second or two."""
        with closing(self._open()) as connection:
            if len(contents) > FEW:
                yield from connection.execute(f"SELECT {columns} FROM vectors")
                return
            for sha256 in set(contents):
                query = f"SELECT {columns} FROM vectors WHERE sha256 = ?"
                yield from connection.execute(query, (bytes.fromhex(sha256),))

    def _open(self) -> sqlite3.Connection:
        return _connect(self.path)


def forget(path: Path, contents: Sequence[str]) -> None:
    """Drop the vectors of these contents from one model's file."""
    with closing(_connect(path)) as connection, connection:
        connection.executemany("DELETE FROM vectors WHERE sha256 = ?", [(bytes.fromhex(c),) for c in contents])


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    connection.execute("PRAGMA synchronous = FULL")
    return connection
