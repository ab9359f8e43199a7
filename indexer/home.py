"""Where everything lies below `LIKENESS_HOME`. Paths only: the modules that own files read and write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from indexer.errors import Busy


@dataclass(frozen=True)
class Home:
    """One data folder. See docs/architecture.md for what each part is."""

    root: Path

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.db"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def previews(self) -> Path:
        return self.root / "previews"

    def original(self, sha256: str) -> Path:
        return self.root / "originals" / sha256[:2] / sha256

    def preview(self, sha256: str, suffix: str) -> Path:
        return self.previews / sha256[:2] / f"{sha256}.{suffix}"

    def rendition(self, sha256: str) -> Path:
        return self.root / "renditions" / sha256[:2] / f"{sha256}.jpg"

    def vectors(self, fingerprint: str) -> Path:
        return self.root / "vectors" / f"{fingerprint}.db"

    @property
    def traits(self) -> Path:
        """What pictures are compared by when near-duplicates are looked for."""
        return self.root / "traits.db"

    def model(self, fingerprint: str) -> Path:
        return self.models / fingerprint

    def all_vectors(self) -> list[Path]:
        return sorted((self.root / "vectors").glob("*.db"))

    def index(self, collection_id: int, fingerprint: str) -> Path:
        return self.root / "indexes" / str(collection_id) / fingerprint

    def run(self, job: str) -> Path:
        """A training's checkpoint and metrics, until its model is published."""
        return self.root / "runs" / job

    def upload(self, batch: str) -> Path:
        """Files that arrived over HTTP and wait for their import job."""
        return self.root / "uploads" / batch

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Hold while the catalog is told of kept files (previews, originals), or those of nobody are deleted.

        Otherwise one process would delete what another has just decoded and is about to write down. Both take moments.
        """
        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / "keeping.lock"):
            yield

    @contextmanager
    def lock(self, collection_id: int, collection: str, kind: str) -> Iterator[None]:
        """Hold the right to do `kind` of work on a collection; the system frees it when the process dies.

        Raises `Busy` at once when another process holds it, and says which.
        """
        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        holder = locks / f"{collection_id}.{kind}.pid"
        try:
            with FileLock(locks / f"{collection_id}.{kind}.lock", timeout=0):
                holder.write_text(str(os.getpid()))
                try:
                    yield
                finally:
                    holder.unlink(missing_ok=True)
        except Timeout:
            who = holder.read_text() if holder.exists() else "unknown"
            raise Busy(
                f"Another process (pid {who}) is doing {kind} work on {collection!r}: "
                "wait for it, or stop it, and try again."
            ) from None
