"""Contents without a vector of this model → vectors, in batches that are kept as they come.

An import gives its pictures on as it has decoded them; what is left is read from the previews.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from queue import Queue
from threading import Thread
from types import TracebackType

import numpy as np
from sqlalchemy import Engine

from indexer.catalog import Collection
from indexer.home import Home
from indexer.images import contents_of
from indexer.removal import unheld
from indexer.vectors import VectorStore, forget
from model.encoder import Encoder
from model.errors import Cancelled, CannotDecode
from model.info import ModelInfo
from model.progress import Line, Progress, rate_line

BATCH = 64
WAITING = 4  # batches decoded and not encoded yet: then decoding waits

log = logging.getLogger("likeness.embed")


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
                squares.append(encoder.square(data, sha256))
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
                english = "Stopped after {done:,} of {total:,} pictures; start again to go on."
                raise Cancelled(Line("index_stopped", english, done=result.encoded, total=len(missing)))
            kept, squares = waiting.popleft().result()
            if (start := next(starts, -1)) >= 0:
                waiting.append(pool.submit(prepare, missing[start : start + BATCH]))
            if kept:
                _keep(engine, store, kept, encoder.encode(np.stack(squares)))
                result.encoded += len(kept)
            line = rate_line(result.encoded, len(missing), time.monotonic() - started)
            progress(result.encoded / len(missing), line)
    result.seconds = time.monotonic() - started
    return result


def _keep(engine: Engine, store: VectorStore, contents: Sequence[str], vectors: np.ndarray) -> None:
    """Keep vectors, but none of what was removed while it was encoded.

    Whoever removes an image drops its vectors after that is written: he finds these here, or we find it written.
    """
    store.put(contents, vectors)
    if removed := unheld(engine, contents):
        forget(store.path, removed)


class Embedder:
    """Encodes in threads of its own what an import decodes meanwhile; `with` waits until all of it is kept.

    An import does not fail by it: what goes wrong here is logged, and `embed_missing` will try again and say so.
    """

    def __init__(
        self, engine: Engine, home: Home, info: ModelInfo, opened: Callable[[], Encoder], threads: int = 1
    ) -> None:
        """`opened` opens the encoder of `info`, for the first pictures: it may take seconds.

        Beside decoding, `threads` that encode with one core each are quicker than one that shares every layer among
        the cores: none of them waits for another.
        """
        self.preparation = info.preparation  # how the squares must be made that this takes
        self._engine, self._opened = engine, opened
        self._path, self._dim = home.vectors(info.fingerprint), info.dim
        self._queue: Queue[tuple[list[str], np.ndarray] | None] = Queue(WAITING)
        self._wanted, self._threads, self._open = threads, list[Thread](), ExitStack()
        self._works = True
        self._done: list[int] = []  # contents of each batch that is kept

    def put(self, contents: list[str], squares: np.ndarray) -> None:
        """Have these contents encoded, squares (N, S, S, 3) uint8. They must be in the catalog by now."""
        if self._works and not self._threads:
            self._begin()
        for start in range(0, len(contents), BATCH) if self._works else ():
            self._queue.put((contents[start : start + BATCH], squares[start : start + BATCH]))

    @property
    def encoded(self) -> int:
        """How many contents have a vector by this."""
        return sum(self._done)

    def flush(self) -> None:
        """Wait until all that was put is kept."""
        self._queue.join()

    def __enter__(self) -> Embedder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._open.close()

    def _begin(self) -> None:
        # Here and not in a thread: it may import torch, which two threads must not do at a time.
        try:
            encoder, store = self._opened(), VectorStore(self._path, self._dim)
            self._open.enter_context(store.kept_open())
        except Exception as error:  # a damaged model, a full disk, whatever a runtime raises
            self._give_up(error)
            return
        work = partial(self._encode_all, encoder, store)
        wanted = self._wanted if encoder.device == "cpu" else 1
        self._threads = [Thread(target=work, name="embedder") for _ in range(wanted)]
        for thread in self._threads:
            thread.start()

    def _encode_all(self, encoder: Encoder, store: VectorStore) -> None:
        while (batch := self._queue.get()) is not None:
            try:
                if self._works:
                    contents, squares = batch
                    _keep(self._engine, store, contents, encoder.encode(squares))
                    self._done.append(len(contents))
            except Exception as error:
                self._give_up(error)
            finally:
                self._queue.task_done()

    def _give_up(self, error: Exception) -> None:
        self._works = False
        log.warning("pictures are not encoded while they come in: %s", error)
