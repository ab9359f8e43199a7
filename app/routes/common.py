"""What routes share: the workspace and engine of this process, the collection a path names, and images as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, Path, Query, Request

from app.engine import Engine
from app.fitted import Prediction
from app.schemas import MAX_ID, Page, Selection
from app.workspace import Workspace
from indexer.catalog import Collection, collection_named, collection_with_id
from indexer.filters import Filter
from indexer.images import Image, answers_about, get_image, get_images, labels_of
from model.errors import BadInput
from model.progress import Line


# Coroutines, for FastAPI sends plain functions to a thread, which takes longer than they do.
async def _workspace(request: Request) -> Workspace:
    return request.app.state.workspace


async def _engine(request: Request) -> Engine:
    return request.app.state.engine


WorkspaceDep = Annotated[Workspace, Depends(_workspace)]
EngineDep = Annotated[Engine, Depends(_engine)]


Name = Annotated[str, Path(max_length=80)]


def _stored(workspace: WorkspaceDep, collection: Name) -> Collection:
    return collection_named(workspace.engine, collection)


def served(engine: EngineDep, collection: Name) -> Collection:
    """The collection of that name with the model that answers."""
    return engine.serving(collection_named(engine.workspace.engine, collection))


StoredCollectionDep = Annotated[Collection, Depends(_stored)]  # with the model that was chosen last
CollectionDep = Annotated[Collection, Depends(served)]  # with the one that answers
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=500)]
ImageId = Annotated[int, Path(ge=1, le=MAX_ID)]


def images_json(
    engine: Engine, collection: Collection, found: Sequence[Image], predicted: dict[int, Prediction] | None = None
) -> list[dict[str, Any]]:
    """Images with their labels and predictions, as every list shows them; `predicted` where that is known already."""
    ids = [image.id for image in found]
    labels = labels_of(engine.workspace.engine, collection, ids) if ids else {}
    several = answers_about(engine.workspace.engine, collection, ids) if ids and collection.multi_label else None
    if predicted is None:
        predicted = engine.probes.predictions_of(collection, np.array(ids, np.int64)) if ids else {}
    return [
        {
            "id": image.id,
            "name": image.name,
            "folder": image.folder,
            "width": image.width,
            "height": image.height,
            "bytes": image.bytes,
            "format": image.format,
            "added_at": image.added_at,
            "taken_at": image.taken_at,
            "camera": image.camera,
            "latitude": image.latitude,
            "longitude": image.longitude,
            "missing": bool(image.missing),
            "part": image.part,
            "class": (labels[image.id].class_name or None) if image.id in labels else None,
            "answer": labels[image.id].answer if image.id in labels else None,
            "predicted": _predicted_json(predicted.get(image.id)),
            "preview": f"/v1/images/{image.id}/preview",
            **({} if several is None else _several_json(several.get(image.id, {}))),
        }
        for image in found
    ]


def _several_json(answers: dict[str, str]) -> dict[str, Any]:
    """The classes of an image that may have several, and what was said of each."""
    return {"classes": [name for name, answer in answers.items() if answer == "yes"], "answers": answers}


def _predicted_json(found: Prediction | None) -> dict[str, Any] | None:
    if found is None:
        return None
    said: dict[str, Any] = {
        "class": found.class_name, "probability": round(found.probability, 4), "fits": found.fits
    }  # fmt: skip
    if found.classes is not None:
        said["classes"] = [{"class": name, "probability": round(p, 4)} for name, p in found.classes]
    return said


def image_page(engine: Engine, collection: Collection, ids: np.ndarray, offset: int, limit: int) -> Page:
    """One page of the images with these ids."""
    found = get_images(engine.workspace.engine, ids[offset : offset + limit].tolist())
    return Page(items=images_json(engine, collection, found), total=len(ids), offset=offset, limit=limit)


def selected(engine: Engine, collection: Collection, selection: Selection) -> list[int]:
    """The ids a request means: those it lists, or all that its filter keeps."""
    if (selection.image_ids is None) == (selection.filter is None):
        raise BadInput("Say either image_ids or filter.")
    if selection.image_ids is not None:
        return selection.image_ids
    wanted = selection.filter.wanted() if selection.filter else Filter()
    if wanted.empty:
        words = "An empty filter would mean every image: name at least one condition."
        raise BadInput(Line("empty_filter", words))
    return engine.selections.select(collection, wanted).tolist()


def image_in(engine: Engine, collection: Collection, image_id: int) -> Image:
    """One image of this collection. Raises `NoSuchImage`, and `BadInput` where it is another collection's."""
    image = get_image(engine.workspace.engine, image_id)
    if image.collection_id != collection.id:
        raise BadInput(Line("not_in_it", "Image {n} is not in {of}.", n=image_id, of=repr(collection.name)))
    return image


def collection_of(engine: Engine, image: Image) -> Collection:
    return engine.serving(collection_with_id(engine.workspace.engine, image.collection_id))
