"""Collections, and the long work on them."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from app import jobs
from app.finetuning import lesson_of
from app.int8 import require_use
from app.routes.common import CollectionDep, EngineDep, StoredCollectionDep, WorkspaceDep, image_in
from app.schemas import (
    CollectionChanges,
    FinetuningRequest,
    IndexRequest,
    NewCollection,
    Page,
    PairsRequest,
    TrainingRequest,
)
from app.training import training_runs
from app.views import disagreements, shown, sight
from app.work import activate
from app.workspace import all_models, find_model
from indexer.catalog import (
    Collection,
    all_collections,
    collection_with_id,
    count_images,
    create_collection,
    update_collection,
)
from indexer.classes import all_classes
from indexer.errors import DamagedIndex, NoIndex
from indexer.labels import current_labels
from indexer.published import Published, read_published, sentence
from indexer.removal import remove_collection
from indexer.several import allow_several
from model.errors import BadInput
from model.presets import preset_named
from model.progress import Line

router = APIRouter(prefix="/collections", tags=["collections"])


@router.get("")
def list_collections(engine: EngineDep) -> Page:
    """Every collection, by name."""
    found = [_json(engine, item) for item in all_collections(engine.workspace.engine)]
    return Page(items=found, total=len(found), offset=0, limit=max(len(found), 1))


@router.post("", status_code=201)
def new_collection(body: NewCollection, engine: EngineDep) -> dict[str, Any]:
    _check_preset(body.preset)
    return _json(engine, create_collection(engine.workspace.engine, body.name, body.preset, body.multi_label))


@router.get("/{collection}")
def get_collection(collection: StoredCollectionDep, engine: EngineDep) -> dict[str, Any]:
    return _json(engine, collection)


@router.patch("/{collection}")
def change_collection(
    collection: StoredCollectionDep, body: CollectionChanges, engine: EngineDep, workspace: WorkspaceDep
) -> dict[str, Any]:
    """Rename it, choose its preset, make another model the active one (whose index must be there).

    `multi_label` says whether a picture may have several classes; 409 when it is turned off and one has.
    """
    _check_preset(body.preset)
    if body.multi_label is not None:
        allow_several(workspace.engine, collection, body.multi_label)
    changes = body.model_dump(exclude_none=True, exclude={"active_model", "multi_label"})
    collection = update_collection(workspace.engine, collection, changes)
    if body.active_model is not None:
        collection = activate(workspace, collection, body.active_model)
        engine.serving(collection)  # opens its index, if that takes long, while the one before goes on answering
    return _json(engine, collection)


@router.delete("/{collection}", status_code=204)
def delete_collection(collection: CollectionDep, workspace: WorkspaceDep, request: Request) -> Response:
    """Forget a collection with its labels. Files in your own folders stay as they are."""
    remove_collection(workspace.engine, workspace.home, collection)
    request.app.state.uploads.drop_of(collection)
    for folder in workspace.home.run("").glob(training_runs(collection) + "*"):
        shutil.rmtree(folder, ignore_errors=True)
    return Response(status_code=204)


@router.post("/{collection}/trainings", status_code=202)
def start_training(collection: CollectionDep, engine: EngineDep, body: TrainingRequest | None = None) -> dict[str, Any]:
    """Pretrain on this collection."""
    return _training_job(engine, collection, "training", body)


@router.post("/{collection}/trainings/estimate", status_code=202)
def estimate_training(
    collection: CollectionDep, engine: EngineDep, body: TrainingRequest | None = None
) -> dict[str, Any]:
    """What a training with the same body would cost: a job takes some of its steps, for ten seconds."""
    return _training_job(engine, collection, "estimate", body)


@router.get("/{collection}/indexes")
def list_indexes(collection: StoredCollectionDep, workspace: WorkspaceDep) -> Page:
    """Under which models the collection can be searched, and how many of its pictures each index holds."""
    count = count_images(workspace.engine, collection)
    items = []
    for info in all_models(workspace.home):
        try:
            published = read_published(workspace.home.index(collection.id, info.fingerprint))
        except (NoIndex, DamagedIndex):
            continue
        active = info.fingerprint == collection.active_model
        items.append({"model": info.fingerprint, "active": active, "images": count, **published.described()})
    return Page(items=items, total=len(items), offset=0, limit=max(len(items), 1))


def _training_job(engine: EngineDep, collection: Collection, kind: str, body: TrainingRequest | None) -> dict[str, Any]:
    body = body or TrainingRequest()
    _check_preset(body.preset)
    if "=" in (body.init or ""):  # whoever may ask for a training may not read every file of this machine
        words = "A file of weights can be named on the command line only: likeness pretrain --init timm:NAME=FILE."
        raise BadInput(Line("weights_by_command", words))
    for pin in body.pins or ():
        image_in(engine, collection, pin)
    return jobs.create(engine.workspace.engine, collection, kind, body.model_dump(exclude_none=True)).public()


@router.post("/{collection}/finetunings", status_code=202)
def start_finetuning(
    collection: CollectionDep, workspace: WorkspaceDep, body: FinetuningRequest | None = None
) -> dict[str, Any]:
    """Fine-tune the active encoder with the labels, and adopt it if its probe is better on labels kept out."""
    body = body or FinetuningRequest()
    _check_preset(body.preset)
    lesson_of(workspace, collection)  # say now what is missing, and not when the job's turn comes
    return jobs.create(workspace.engine, collection, "finetuning", body.model_dump(exclude_none=True)).public()


@router.post("/{collection}/int8", status_code=202)
def start_int8(collection: CollectionDep, workspace: WorkspaceDep) -> dict[str, Any]:
    """Make an int8 copy of the active model, and index with it if it is as good on these pictures."""
    require_use(workspace, collection)  # say now why not, and not when the job's turn comes
    return jobs.create(workspace.engine, collection, "int8", {}).public()


@router.post("/{collection}/pairs")
def pairs(collection: CollectionDep, workspace: WorkspaceDep, body: PairsRequest | None = None) -> dict[str, Any]:
    """Some pictures and two views of each: what a training with this preset would call the same."""
    body = body or PairsRequest()
    seen = sight(workspace, collection, body.model_dump(exclude_none=True, exclude={"count"}))
    wanted = urlencode(asdict(seen))  # with the id all that decides a view, so that its address is enough
    warnings = disagreements(workspace, collection, seen.preset)
    return {
        **asdict(seen),
        "pairs": [
            {
                "image_id": image_id,
                "preview": f"/v1/images/{image_id}/preview",
                "views": [f"/v1/images/{image_id}/view?{wanted}&number={number}" for number in range(2)],
            }
            for image_id in shown(workspace, collection, seen.seed, body.count)
        ],
        "warnings": warnings,
        "warnings_said": [line.said for line in warnings],
    }


@router.post("/{collection}/indexes", status_code=202)
def start_index(collection: CollectionDep, workspace: WorkspaceDep, body: IndexRequest | None = None) -> dict[str, Any]:
    """Embed what is missing and publish the index; the model named becomes the active one, unless told otherwise."""
    body = body or IndexRequest()
    params: dict[str, Any] = {"model": find_model(workspace.home, body.model).fingerprint} if body.model else {}
    if not body.activate:
        params["activate"] = False
    return jobs.create(workspace.engine, collection, "index", params).public()


def _check_preset(preset: str | None) -> None:
    if preset is not None:
        preset_named(preset)


def _json(engine: EngineDep, collection: Collection) -> dict[str, Any]:
    catalog = engine.workspace.engine
    collection = collection_with_id(catalog, collection.id)
    count, classes = count_images(catalog, collection), len(all_classes(catalog, collection))
    labelled = len({label.image_id for label in current_labels(catalog, collection) if label.answer == "yes"})
    published = _published(engine, collection)
    indexed = published.count if published else 0
    several = 2 if collection.multi_label and classes else classes
    return {
        "name": collection.name,
        "preset": collection.preset,
        "multi_label": collection.multi_label,
        "images": count,
        "labelled": labelled,
        "classes": classes,
        "active_model": collection.active_model,
        "indexed": indexed,
        "index": _index_json(published) if published else None,
        "created_at": collection.created_at,
        "next_step": (step := _next_step(count, indexed, labelled, several)),
        "next_step_said": step.said,
    }


def _index_json(published: Published) -> dict[str, Any]:
    words = sentence(published.described())
    return {**published.described(), "sentence": words, "said": words.said}


def _published(engine: EngineDep, collection: Collection) -> Published | None:
    if collection.active_model is None:
        return None
    try:
        return read_published(engine.workspace.home.index(collection.id, collection.active_model))
    except (NoIndex, DamagedIndex):
        return None


def _next_step(images: int, indexed: int, labelled: int, classes: int) -> Line:
    if images == 0:
        return Line("step_add", "Add pictures: drop files or a folder, or give a path on this machine.")
    if indexed == 0:
        return Line("step_index", "Index the pictures, so that they can be searched.")
    if indexed < images:
        words = "Index the {n:,} new pictures, so that they can be searched too."
        return Line("step_index_new", words, n=images - indexed)
    if labelled == 0:
        words = "Click a picture to see what resembles it; label a few of two classes to sort the rest."
        return Line("step_label", words)
    if classes < 2:
        return Line("step_second_class", "Label a few pictures of a second class, and the rest is sorted.")
    return Line("step_predictions", "Look through the predictions, and label where they are wrong.")
