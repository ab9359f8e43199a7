"""The processes that decode: started clean, ended with us, and replaced when a file kills one or never ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 10.0  # seconds for the files that are being decoded when nobody wants any more of them


class TooLong(Exception):
    """A decoder did not come back in time, and was ended."""


def given(pool: ProcessPoolExecutor, work: Callable[..., T], *about: object) -> Future[T]:
    """Hand work to a pool. If what came before it killed its process, whoever waits for the result finds out."""
    try:
        return pool.submit(work, *about)
    except BrokenProcessPool as error:
        broken = error
    except OSError as error:
        if error.errno is not None:  # of the system, say: it starts no more processes
            raise
        # "handle is closed": the pool took itself apart while it was given this (CPython's `_ThreadWakeup`).
        broken = BrokenProcessPool(str(error))
    failed: Future[T] = Future()
    failed.set_exception(broken)
    return failed


def waited_for(pool: ProcessPoolExecutor, future: Future[T], seconds: float | None) -> T:
    """The result of what a pool has worked on for longest; raises `TooLong` when it does not come in time.

    The pool's processes are ended then, and whatever else they had begun.
    """
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.done():  # it is what the work itself raised, or came just now
            return future.result()
        _kill(pool)
        raise TooLong from None


def end(pool: ProcessPoolExecutor, begun: Sequence[Future[T]] = ()) -> None:
    """End a pool's processes: in order if what they have begun ends soon, else at once.

    One that was started while its pool broke is overlooked by CPython, which would then wait for it for ever.
    """
    for future in begun:
        future.cancel()
    if pool._broken or wait([future for future in begun if future.running()], PATIENCE).not_done:
        _kill(pool)
    pool.shutdown(wait=True, cancel_futures=True)


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):  # Python 3.14 calls it kill_workers
        process.kill()


def pool_of(workers: int) -> ProcessPoolExecutor:
    # A fork of a process with threads (Torch, ONNX Runtime) may hang; a fork server starts clean.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["indexer.digest"])
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)


@contextmanager
def without_main() -> Iterator[None]:
    """Processes started meanwhile do not import the program that started us: it has a second's worth of modules."""
    main = sys.modules["__main__"]
    hidden: dict[str, object] = {
        name: main.__dict__.pop(name) for name in ("__spec__", "__file__") if name in main.__dict__
    }
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us in order
    # What Pillow and the libraries below it remark on a damaged file; the reason we give is its error.
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """A parent that was killed cannot end its workers; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
