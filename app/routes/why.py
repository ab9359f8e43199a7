"""Why: heat maps of what matches between two pictures, and of what speaks for a class."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.routes.common import CollectionDep, EngineDep, collection_of
from app.schemas import LONG, MAX_ID
from app.why import box_json, heat_json, share_of
from indexer.catalog import Collection
from indexer.errors import NoIndex, NoSuchClass
from indexer.images import get_image, read_preview
from model.errors import BadInput

router = APIRouter(tags=["search"])


@router.get("/collections/{collection}/why")
def why(
    collection: CollectionDep,
    engine: EngineDep,
    image: Annotated[int, Query(ge=1, le=MAX_ID)],
    query: Annotated[str | None, Query(max_length=64)] = None,
    class_: Annotated[str | None, Query(alias="class", max_length=LONG)] = None,
) -> dict[str, Any]:
    """Which regions of `image` match those of `query` (an image's or query's id), or speak for a `class`."""
    if (query is None) == (class_ is None):
        raise BadInput("Say either query, an image's or a query's id, or class.")
    if collection.active_model is None:
        raise NoIndex(f"{collection.name!r} has no index yet: import pictures, then index them.")
    shown = _preview(engine, collection, image)
    if query is not None:
        asked = _preview(engine, collection, int(query)) if query.isascii() and query.isdecimal() else None
        asked = engine.query_preview(query)[0] if asked is None else asked
        first, second = engine.why.alike(collection.active_model, asked, shown)
        sentence = (
            f"The brightest fifth of this picture holds {share_of(second):.0%} of what matches. "
            "The colours say where pictures match, not how alike they are."
        )
        return {"query": heat_json(first), "image": heat_json(second), "sentence": sentence}
    probe = engine.probes.fitted(collection).probe
    if class_ not in probe.classes:
        raise NoSuchClass(f"The classifier knows no class {class_!r}: label pictures of it first.")
    heat = engine.why.of_class(collection.active_model, shown, probe, str(class_))
    sentence = f"The brightest fifth of this picture holds {share_of(heat):.0%} of what speaks for {class_}."
    return {"image": heat_json(heat), "box": box_json(heat), "sentence": sentence}


def _preview(engine: EngineDep, collection: Collection, image_id: int) -> bytes:
    image = get_image(engine.workspace.engine, image_id)
    if collection_of(engine, image).id != collection.id:
        raise BadInput(f"Image {image_id} is not in {collection.name!r}.")
    return read_preview(engine.workspace.home, image)
