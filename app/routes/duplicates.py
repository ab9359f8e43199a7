"""Near-duplicates: groups to look through, and which of them are none."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from app import jobs
from app.duplicates import last_look
from app.routes.common import CollectionDep, EngineDep, Offset, WorkspaceDep, images_json
from app.schemas import ImageNumber, Strict
from app.workspace import active_model
from indexer.duplicates import dismiss, group

router = APIRouter(prefix="/collections/{collection}/duplicates", tags=["duplicates"])


class Dismissal(Strict):
    image_ids: list[ImageNumber] = Field(min_length=2, max_length=200)


@router.get("")
def list_duplicates(
    collection: CollectionDep,
    workspace: WorkspaceDep,
    engine: EngineDep,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> dict[str, Any]:
    """Groups of images that show the same shot, as the last look found them; in each the best to keep first."""
    look = last_look(workspace, collection)
    groups = group(workspace.engine, collection, look.pairs) if look else []
    shown = groups[offset : offset + limit]
    return {
        "items": [{"images": images_json(engine, collection, members)} for members in shown],
        "total": len(groups),
        "offset": offset,
        "limit": limit,
        "looked": {"at": look.at, "images": look.images} if look else None,
        "job": jobs.unfinished(workspace.engine, collection, "duplicates"),
    }


@router.post("", status_code=202)
def look(collection: CollectionDep, workspace: WorkspaceDep) -> dict[str, Any]:
    """Look for images that show the same shot. Nothing is ever deleted."""
    active_model(collection)  # say now that there is no index, and not when the job's turn comes
    return jobs.create(workspace.engine, collection, "duplicates", {}).public()


@router.post("/dismiss")
def dismiss_duplicates(collection: CollectionDep, body: Dismissal, workspace: WorkspaceDep) -> dict[str, int]:
    """Say that these are no duplicates of one another; it is remembered."""
    return {"dismissed": dismiss(workspace.engine, collection, body.image_ids)}
