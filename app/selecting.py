"""Which images a filter keeps: what filters ask of is held in memory, and brought up to date before it is asked.

Nothing here is older than the catalog: columns follow the collection's revision, labels their journal, and every answer
that is remembered names both.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from app.mapping import map_of
from app.probes import Probes
from app.workspace import Workspace
from indexer.catalog import Collection
from indexer.columns import Columns, in_order, read_columns
from indexer.filters import Filter
from indexer.images import all_ids, missing_ids
from indexer.index import VectorIndex
from indexer.labelbook import LabelBook

log = logging.getLogger("likeness.selecting")
REMEMBERED = 16  # answers, a byte an image
HELD = 8  # collections whose columns are held


class Selections:
    """For any number of threads."""

    def __init__(self, workspace: Workspace, probes: Probes) -> None:
        self.workspace, self.probes = workspace, probes
        self._columns: OrderedDict[int, Columns] = OrderedDict()
        self._reading: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        self._answers: OrderedDict[tuple[Any, ...], np.ndarray] = OrderedDict()
        self._present: dict[int, tuple[int, np.ndarray]] = {}  # collection → its revision then, and its ids
        self._lock = threading.Lock()

    def among(self, collection: Collection, index: VectorIndex, wanted: Filter) -> np.ndarray:
        """(N,) bool: the rows of the index that a filter keeps. Nobody changes it."""
        if wanted.needs_predictions:
            rest = replace(wanted, predicted=None, min_probability=None)
            fitted, said = self.probes.saying(collection, wanted)
            if fitted is not index:
                said = index.marked(fitted.ids[said])
            return said if rest.empty else said & self.among(collection, index, rest)
        if wanted.cluster is not None:
            members = index.marked(map_of(self.workspace, collection).members(wanted.cluster))
            return members & self.among(collection, index, replace(wanted, cluster=None))
        columns, version = self._current(collection, wanted)
        return self._remembered(
            (*version, index.published.sha256),
            lambda: index.marked(columns.ids[self._kept(collection, columns, version, wanted)]),
        )

    def select(self, collection: Collection, wanted: Filter, sort: str = "oldest") -> np.ndarray:
        """The ids of the images a filter keeps, predictions included, in the order of `sort`."""
        rest = replace(wanted, predicted=None, min_probability=None, cluster=None)
        columns, version = self._current(collection, rest)
        kept = self._kept(collection, columns, version, rest)
        if wanted.cluster is not None:
            kept = kept & columns.marked(map_of(self.workspace, collection).members(wanted.cluster))
        ids = in_order(self.workspace.engine, collection, columns, kept, sort)
        return self.probes.keep(collection, wanted, ids) if wanted.needs_predictions else ids

    def present(self, collection: Collection) -> np.ndarray:
        """The ids (N,) of all its images, ascending; remembered until some come or go."""
        held = self._present.get(collection.id)
        if held is None or held[0] != collection.revision:
            held = self._present[collection.id] = (collection.revision, all_ids(self.workspace.engine, collection))
        return held[1]

    def warm(self, collection: Collection) -> None:
        """Read the columns in a thread of its own."""

        def run() -> None:
            try:
                self._columns_of(collection)
            except Exception:
                log.exception("the columns of collection %s cannot be read", collection.id)

        threading.Thread(target=run, daemon=True, name="columns").start()

    def _current(self, collection: Collection, wanted: Filter) -> tuple[Columns, tuple[Any, ...]]:
        """The columns, and what an answer to `wanted` depends on."""
        columns = self._columns_of(collection)
        labels = self.probes.labels(collection) if _by_label(wanted) else None
        version = None if labels is None else (labels.last_action, labels.revision)
        # The rows too: a reader that came late may have read more than its revision says.
        return columns, (collection.id, columns.revision, len(columns.ids), version, wanted)

    def _columns_of(self, collection: Collection) -> Columns:
        held = self._columns.get(collection.id)
        if held is None or held.revision < collection.revision:
            with self._reading[collection.id]:  # one thread reads, the others wait for it
                held = self._columns.get(collection.id)
                if held is None or held.revision < collection.revision:
                    held = read_columns(self.workspace.engine, collection, held)
                    with self._lock:
                        self._columns[collection.id] = held
                        self._columns.move_to_end(collection.id)
                        while len(self._columns) > HELD:
                            self._columns.popitem(last=False)
        return held

    def _kept(self, collection: Collection, columns: Columns, version: tuple[Any, ...], wanted: Filter) -> np.ndarray:
        """(N,) bool: the rows of the columns."""
        return self._remembered(
            version,
            lambda: columns.keeps(
                wanted,
                self.probes.labels(collection) if _by_label(wanted) else LabelBook(),
                lambda: missing_ids(self.workspace.engine, collection),
            ),
        )

    def _remembered(self, key: tuple[Any, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
        with self._lock:
            held = self._answers.get(key)
            if held is not None:
                self._answers.move_to_end(key)
                return held
        held = make()
        with self._lock:
            self._answers[key] = held
            while len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)
        return held


def _by_label(wanted: Filter) -> bool:
    return wanted.class_ is not None or wanted.labelled is not None or bool(wanted.text)
