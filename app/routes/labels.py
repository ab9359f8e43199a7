"""Labels, what to label next, the probe fitted from them, and its predictions."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, File, Query, UploadFile

from app import labelling
from app.routes.common import CollectionDep, EngineDep, Limit, Offset, WorkspaceDep, images_json, selected
from app.schemas import LabelRequest, Page
from indexer import labels as journal
from indexer.images import Filter, get_images
from indexer.labels import Change, current_labels
from model.errors import BadInput, TooFewLabels

router = APIRouter(prefix="/collections/{collection}", tags=["labels"])


@router.post("/labels")
def label(collection: CollectionDep, body: LabelRequest, engine: EngineDep) -> dict[str, Any]:
    """Give an answer for some images; durable when this answers. `none` takes the answer away."""
    ids = selected(engine, collection, body)
    catalog = engine.workspace.engine
    change = journal.label(catalog, collection, ids, body.class_, body.answer, "hand")
    labelled = {x.image_id for x in current_labels(catalog, collection) if x.answer == "yes"}
    return {"changed": change.changed, "action": change.action, "labelled": len(labelled)}


@router.get("/labels")
def list_labels(collection: CollectionDep, workspace: WorkspaceDep, offset: Offset = 0, limit: Limit = 100) -> Page:
    """The answers that stand, newest first."""
    found = current_labels(workspace.engine, collection)[::-1]
    page = found[offset : offset + limit]
    names = {image.id: image.name for image in get_images(workspace.engine, [x.image_id for x in page])}
    items = [
        {
            "image_id": x.image_id,
            "name": names.get(x.image_id),
            "class": x.class_name,
            "answer": x.answer,
            "at": x.at,
            "source": x.source,
        }
        for x in page
    ]
    return Page(items=items, total=len(found), offset=offset, limit=limit)


@router.post("/labels/undo")
def undo(collection: CollectionDep, workspace: WorkspaceDep) -> dict[str, Any]:
    """Take the newest action back, whole."""
    return _reverted(workspace, collection, journal.undo(workspace.engine, collection))


@router.post("/labels/redo")
def redo(collection: CollectionDep, workspace: WorkspaceDep) -> dict[str, Any]:
    """Do what was taken back last again."""
    return _reverted(workspace, collection, journal.redo(workspace.engine, collection))


@router.get("/suggestions")
def suggestions(
    collection: CollectionDep, engine: EngineDep, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> dict[str, Any]:
    """Which images to label next, each with the reason."""
    found = labelling.suggest(engine, collection, limit)
    images = get_images(engine.workspace.engine, [image_id for image_id, _ in found.items])
    shown = {image["id"]: image for image in images_json(engine, collection, images)}
    items = [{"image": shown[i], "reason": reason} for i, reason in found.items if i in shown]
    return {"items": items, "total": found.total}


@router.get("/predictions")
def predictions(
    collection: CollectionDep,
    engine: EngineDep,
    class_: Annotated[str | None, Query(alias="class")] = None,
    min_probability: Annotated[float, Query(ge=0, le=1)] = 0.0,
    offset: Offset = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """What the probe says of every image, surest first."""
    fitted = engine.fitted(collection)
    index = fitted.index
    best, sure = fitted.probabilities.argmax(axis=1), fitted.probabilities.max(axis=1)
    keep = (sure >= min_probability) & np.isin(index.ids, engine.select(collection, Filter()))
    if class_ is not None:
        if class_ not in fitted.probe.classes:
            known = ", ".join(fitted.probe.classes)
            raise BadInput(f"There are no predictions of {class_!r}: the labelled classes are {known}.")
        keep &= best == fitted.probe.classes.index(class_)
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(-sure[rows], kind="stable")]
    page = rows[offset : offset + limit]
    images = get_images(engine.workspace.engine, index.ids[page].tolist())
    shown = {image["id"]: image for image in images_json(engine, collection, images)}
    items = [
        {"image": shown[i], "class": fitted.probe.classes[best[row]], "probability": round(float(sure[row]), 4)}
        for row, i in zip(page, index.ids[page].tolist(), strict=True)
        if i in shown
    ]
    return {
        "items": items, "total": len(rows), "offset": offset, "limit": limit,
        "classes": list(fitted.probe.classes), "model": collection.active_model,
    }  # fmt: skip


@router.get("/probe")
def probe(collection: CollectionDep, engine: EngineDep) -> dict[str, Any]:
    """How good the classifier is: cross-validated accuracy with its interval, and who is taken for whom."""
    fitted = engine.fitted(collection)
    engine.store(collection, fitted)
    found: dict[str, Any] = {
        "classes": list(fitted.probe.classes), "labels": fitted.labels, "strength": fitted.probe.strength,
        "accuracy": None, "interval": None, "confusion": None, "folds": None, "note": None,
        "model": collection.active_model,
    }  # fmt: skip
    try:
        quality = engine.quality(collection)
    except TooFewLabels as error:
        return {**found, "note": str(error)}
    return {
        **found, "accuracy": round(quality.accuracy, 4), "interval": [round(x, 4) for x in quality.interval],
        "confusion": quality.confusion.tolist(), "folds": quality.folds,
    }  # fmt: skip


@router.post("/predict")
def predict(collection: CollectionDep, engine: EngineDep, files: Annotated[list[UploadFile], File()]) -> dict[str, Any]:
    """Classify new pictures without importing them. A file that is no picture gets its own `error`."""
    fitted = engine.fitted(collection)
    named = ((file.filename or "upload", file.file.read()) for file in files)  # one at a time in memory
    return {"predictions": labelling.predict(engine, collection, fitted, named), "model": collection.active_model}


def _reverted(workspace: WorkspaceDep, collection: CollectionDep, change: Change) -> dict[str, Any]:
    can_undo, can_redo = journal.can_undo_redo(workspace.engine, collection)
    return {"undone": change.action, "changed": change.changed, "can_undo": can_undo, "can_redo": can_redo}
