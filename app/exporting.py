"""A collection as rows: what every export format is made of."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
from sqlalchemy import select

from app.engine import Engine
from app.fitted import classes_above
from indexer.catalog import Collection, visible
from indexer.classes import OWN_ANSWERS
from indexer.errors import DamagedIndex, NoIndex
from indexer.labels import Label, current_labels
from indexer.schema import files, images
from indexer.sources import readable
from model.errors import TooFewLabels


def rows(engine: Engine, collection: Collection) -> list[dict[str, Any]]:
    """One row an image: {id, path, name, folder, class, predicted, probability}.

    Where images may have several classes: {id, path, name, folder, classes, answers, predicted, probabilities}, with
    the classes said to be there and those predicted as lists, and what was said, and how probable it is, by class.
    """
    catalog = engine.workspace.engine
    query = (
        select(images.c.id, images.c.name, images.c.folder, files.c.path)
        .outerjoin(files, files.c.image_id == images.c.id)
        .where(visible(collection.id))
        .order_by(images.c.id, files.c.id)
    )
    with catalog.connect() as connection:
        found = {row.id: row for row in connection.execute(query)}  # of several paths the last seen
    labels = current_labels(catalog, collection)
    if collection.multi_label:
        return _rows_of_several(engine, collection, list(found.values()), labels)
    classes = {x.image_id: OWN_ANSWERS[x.answer] for x in labels if x.answer in OWN_ANSWERS and not x.class_name}
    classes |= {x.image_id: x.class_name for x in labels if x.answer == "yes"}
    predicted = engine.probes.predictions_of(collection, np.array(list(found), np.int64)) if found else {}
    return [
        {
            **_where(row),
            "class": classes.get(row.id, ""),
            "predicted": predicted[row.id].class_name if row.id in predicted else "",
            "probability": round(predicted[row.id].probability, 4) if row.id in predicted else "",
        }
        for row in found.values()
    ]


def _where(row: Any) -> dict[str, Any]:
    path = readable(bytes(row.path)) if row.path is not None else ""
    return {"id": row.id, "path": path, "name": row.name, "folder": row.folder}


def _rows_of_several(
    engine: Engine, collection: Collection, found: list[Any], labels: list[Label]
) -> list[dict[str, Any]]:
    said: dict[int, dict[str, str]] = {}
    for x in labels:
        name, answer = (x.class_name, x.answer) if x.class_name else (OWN_ANSWERS[x.answer], "yes")
        said.setdefault(x.image_id, {})[name] = answer
    try:
        fitted = engine.probes.fitted(collection)
    except (TooFewLabels, NoIndex, DamagedIndex):
        fitted = None
    probabilities: dict[int, dict[str, float]] = {}
    predicted: dict[int, list[str]] = {}
    if fitted is not None and found:
        rows_, there = fitted.index.rows_of(np.array([row.id for row in found], np.int64))
        for row, at in zip((row for row, known in zip(found, there, strict=True) if known), rows_[there], strict=True):
            p = fitted.probabilities[at]
            probabilities[row.id] = {c: round(float(x), 4) for c, x in zip(fitted.probe.classes, p, strict=True)}
            predicted[row.id] = [name for name, _ in classes_above(fitted, p)]
    return [
        {
            **_where(row),
            "classes": sorted(name for name, answer in said.get(row.id, {}).items() if answer == "yes"),
            "answers": said.get(row.id, {}),
            "predicted": predicted.get(row.id, []),
            "probabilities": probabilities.get(row.id, {}),
        }
        for row in found
    ]


def to_csv(found: list[dict[str, Any]]) -> str:
    """The rows as CSV, with a header.

    Where images may have several classes, a row for each class that was answered or is predicted, and one otherwise.
    """
    text = io.StringIO()
    several = any("answers" in row for row in found)
    columns = ["id", "path", "name", "folder", "class", *(["answer"] if several else []), "predicted", "probability"]
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(each for row in found for each in (_each_class(row) if several else [row]))
    return text.getvalue()


def _each_class(row: dict[str, Any]) -> list[dict[str, Any]]:
    names = list(dict.fromkeys([*row["answers"], *row["predicted"]]))
    return [
        {
            **row,
            "class": name if name in row["answers"] else "",
            "answer": row["answers"].get(name, ""),
            "predicted": name if name in row["predicted"] else "",
            "probability": row["probabilities"].get(name, ""),
        }
        for name in names or [""]
    ]
