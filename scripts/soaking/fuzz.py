"""Mutated pictures for the decoders: none may end the process, keep it busy without an end, or take memory without one.

Seeded: file number N of a seed is always the same, so that a finding can be looked at again.
"""

from __future__ import annotations

import faulthandler
import itertools
import os
import random
import resource
import sys
import time
import warnings
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import TextIO

from model.errors import CannotDecode
from model.images import FORMATS, make_preview, make_rendition
from scripts.soaking.forked import Tally
from tests.odd import odd_files
from tests.pictures import NAMES, encoded, picture

BATCH = 250  # files a message
HANG = 60  # seconds that a batch may take; usually it is a fifth of one
MOST = 1 << 30  # bytes resident: a picture as large as they come, decoded


@dataclass(frozen=True)
class Found:
    tried: int
    accepted: int
    wrong: list[str]  # files that raised something else than `CannotDecode`
    slowest: tuple[float, int]  # seconds, and the number of the file
    memory: int  # bytes resident at most


def mutated(seed: int, number: int) -> bytes:
    """File `number` of a seed: a sound small picture of some format, or an odd one, with some of it changed."""
    chance = random.Random(f"{seed} {number}")
    data = bytearray(chance.choice(_sound()))
    for _ in range(chance.choice([1, 1, 1, 2, 3, 8])):
        at = chance.randrange(len(data)) if chance.random() < 0.6 else chance.randrange(min(64, len(data)))
        kind = chance.randrange(8)
        if kind < 3:
            data[at] = chance.randrange(256)
        elif kind == 3:  # what sizes and counts are made of
            data[at : at + 4] = chance.choice(
                [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xd8\xff\xd9"]
            )
        elif kind == 4:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 5:
            del data[at : at + chance.randint(1, 40)]
        elif kind == 6:
            data[at:at] = data[at : at + chance.randint(1, 200)]
        else:
            other = chance.choice(_sound())
            data[at:] = other[chance.randrange(len(other)) :]
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


@cache
def _sound() -> list[bytes]:
    chance = random.Random(0)
    small = [
        encoded(picture(name, chance.randint(16, 48)), form) for name in NAMES[:3] for form in FORMATS for _ in range(2)
    ]
    odd = [each.data for each in itertools.islice(odd_files(0), 70) if 50 < len(each.data) < 20_000]
    return [*small, *odd]


def try_batch(seed: int, first: int, count: int) -> Found:
    """Decode so many files. Runs in a process of its own, which ends when one of them keeps it busy too long."""
    faulthandler.dump_traceback_later(HANG, exit=True, file=_stderr or sys.stderr)
    accepted, wrong, slowest = 0, [], (0.0, first)
    for number in range(first, first + count):
        data = mutated(seed, number)
        started = time.perf_counter()
        try:
            make_preview(data, "fuzzed")
            if number % 8 == 0:
                make_rendition(data, "fuzzed")
            accepted += 1
        except CannotDecode:
            pass
        except Exception as error:
            wrong.append(f"file {number} of seed {seed}: {type(error).__name__}: {error}")
        slowest = max(slowest, (time.perf_counter() - started, number))
    faulthandler.cancel_dump_traceback_later()
    return Found(count, accepted, wrong, slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def fuzz(seed: int, tally: Tally) -> list[str]:
    """Try files for as long as the tally goes on; returns sentences about them."""
    accepted, slowest, memory = 0, (0.0, 0), 0
    numbers = itertools.count(0, BATCH)
    waiting: dict[Future[Found], int] = {}
    pool = _pool()
    while True:
        while tally.goes_on(BATCH * len(waiting)) and len(waiting) < 2 * (os.cpu_count() or 1):
            first = next(numbers)
            waiting[pool.submit(try_batch, seed, first, BATCH)] = first
        if not waiting:
            break
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            first = waiting.pop(future)
            try:
                found = [future.result()]
            except BrokenProcessPool:
                pool.shutdown(wait=True)
                again, waiting = [first, *waiting.values()], {}
                found = [each for start in again for each in _one_by_one(seed, start, tally)]
                pool = _pool()
            for each in found:
                tally.tries += each.tried
                accepted, slowest, memory = (
                    accepted + each.accepted,
                    max(slowest, each.slowest),
                    max(memory, each.memory),
                )
                for sentence in each.wrong:
                    tally.check(False, sentence)
            if not waiting:
                break
    pool.shutdown()
    tally.check(memory < MOST, f"a process took {memory >> 20} MB")
    return [
        f"Of the mutated files {accepted:,} were pictures still and the others were refused; the slowest took "
        f"{1000 * slowest[0]:,.0f} ms (number {slowest[1]:,}), and no process took more than {memory / 1e6:,.0f} MB."
    ]


def _one_by_one(seed: int, first: int, tally: Tally) -> list[Found]:
    """A batch that ended its process, file by file, to find which."""
    found = []
    for number in range(first, first + BATCH):
        with _pool(1) as pool:
            try:
                found.append(pool.submit(try_batch, seed, number, 1).result())
            except BrokenProcessPool:
                tally.check(False, f"file {number} of seed {seed} ended the process that decoded it")
    return found


def _pool(workers: int | None = None) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers or os.cpu_count(), get_context("forkserver"), _silence)


_stderr: TextIO | None = None  # where a process that hangs says so; the decoders' remarks go nowhere


def _silence() -> None:
    global _stderr
    _stderr = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    warnings.simplefilter("ignore")
