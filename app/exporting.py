"""A collection as rows: what every export format is made of."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
from sqlalchemy import select

from app.engine import Engine
from indexer.catalog import Collection, visible
from indexer.classes import OWN_ANSWERS
from indexer.labels import current_labels
from indexer.schema import files, images
from indexer.sources import readable


def rows(engine: Engine, collection: Collection) -> list[dict[str, Any]]:
    """One row an image: {id, path, name, folder, class, predicted, probability}."""
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
    classes = {x.image_id: OWN_ANSWERS[x.answer] for x in labels if x.answer in OWN_ANSWERS and not x.class_name}
    classes |= {x.image_id: x.class_name for x in labels if x.answer == "yes"}
    predicted = engine.probes.predictions_of(collection, np.array(list(found), np.int64)) if found else {}
    return [
        {
            "id": row.id,
            "path": readable(bytes(row.path)) if row.path is not None else "",
            "name": row.name,
            "folder": row.folder,
            "class": classes.get(row.id, ""),
            "predicted": predicted[row.id].class_name if row.id in predicted else "",
            "probability": round(predicted[row.id].probability, 4) if row.id in predicted else "",
        }
        for row in found.values()
    ]


def to_csv(found: list[dict[str, Any]]) -> str:
    """The rows as CSV, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["id", "path", "name", "folder", "class", "predicted", "probability"])
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()
