"""Contents without a vector of this model → vectors, in batches that are kept as they come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Engine

from indexer.catalog import Collection
from indexer.home import Home
from indexer.images import contents_of
from indexer.importer import Progress
from indexer.vectors import VectorStore
from model.encoder import Encoder
from model.errors import Cancelled, CannotDecode
from model.images import decode
from model.progress import rate_line

BATCH = 64


@dataclass
class EmbedResult:
    """What embedding did: how many were encoded now, and which previews could not be read."""

    encoded: int = 0
    unreadable: list[str] = field(default_factory=list)  # SHA-256 of contents whose preview is missing or damaged
    seconds: float = 0.0


def embed_missing(
    engine: Engine,
    home: Home,
    collection: Collection,
    encoder: Encoder,
    *,
    rows: Sequence[tuple[int, str, str]] | None = None,
    progress: Progress = lambda share, message: None,
    stop: Callable[[], bool] = lambda: False,
) -> EmbedResult:
    """Encode what has no vector of this model yet. A batch is durable before the next is begun.

    `rows` as `contents_of` gives them, when not all of the collection is meant.
    """
    started = time.monotonic()
    result = EmbedResult()
    store = VectorStore(home.vectors(encoder.info.fingerprint), encoder.info.dim)
    suffixes = {sha256: suffix for _, sha256, suffix in (contents_of(engine, collection) if rows is None else rows)}
    missing = store.missing(list(suffixes))

    def prepare(part: Sequence[str]) -> tuple[list[str], list[np.ndarray]]:
        """Decode and square one batch; Pillow works without Python's lock, so this overlaps with encoding."""
        kept, squares = [], []
        for sha256 in part:
            try:
                data = home.preview(sha256, suffixes[sha256]).read_bytes()
                squares.append(encoder.prepare(decode(data, sha256)))
                kept.append(sha256)
            except (OSError, CannotDecode):
                result.unreadable.append(sha256)
        return kept, squares

    with ThreadPoolExecutor(2) as pool:
        waiting: deque[Future[tuple[list[str], list[np.ndarray]]]] = deque()
        starts = iter(range(0, len(missing), BATCH))
        for start in starts:
            waiting.append(pool.submit(prepare, missing[start : start + BATCH]))
            if len(waiting) == 3:
                break
        while waiting:
            if stop():
                for future in waiting:
                    future.cancel()
                raise Cancelled(f"Stopped after {result.encoded:,} of {len(missing):,} pictures; start again to go on.")
            kept, squares = waiting.popleft().result()
            if (start := next(starts, -1)) >= 0:
                waiting.append(pool.submit(prepare, missing[start : start + BATCH]))
            if kept:
                store.put(kept, encoder.encode(np.stack(squares)))
                result.encoded += len(kept)
            line = rate_line(result.encoded, len(missing), time.monotonic() - started)
            progress(result.encoded / len(missing), line)
    result.seconds = time.monotonic() - started
    return result
