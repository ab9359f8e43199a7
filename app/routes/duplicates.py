"""Near-duplicates: groups to look through, and which of them are none."""

from __future__ import annotations

import threading
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.engine import Engine
from app.routes.common import CollectionDep, EngineDep, Offset, WorkspaceDep, images_json
from app.schemas import ImageNumber, Page, Strict
from indexer.catalog import Collection
from indexer.duplicates import Pair, dismiss, find_pairs, group

router = APIRouter(prefix="/collections/{collection}/duplicates", tags=["duplicates"])
_LOCK = threading.Lock()
_FOUND: dict[tuple[str, int], tuple[str, list[Pair]]] = {}  # (home, collection) → (index, its pairs)


class Dismissal(Strict):
    image_ids: list[ImageNumber] = Field(min_length=2, max_length=200)


@router.get("")
def list_duplicates(
    collection: CollectionDep,
    engine: EngineDep,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Page:
    """Groups of images that show the same shot; in each the best to keep first. Nothing is ever deleted."""
    groups = group(engine.workspace.engine, collection, _pairs(engine, collection))
    shown = groups[offset : offset + limit]
    items = [{"images": images_json(engine, collection, members)} for members in shown]
    return Page(items=items, total=len(groups), offset=offset, limit=limit)


@router.post("/dismiss")
def dismiss_duplicates(collection: CollectionDep, body: Dismissal, workspace: WorkspaceDep) -> dict[str, int]:
    """Say that these are no duplicates of one another; it is remembered."""
    return {"dismissed": dismiss(workspace.engine, collection, body.image_ids)}


def _pairs(engine: Engine, collection: Collection) -> list[Pair]:
    """The pairs of the live index: found once, and again only when the index has changed."""
    index = engine.index(collection)
    key = (str(engine.workspace.home.root), collection.id)
    with _LOCK:  # one request looks, the others wait for what it finds
        held = _FOUND.get(key)
        if held is None or held[0] != index.published.sha256:
            pairs = find_pairs(engine.workspace.engine, engine.workspace.home, index.ids, index.vectors)
            held = _FOUND[key] = (index.published.sha256, pairs)
    return held[1]
