"""Images: lists, one image, its bytes, removal."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from app.routes.common import (
    CollectionDep,
    EngineDep,
    ImageId,
    Limit,
    Offset,
    WorkspaceDep,
    collection_of,
    image_page,
    images_json,
    selected,
)
from app.schemas import LONG, ImageList, Page, Selection
from app.views import Sight, view_of
from indexer.filters import Filter
from indexer.images import get_image, get_images, path_of, read_original, read_preview, read_rendition
from indexer.labels import history
from indexer.removal import remove
from indexer.sources import readable
from model.files import write_atomically

router = APIRouter(tags=["images"])
Text = Annotated[str | None, Query(max_length=LONG)]
SUFFIX_TYPES = {"jpg": "image/jpeg", "png": "image/png"}
INERT = {"Content-Security-Policy": "sandbox", "Content-Disposition": "inline"}
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable", **INERT}  # an id's picture never changes


@router.get("/collections/{collection}/images")
def list_images(
    collection: CollectionDep,
    engine: EngineDep,
    offset: Offset = 0,
    limit: Limit = 100,
    sort: str = "newest",
    text: str | None = Query(None, max_length=200),
    class_: Annotated[str | None, Query(alias="class", max_length=LONG)] = None,
    predicted: Text = None,
    min_probability: Annotated[float | None, Query(ge=0, le=1)] = None,
    folder: Text = None,
    labelled: bool | None = None,
    camera: Text = None,
    taken_from: Text = None,
    taken_to: Text = None,
    imported_since: Text = None,
    min_side: Annotated[int | None, Query(ge=0, le=1_000_000)] = None,
    missing: bool | None = None,
    orientation: Annotated[str | None, Query(max_length=20)] = None,
    within: Annotated[str | None, Query(max_length=200)] = None,
    cluster: Annotated[int | None, Query(ge=0, le=100_000)] = None,
) -> Page:
    """The images a filter keeps. `text` finds file names, folders and classes: likeness itself is visual."""
    wanted = Filter(
        class_=class_,
        predicted=predicted,
        min_probability=min_probability,
        folder=folder,
        taken_from=taken_from,
        taken_to=taken_to,
        camera=camera,
        labelled=labelled,
        imported_since=imported_since,
        min_side=min_side,
        text=text,
        missing=missing,
        orientation=orientation,
        within=within,
        cluster=cluster,
    )
    return image_page(engine, collection, engine.selections.select(collection, wanted, sort), offset, limit)


@router.post("/collections/{collection}/images/list")
def list_these(collection: CollectionDep, body: ImageList, engine: EngineDep) -> dict[str, Any]:
    """The images of these ids, in their order, without those that are gone: a page of a list that the caller holds."""
    found = get_images(engine.workspace.engine, body.image_ids, within=collection)
    return {"items": images_json(engine, collection, found), "total": len(found)}


@router.post("/collections/{collection}/images/remove")
def remove_images(
    collection: CollectionDep, body: Selection, engine: EngineDep, workspace: WorkspaceDep
) -> dict[str, int]:
    """Take images out of the collection; no later import brings them back. Your own files are not touched."""
    return {"removed": remove(workspace.engine, workspace.home, collection, selected(engine, collection, body))}


@router.get("/images/{image_id}")
def one_image(image_id: ImageId, engine: EngineDep, workspace: WorkspaceDep) -> dict[str, Any]:
    image = get_image(workspace.engine, image_id)
    collection = collection_of(engine, image)
    path = path_of(workspace.engine, image)
    return {
        **images_json(engine, collection, [image])[0],
        "collection": collection.name,
        "path": readable(path) if path is not None else None,
        "history": history(workspace.engine, image_id),
    }


@router.get("/images/{image_id}/preview")
def preview(image_id: ImageId, workspace: WorkspaceDep) -> Response:
    """The learning preview: shorter side 320 px, upright, without EXIF."""
    image = get_image(workspace.engine, image_id)
    return Response(read_preview(workspace.home, image), media_type=SUFFIX_TYPES[image.preview_suffix], headers=FOREVER)


@router.get("/images/{image_id}/rendition")
def rendition(image_id: ImageId, workspace: WorkspaceDep, engine: EngineDep) -> Response:
    """A JPEG for the eye, longest side 1440 px, without EXIF; made when first asked for."""
    image = get_image(workspace.engine, image_id)
    path = workspace.home.rendition(image.sha256)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        with engine.decoding.place():
            data = read_rendition(workspace.engine, workspace.home, image)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    return Response(data, media_type="image/jpeg", headers=FOREVER)


@router.get("/images/{image_id}/view")
def view(
    image_id: ImageId,
    workspace: WorkspaceDep,
    preset: Annotated[str, Query(max_length=200)],
    image_size: Annotated[int, Query(ge=16, le=1024)],
    side: Annotated[int, Query(ge=1, le=1536)],
    fit: Literal["centre", "squeeze"] = "centre",
    seed: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    number: Annotated[int, Query(ge=0, le=7)] = 0,
) -> Response:
    """A view of it, as training draws them; `POST …/pairs` gives the addresses."""
    image = get_image(workspace.engine, image_id)
    data = view_of(read_preview(workspace.home, image), image, Sight(preset, image_size, side, fit, seed), number)
    return Response(data, media_type="image/png", headers={**INERT, "Cache-Control": "private, max-age=3600"})


@router.get("/images/{image_id}/original")
def original(image_id: ImageId, workspace: WorkspaceDep) -> Response:
    """The file's own bytes, as a download: a browser must not interpret what a stranger may have made."""
    image = get_image(workspace.engine, image_id)
    data = read_original(workspace.engine, workspace.home, image)
    headers = {**INERT, "Content-Disposition": "attachment"}
    return Response(data, media_type="application/octet-stream", headers=headers)
