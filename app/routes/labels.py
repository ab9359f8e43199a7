"""Labels, what to label next, the probe fitted from them, and its predictions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, File, Form, Query, UploadFile

from app import labelfile, labelling
from app.accepting import accept, acceptable
from app.judgement import behind, behind_class, judgement
from app.routes.common import CollectionDep, EngineDep, Limit, Offset, WorkspaceDep, image_page, images_json, selected
from app.schemas import LabelRequest, Page
from indexer import labels as journal
from indexer import undo as undoing
from indexer.catalog import Collection
from indexer.classes import LONGEST_NAME
from indexer.images import get_images
from indexer.journal import Change
from indexer.labels import current_labels
from indexer.meant import name_meant
from model.errors import BadInput
from model.progress import Line

PREVIEWED = 60  # pictures shown of a bulk action before it is done
router = APIRouter(prefix="/collections/{collection}", tags=["labels"])


@router.post("/labels")
def label(collection: CollectionDep, body: LabelRequest, engine: EngineDep) -> dict[str, Any]:
    """Give an answer for some images; durable when this answers. `none` takes the answer away.

    Without a class: `none_of_these` or `unsure`. With `preview` nothing is written: it says what would change.
    With `as_predicted` each gets the class that it is predicted to have, all as one action; no answer that stands is
    replaced: `left_alone` counts those that say otherwise. With the `seen` of a preview it does just what that said.
    `known`: the class is one that the sender was shown. Renamed or merged since, it is meant all the same; removed
    since, it is 409. Without `known` a class that is not there is made, unless answers are only taken away. `class` in
    the answer is what it is called now.
    `not_image_ids` are said not to be of the class, in the same action, as ✓ and ✗ of a search are.
    `source` says how it came about and `by` who said so, for the history.
    """
    ids = selected(engine, collection, body)
    if body.as_predicted:
        return _accept(engine, collection, body, ids)
    if body.preview:
        return _preview(engine, collection, body, ids)
    catalog = engine.workspace.engine
    if body.class_ and body.not_image_ids:
        of: dict[int, dict[str, journal.Answer]] = {i: {body.class_: "no"} for i in body.not_image_ids}
        of |= {i: {body.class_: "yes"} for i in ids}
        change = journal.answer_each(catalog, collection, of, body.source, body.by, known=body.known)
    else:
        change = journal.label(catalog, collection, ids, body.class_, body.answer, body.source, body.by, body.known)
    labelled = engine.probes.labels(collection).labelled
    called = change.called.get(body.class_) if body.class_ else None
    return {"changed": change.changed, "action": change.action, "labelled": labelled, "class": called}


def _preview(engine: EngineDep, collection: Collection, body: LabelRequest, ids: list[int]) -> dict[str, Any]:
    """What labelling would change, and the first pictures of it; nothing is written."""
    catalog, name = engine.workspace.engine, body.class_ or ""
    if name and body.known:
        name = name_meant(catalog, collection, name)
    given = {x.image_id: x.answer for x in current_labels(catalog, collection, ids) if x.class_name == name}
    changing = [i for i in dict.fromkeys(ids) if given.get(i, "none") != body.answer]
    shown = get_images(catalog, changing[:PREVIEWED])
    return {
        "changed": len(changing), "action": 0, "labelled": engine.probes.labels(collection).labelled,
        "class": name or None, "preview": images_json(engine, collection, shown),
    }  # fmt: skip


def _accept(engine: EngineDep, collection: Collection, body: LabelRequest, ids: list[int]) -> dict[str, Any]:
    """Give each image its predicted class, or say what that would change: the least sure ones are shown."""
    found = acceptable(engine, collection, ids)
    about: dict[str, Any] = {
        "changed": len(found.said), "action": 0, "classes": found.classes, "expected_wrong": found.expected_wrong,
        "left_alone": found.left_alone,
    }  # fmt: skip
    if body.preview:
        shown = get_images(engine.workspace.engine, list(found.said)[:PREVIEWED])
        about |= {"seen": found.seen, "preview": images_json(engine, collection, shown, found.said)}
    else:
        done = accept(engine, collection, found, body.source, body.by, body.seen)
        # Of images that were answered meanwhile nothing is changed.
        about |= {"action": done.action, "changed": min(len(found.said), done.changed)}
    return {**about, "labelled": engine.probes.labels(collection).labelled}


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
            "class": x.class_name or None,
            "answer": x.answer,
            "at": x.at,
            "source": x.source,
        }
        for x in page
    ]
    return Page(items=items, total=len(found), offset=offset, limit=limit)


@router.post("/labels/csv")
def label_by_csv(
    collection: CollectionDep,
    engine: EngineDep,
    file: Annotated[UploadFile, File()],
    by: Annotated[str | None, Form(max_length=100)] = None,
) -> dict[str, Any]:
    """Give each picture that a CSV names its class, as one action; the CSV of the export can be sent back.

    Where pictures may have several classes, rows about one picture add up, and a column `answer` may say yes or no.
    """
    rows = labelfile.parse(file.file.read(), file.filename or "The file")
    given = labelfile.give(engine.workspace.engine, collection, rows, "csv", by)
    labelled = engine.probes.labels(collection).labelled
    return {"labelled": labelled, "changed": given.changed, "action": given.action, "unknown": given.unknown}


@router.post("/labels/undo")
def undo(collection: CollectionDep, workspace: WorkspaceDep) -> dict[str, Any]:
    """Take the newest action back, whole: labels, a merge, or a change of a class (`of`); `action` says what it was."""
    return _reverted(workspace, collection, undoing.undo(workspace.engine, collection))


@router.post("/labels/redo")
def redo(collection: CollectionDep, workspace: WorkspaceDep) -> dict[str, Any]:
    """Do what was taken back last again."""
    return _reverted(workspace, collection, undoing.redo(workspace.engine, collection))


@router.get("/suggestions")
def suggestions(
    collection: CollectionDep,
    engine: EngineDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    kind: Literal["typical", "unsure", "novel", "rare", "audit", "mislabelled"] | None = None,
    class_: Annotated[str | None, Query(alias="class", max_length=LONGEST_NAME)] = None,
) -> dict[str, Any]:
    """Which images to label next, each with the reason: typical ones first, later a mixture; or all of one `kind`.

    Where pictures may have several classes, each comes with the class to say yes or no of: all in turn, or `class`.
    """
    found = labelling.suggest(engine, collection, limit, kind, class_)
    images = get_images(engine.workspace.engine, [item.image_id for item in found.items])
    shown = {image["id"]: image for image in images_json(engine, collection, images)}
    items = [
        {
            "image": shown[item.image_id],
            "kind": item.kind,
            "reason": item.reason,
            "reason_said": item.reason.said,
            **({"class": item.class_name} if collection.multi_label else {}),
        }
        for item in found.items
        if item.image_id in shown
    ]
    return {"items": items, "total": found.total}


@router.get("/predictions")
def predictions(
    collection: CollectionDep,
    engine: EngineDep,
    class_: Annotated[str | None, Query(alias="class")] = None,
    min_probability: Annotated[float, Query(ge=0, le=1)] = 0.0,
    fits: bool | None = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """What the probe says of every image, surest first; where `fits` is false it is like nothing labelled.

    Where images may have several classes, `class` lists those that are above its line, by its own probability.
    """
    fitted = engine.probes.fitted(collection)
    index, sure = fitted.index, fitted.sure
    if class_ is not None and class_ in fitted.probe.classes and collection.multi_label:
        sure = fitted.probabilities[:, fitted.probe.classes.index(class_)]
    keep = sure >= min_probability
    if (present := engine.probes.present(collection, index)) is not None:
        keep &= present
    if class_ is not None:
        if class_ not in fitted.probe.classes:
            known = ", ".join(fitted.probe.classes)
            words = "There are no predictions of {what}: the labelled classes are {known}."
            raise BadInput(Line("not_predicted", words, what=repr(class_), known=known))
        keep &= fitted.said[:, fitted.probe.classes.index(class_)]
    if fits is not None:
        keep &= fitted.fits == fits
    rows = np.flatnonzero(keep)
    page = _surest(rows, sure, offset, limit)
    found = get_images(engine.workspace.engine, index.ids[page].tolist())
    said = engine.probes.said_of(fitted, index.ids[page])
    shown = {image["id"]: image for image in images_json(engine, collection, found, said)}
    items = [{"image": shown[i], **shown[i]["predicted"]} for i in index.ids[page].tolist() if i in shown]
    return {
        "items": items, "total": len(rows), "offset": offset, "limit": limit, "settled": fitted.settled,
        "classes": list(fitted.probe.classes), "model": collection.active_model,
    }  # fmt: skip


def _surest(rows: np.ndarray, sure: np.ndarray, offset: int, limit: int) -> np.ndarray:
    """A page of `rows`, surest first, of equals the lower row first; without sorting those that come after it."""
    last = offset + limit
    if last < len(rows):
        bound = np.partition(sure[rows], len(rows) - last)[len(rows) - last]
        rows = rows[sure[rows] >= bound]  # with all that tie for the last place, or pages would not fit together
    return rows[np.argsort(-sure[rows], kind="stable")][offset:last]


@router.get("/probe")
def probe(collection: CollectionDep, engine: EngineDep, wait: bool = True) -> dict[str, Any]:
    """How good the classifier is: cross-validated accuracy with its interval, and who is taken for whom.

    Without `wait` it answers at once; `settled` says whether cross-validation is done for the labels as they are now.
    """
    if wait:
        engine.probes.checked(collection)
    fitted = engine.probes.fitted(collection)
    engine.probes.store(collection, fitted)
    return judgement(engine, collection, fitted, engine.probes.checked_so_far(fitted))


@router.get("/probe/confusion")
def confusion(
    collection: CollectionDep,
    engine: EngineDep,
    actual: Annotated[str, Query(max_length=LONGEST_NAME)],
    predicted: Annotated[str, Query(max_length=LONGEST_NAME)],
    class_: Annotated[str | None, Query(alias="class", max_length=LONGEST_NAME)] = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page:
    """The pictures behind a cell of the cross-validated confusion, the surest first.

    Where pictures may have several classes, each `class` has a confusion of its own, of yes and no.
    """
    if collection.multi_label:
        if class_ is None:
            raise BadInput("Say of which class: ?class=NAME&actual=yes&predicted=no.")
        ids = behind_class(engine, collection, class_, actual, predicted)
        return image_page(engine, collection, ids, offset, limit)
    return image_page(engine, collection, behind(engine, collection, actual, predicted), offset, limit)


@router.post("/predict")
def predict(collection: CollectionDep, engine: EngineDep, files: Annotated[list[UploadFile], File()]) -> dict[str, Any]:
    """Classify new pictures without importing them. A file that is no picture gets its own `error`."""
    fitted = engine.probes.fitted(collection)
    named = ((file.filename or "upload", file.file) for file in files)
    return {"predictions": labelling.predict(engine, collection, fitted, named), "model": collection.active_model}


def _reverted(workspace: WorkspaceDep, collection: CollectionDep, change: Change) -> dict[str, Any]:
    can_undo, can_redo = undoing.can_undo_redo(workspace.engine, collection)
    return {
        "undone": change.action, "changed": change.changed, "of": change.of, "can_undo": can_undo, "can_redo": can_redo,
        "action": change.step and {
            "id": change.step.action, "kind": change.step.kind, "class": change.step.class_name, "to": change.step.to,
            "answer": change.step.answer, "images": change.step.images,
        },
    }  # fmt: skip
