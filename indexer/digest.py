"""One file → its hash and its preview, in a pool of processes: every core decodes, and a decoder that dies takes only
its own file.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from indexer.home import Home
from indexer.sources import Source, batches, read
from model.errors import CannotDecode
from model.files import write_atomically
from model.images import PREVIEW_SIDE, Preview, make_preview


@dataclass(frozen=True)
class Digest:
    """What a worker process found in one file. The preview is on disk when this arrives."""

    sha256: str
    preview_sha256: str
    preview: Preview | None  # without its data
    bytes: int
    refused: str | None = None
    again: bool = False  # it could not be read this time, which says nothing about next time


def digested(sources: Sequence[Source], home: Home, workers: int) -> Iterator[tuple[Source, Digest]]:
    """Decode in parallel, in order, with a bounded number of files in memory."""
    pool = _pool(workers)
    window: deque[tuple[Source, bytes | None, Future[Digest]]] = deque()

    def submit(source: Source, data: bytes | None) -> Future[Digest]:
        try:
            return pool.submit(digest_file, source, data, home)
        except BrokenProcessPool as error:  # a file before this one killed its decoder: `finish` finds out which
            failed: Future[Digest] = Future()
            failed.set_exception(error)
            return failed

    def finish() -> tuple[Source, Digest]:
        nonlocal pool
        source, data, future = window.popleft()
        try:
            return source, future.result()
        except BrokenProcessPool:
            # Each file that was in flight now gets a process of its own, so only the one that kills is lost.
            pool.shutdown(wait=True, cancel_futures=True)
            pool = _pool(workers)
            for place, (other, other_data, other_future) in enumerate(window):
                if not _succeeded(other_future):
                    window[place] = (other, other_data, _done(_alone(other, other_data, home)))
            return source, _alone(source, data, home)

    try:
        for archive, group in batches(sources):
            for source in group:
                data: bytes | None = None
                if archive is not None:
                    try:
                        data = read(source, archive)
                    except OSError as error:
                        window.append((source, None, _done(_failed(str(error)))))
                        continue
                window.append((source, data, submit(source, data)))
                if len(window) >= 4 * workers:
                    yield finish()
        while window:
            yield finish()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def digest_file(source: Source, data: bytes | None, home: Home) -> Digest:
    """Read, hash, decode and write the preview of one file. Runs in a worker process."""
    try:
        data = read(source) if data is None else data
    except OSError as error:
        return _failed(f"cannot be read ({error.strerror or error})", again=True)
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        preview = make_preview(data, source.name, PREVIEW_SIDE)
    except CannotDecode as error:
        return _failed(error.reason)
    for path, content in (
        (home.preview(sha256, preview.suffix), preview.data),
        (home.original(sha256), data if source.stored else None),
    ):
        if content is not None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
    slim = Preview(b"", preview.suffix, preview.width, preview.height, preview.format, preview.taken_at, preview.camera)
    return Digest(sha256, hashlib.sha256(preview.data).hexdigest(), slim, len(data))


def _alone(source: Source, data: bytes | None, home: Home) -> Digest:
    with _pool(1) as pool:
        try:
            return pool.submit(digest_file, source, data, home).result()
        except BrokenProcessPool:
            return _failed("made the decoder crash")


def _pool(workers: int) -> ProcessPoolExecutor:
    # A fork of a process with threads (Torch, ONNX Runtime) may hang; a fork server starts clean.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["indexer.digest"])
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us in order
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """A parent that was killed cannot end its workers; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _succeeded(future: Future[Digest]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _done(digest: Digest) -> Future[Digest]:
    future: Future[Digest] = Future()
    future.set_result(digest)
    return future


def _failed(reason: str, again: bool = False) -> Digest:
    return Digest("", "", None, 0, refused=reason, again=again)
