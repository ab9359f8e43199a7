"""Why: heat maps of what matches between two pictures, and of what speaks for a class."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.routes.common import CollectionDep, EngineDep, image_in
from app.schemas import LONG, MAX_ID
from app.why import box_json, heat_json, share_of
from app.workspace import active_model
from indexer.errors import NoSuchClass
from indexer.images import read_preview
from model.errors import BadInput
from model.progress import Line

router = APIRouter(tags=["search"])
NUMBER = re.compile("[0-9]{1,18}")  # an image's id, as long as the catalog can hold


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
    fingerprint = active_model(collection)
    home, shown = engine.workspace.home, image_in(engine, collection, image)
    preview = read_preview(home, shown)
    if query is not None:
        if NUMBER.fullmatch(query):
            asked = read_preview(home, image_in(engine, collection, int(query)))
        else:
            asked = engine.query_preview(query)[0]
        first, second = engine.why.alike(fingerprint, asked, preview)
        words = "The brightest fifth of this picture holds {share} of what matches. "
        words += "The colours say where pictures match, not how alike they are."
        line = Line("matches", words, share=f"{share_of(second):.0%}")
        return {"query": heat_json(first), "image": heat_json(second), "sentence": line, "said": line.said}
    probe = engine.probes.fitted(collection).probe
    if class_ not in probe.classes:
        raise NoSuchClass(f"The classifier knows no class {class_!r}: label pictures of it first.")
    heat = engine.why.of_class(fingerprint, preview, probe, str(class_))
    words = "The brightest fifth of this picture holds {share} of what speaks for {what}."
    line = Line("speaks_for", words, share=f"{share_of(heat):.0%}", what=class_)
    return {"image": heat_json(heat), "box": box_json(heat), "sentence": line, "said": line.said}
