"""Classes of a collection."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from fastapi import APIRouter, Response

from app.routes.common import CollectionDep, EngineDep, WorkspaceDep
from app.schemas import ClassChanges, MergeRequest, NewClass
from indexer.classes import KEYS, all_classes, create_class, merge_class, remove_class, update_class
from indexer.errors import DamagedIndex, NoIndex
from model.errors import TooFewLabels
from model.several import LINE

router = APIRouter(prefix="/collections/{collection}/classes", tags=["labels"])


@router.get("")
def list_classes(collection: CollectionDep, engine: EngineDep) -> dict[str, Any]:
    """The classes in the order of their keys, with how many images carry each, and are predicted to."""
    catalog = engine.workspace.engine
    book = engine.probes.labels(collection)
    labels, refused = Counter(book.classes.values()), Counter[str]()
    for given in book.answers.values():
        labels.update(name for name, said in given.items() if said)
        refused.update(name for name, said in given.items() if not said)
    try:
        fitted = engine.probes.fitted(collection)
        counts = np.count_nonzero(fitted.said, axis=0).tolist()
        predicted: Counter[str] | None = Counter(dict(zip(fitted.probe.classes, counts, strict=True)))
    except (TooFewLabels, NoIndex, DamagedIndex):
        predicted = None
    items = [
        {
            "name": item.name,
            "colour": item.colour,
            "key": str(number) if number <= KEYS else None,
            "labels": labels[item.name],
            "predicted": None if predicted is None else predicted[item.name],
            **(
                {"no": refused[item.name], "line": LINE if item.line is None else item.line}
                if collection.multi_label
                else {}
            ),
        }
        for number, item in enumerate(all_classes(catalog, collection), 1)
    ]
    return {"items": items, "total": len(items), "offset": 0, "limit": max(len(items), 1)}


@router.post("", status_code=201)
def new_class(collection: CollectionDep, body: NewClass, workspace: WorkspaceDep) -> dict[str, Any]:
    made = create_class(workspace.engine, collection, body.name, body.colour)
    return {"name": made.name, "colour": made.colour}


@router.post("/{name:path}/merge")
def merge(collection: CollectionDep, name: str, body: MergeRequest, workspace: WorkspaceDep) -> dict[str, Any]:
    """Give every image of this class to another; one action, which undo takes back. `preview` only says how many."""
    return {"moved": merge_class(workspace.engine, collection, name, body.into, body.preview), "into": body.into}


@router.patch("/{name:path}")
def change_class(collection: CollectionDep, name: str, body: ClassChanges, workspace: WorkspaceDep) -> dict[str, Any]:
    """Rename a class, or give it another colour or key; one action, which undo takes back. Its labels stay.

    The class that had the `key` takes the one that becomes free. Where pictures may have several classes, `line` is the
    probability from which on this one is predicted.
    """
    key = None if body.key is None else int(body.key)
    changed = update_class(workspace.engine, collection, name, body.name, body.colour, body.line, key)
    line = {"line": LINE if changed.line is None else changed.line} if collection.multi_label else {}
    return {"name": changed.name, "colour": changed.colour, **line}


@router.delete("/{name:path}", status_code=204)
def delete_class(collection: CollectionDep, name: str, workspace: WorkspaceDep) -> Response:
    """Hide a class. Its answers stay in the journal and return with a class of the same name."""
    remove_class(workspace.engine, collection, name)
    return Response(status_code=204)
