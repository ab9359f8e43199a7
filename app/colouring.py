"""What a map is coloured by: for each picture the place of its class, prediction or folder among their names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.engine import Engine
from indexer.catalog import Collection
from indexer.classes import NONE_OF_THESE
from indexer.images import all_folders


@dataclass(frozen=True)
class Named:
    """A column beside a map's."""

    names: list[str]
    name: list[int]  # (n,) places in `names`; -1: it has none
    probability: list[float] | None = None  # (n,), 0 where there is no name


def classes_of(engine: Engine, collection: Collection, ids: np.ndarray) -> Named:
    """The class that each picture was given; of several the first."""
    book = engine.probes.labels(collection)
    given = dict(book.classes)
    for image_id, answers in book.answers.items():
        given[image_id] = next((name for name, yes in answers.items() if yes), NONE_OF_THESE)
    given = {i: name for i, name in given.items() if name != NONE_OF_THESE}
    return _named(ids, np.array(list(given), np.int64), list(given.values()))


def folders_of(engine: Engine, collection: Collection, ids: np.ndarray) -> Named:
    """The folder that each picture came from; an upload may have none."""
    return _named(ids, *all_folders(engine.workspace.engine, collection))


def predictions_of(engine: Engine, collection: Collection, ids: np.ndarray) -> Named:
    """What the classifier takes each picture for, and how probable that is. Raises `TooFewLabels`, `NoIndex`."""
    fitted = engine.probes.fitted(collection)
    rows, there = fitted.index.rows_of(ids)
    best, sure = np.full(len(ids), -1), np.zeros(len(ids))
    said = np.where(fitted.said[rows[there]], fitted.probabilities[rows[there]], -1)  # (n, C)
    best[there], sure[there] = said.argmax(axis=1), said.max(axis=1)
    best[(sure < 0) | ~fitted.of_a_class(best)] = -1
    sure[best < 0] = 0
    return Named(list(fitted.probe.classes), best.tolist(), sure.round(3).tolist())


def _named(ids: np.ndarray, known: np.ndarray, called: list[str]) -> Named:
    """The names `called` of the pictures `known`, in any order, beside the ascending `ids` (n,)."""
    names = sorted(set(called))
    place = {name: number for number, name in enumerate(names)}
    found = np.full(len(ids), -1)
    if len(ids) and len(known):
        at = np.minimum(np.searchsorted(ids, known), len(ids) - 1)
        on_map = ids[at] == known
        found[at[on_map]] = np.array([place[name] for name in called])[on_map]
    return Named(names, found.tolist())
