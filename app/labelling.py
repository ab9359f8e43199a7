"""Which image to label next, and what the probe says of new pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.engine import Engine
from app.probes import Fitted
from indexer.catalog import Collection
from indexer.images import Filter
from indexer.index import VectorIndex
from indexer.labels import current_labels
from model.errors import CannotDecode, TooFewLabels
from model.images import make_preview

POOL = 5000  # images looked at for typical ones: clustering more takes longer than a person waits
MOST_GROUPS = 500  # as in the paper: more are slow to find and no better
NEIGHBOURS = 20  # whose mean likeness makes an image typical (TypiClust, arXiv:2202.02794, section 3.2)


@dataclass(frozen=True)
class Suggestions:
    items: list[tuple[int, str]]  # (image id, reason)
    total: int  # unlabelled images


def suggest(engine: Engine, collection: Collection, limit: int) -> Suggestions:
    """Typical images of unlabelled groups first (TypiClust); once there is a probe, every other one it is unsure of."""
    index, fitted = _index_and_probe(engine, collection)
    answered = np.array([x.image_id for x in current_labels(engine.workspace.engine, collection)], np.int64)
    present = engine.select(collection, Filter())
    open_rows = np.flatnonzero(np.isin(index.ids, present) & ~np.isin(index.ids, answered))
    rows = open_rows
    if len(rows) > POOL:
        rows = np.sort(np.random.default_rng(len(answered)).choice(rows, POOL, replace=False))
    if not len(rows):
        return Suggestions([], 0)
    _, labelled_vectors = index.vectors_of(answered)
    typical = _typical(index.vectors[rows], labelled_vectors, limit)
    items = [(int(index.ids[rows[i]]), "typical of a group without labels") for i in typical]
    if fitted is None:
        return Suggestions(items[:limit], len(open_rows))
    unsure = [(int(index.ids[rows[i]]), reason) for i, reason in _unsure(fitted, rows, limit)]
    mixed = [item for pair in zip(unsure, items, strict=False) for item in pair] + items[len(unsure) :]
    return Suggestions(list({i: (i, reason) for i, reason in reversed(mixed)}.values())[::-1][:limit], len(open_rows))


def predict(
    engine: Engine, collection: Collection, fitted: Fitted, pictures: Iterable[tuple[str, bytes]]
) -> list[dict[str, Any]]:
    """Classes and probabilities of new pictures, prepared exactly as imported ones are."""
    found: list[dict[str, Any]] = []
    for name, data in pictures:
        try:
            preview = make_preview(data, name)
        except CannotDecode as error:
            found.append({"name": name, "error": error.reason})
            continue
        vector = engine.encode(collection.active_model or "", [preview.data])
        p = fitted.probe.probabilities(vector)[0]
        found.append(
            {
                "name": name,
                "class": fitted.probe.classes[int(p.argmax())],
                "probability": round(float(p.max()), 4),
                "probabilities": {c: round(float(x), 4) for c, x in zip(fitted.probe.classes, p, strict=True)},
            }
        )
    return found


def _index_and_probe(engine: Engine, collection: Collection) -> tuple[VectorIndex, Fitted | None]:
    """The index, and the probe whose probabilities are of that very index, once there are labels enough."""
    try:
        fitted = engine.probes.fitted(collection)
    except TooFewLabels:
        return engine.index(collection), None
    return fitted.index, fitted


def _typical(vectors: np.ndarray, labelled: np.ndarray, limit: int) -> list[int]:
    """Rows of `vectors` (N, D): the most typical one of each group, groups without labels and large ones first."""
    from sklearn.cluster import MiniBatchKMeans

    count = min(len(vectors), len(labelled) + limit, MOST_GROUPS)
    model = MiniBatchKMeans(count, n_init=1, random_state=0, batch_size=1024).fit(vectors)
    groups: np.ndarray = model.labels_
    sizes = np.bincount(groups, minlength=count)
    covered = np.zeros(count, bool)
    if len(labelled):
        covered[model.predict(labelled)] = True
    chosen = []
    for group in sorted(range(count), key=lambda g: (covered[g], -sizes[g])):
        members = np.flatnonzero(groups == group)
        if len(members):
            near = min(NEIGHBOURS, len(members))
            likeness = vectors[members] @ vectors[members].T  # (m, m)
            typicality = np.sort(likeness, axis=1)[:, -near:].mean(axis=1)
            chosen.append(int(members[typicality.argmax()]))
    return chosen[:limit]


def _unsure(fitted: Fitted, rows: np.ndarray, limit: int) -> list[tuple[int, str]]:
    """Positions in `rows` where the two most probable classes are closest, with the reason."""
    p = fitted.probabilities[rows]  # (n, C)
    two = np.argsort(-p, axis=1)[:, :2]
    margin = np.take_along_axis(p, two, axis=1) @ np.array([1.0, -1.0])
    classes = fitted.probe.classes
    return [
        (int(i), f"unsure between {classes[two[i, 0]]} and {classes[two[i, 1]]}") for i in np.argsort(margin)[:limit]
    ]
