"""The inner loops of a search, compiled when first needed (numba): a walk through the graph, and exact cosines.

They let go of Python's lock, and a whole search is one call: at these speeds, calls cost as much as computing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

LOOSE = {"reassoc", "contract", "nsz"}  # sums may be added up in any order, or they take eight times as long


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    compiler: Any = numba.njit
    options = {"nogil": True, "fastmath": LOOSE}
    try:
        made: Callable[..., Any] = compiler(cache=True, **options)(function)
    except RuntimeError:  # nowhere to keep it, neither beside this file nor for this user: each process compiles anew
        made = compiler(**options)(function)
    return made


@_compiled
def _product(a: np.ndarray, b: np.ndarray) -> np.float32:
    total = np.float32(0)
    for at in range(a.shape[0]):
        total += np.float32(a[at]) * b[at]
    return total


@_compiled
def _table(least: int) -> np.ndarray:
    """An empty hash table of `least` places or more, a power of two; an empty place is -1."""
    size = 1024
    while size < least:
        size *= 2
    return np.full(size, -1, np.int32)


@_compiled
def _slot(table: np.ndarray, row: int) -> int:
    """Where `row` is, or the empty place where it belongs."""
    slot = (row * -1640531527 >> 7) & (len(table) - 1)
    while table[slot] != -1 and table[slot] != row:
        slot = (slot + 1) & (len(table) - 1)
    return slot


@_compiled
def cosines_of(vectors: np.ndarray, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """(M,) cosines of the `rows` (M,) of `vectors` (N, D) with `query` (D,).

    Not a matrix product: BLAS rounds a row by where it stands, and equal vectors must have equal cosines.
    """
    found = np.empty(len(rows), np.float32)
    for at in range(len(rows)):
        found[at] = _product(vectors[rows[at]], query)
    return found


@_compiled
def walk(
    query: np.ndarray,  # (D,) float32
    axes: np.ndarray,  # (A, D) float32, each as long as one step of a code
    codes: np.ndarray,  # (N, A) uint8: the short forms
    links: np.ndarray,  # int32: of each its neighbours on the lowest level, then on the next, -1 for none
    starts: np.ndarray,  # (N + 1,) where those of each begin
    entry: int,
    top: int,  # the highest level
    wide: int,  # links of each on a level; twice as many on the lowest
    places: np.ndarray,  # (N,) int64: the rows of `vectors` that they are
    vectors: np.ndarray,  # (N', D) float32
    keep: np.ndarray | None,  # (N',) bool: the rows of `vectors` to list; None: all
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of `vectors` that a walk towards `query` ends among, `count` at most, and their cosines; best first.

    Hierarchical navigable small worlds (Malkov & Yashunin 2018): down the levels to a row that is near, then from the
    nearest rows known to their neighbours, until all `count` nearest have been left by all their links.
    """
    weights = np.empty(len(axes), np.float32)
    for at in range(len(axes)):
        weights[at] = _product(axes[at], query)
    here, best = entry, _product(codes[entry], weights)
    for level in range(top, 0, -1):
        moved = True
        while moved:
            moved = False
            start = starts[here] + (level + 1) * wide
            for at in range(start, start + wide):
                row = links[at]
                if row < 0:
                    break
                short = _product(codes[row], weights)
                if short > best:
                    here, best, moved = row, short, True

    seen, met = _table(64 * count), 1  # a hash table of those seen, and how many these are
    known, shorts, left = np.empty(count, np.int32), np.empty(count, np.float32), np.empty(count, np.bool_)
    known[0], shorts[0], left[0], held = here, best, False, 1  # best first
    seen[_slot(seen, here)] = here
    at = 0
    while at < held:
        if left[at]:
            at += 1
            continue
        left[at] = True
        start, at = starts[known[at]], at + 1
        for link in range(start, start + 2 * wide):
            row = links[link]
            if row < 0:
                break
            slot = _slot(seen, row)
            if seen[slot] == row:
                continue
            seen[slot], met = row, met + 1
            if 2 * met > len(seen):
                older, seen = seen, _table(2 * len(seen))
                for each in older:
                    if each >= 0:
                        seen[_slot(seen, each)] = each
            short = _product(codes[row], weights)
            if held == count and short <= shorts[held - 1]:
                continue
            place = min(held, count - 1)
            held = min(held + 1, count)
            while place > 0 and shorts[place - 1] < short:
                known[place], shorts[place], left[place] = known[place - 1], shorts[place - 1], left[place - 1]
                place -= 1
            known[place], shorts[place], left[place] = row, short, False
            at = min(at, place)

    rows, cosines, listed = np.empty(held, np.int64), np.empty(held, np.float32), 0
    for at in range(held):  # memory is asked for all of them before one is waited for
        cosines[at] = vectors[places[known[at]], 0]
    for at in range(held):
        row = places[known[at]]
        if keep is not None and not keep[row]:
            continue
        cosine, place = _product(vectors[row], query), listed
        while place > 0 and (cosines[place - 1] < cosine or (cosines[place - 1] == cosine and rows[place - 1] > row)):
            rows[place], cosines[place] = rows[place - 1], cosines[place - 1]
            place -= 1
        rows[place], cosines[place] = row, cosine
        listed += 1
    return rows[:listed], cosines[:listed]
