"""Two models compared blind: what each finds, which is preferred, and what the answers say."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from app.comparing import compare_blind, result, results
from app.routes.common import CollectionDep, EngineDep, images_json
from app.schemas import MAX_ID, ComparisonRequest, Page, VoteRequest
from app.workspace import find_model
from indexer.comparisons import Comparison, answer, forget
from indexer.images import get_images

router = APIRouter(prefix="/collections/{collection}/comparisons", tags=["comparisons"])
ComparisonId = Annotated[int, Path(ge=1, le=MAX_ID)]


@router.get("")
def list_results(collection: CollectionDep, engine: EngineDep) -> Page:
    """What the answers say of every two models that were compared."""
    items = results(engine, collection)
    return Page(items=items, total=len(items), offset=0, limit=max(len(items), 1))


@router.post("", status_code=201)
def begin(collection: CollectionDep, body: ComparisonRequest, engine: EngineDep) -> dict[str, Any]:
    """One picture and what two models find for it, on sides drawn by lot; which is which comes with the answer."""
    home = engine.workspace.home
    models = (find_model(home, body.models[0]).fingerprint, find_model(home, body.models[1]).fingerprint)
    shown = compare_blind(engine, collection, models, body.image_id, body.limit)
    wanted = [shown.comparison.image_id, *shown.left, *shown.right]
    rows = get_images(engine.workspace.engine, list(dict.fromkeys(wanted)))
    images = {image["id"]: image for image in images_json(engine, collection, rows)}
    return {
        "id": shown.comparison.id,
        "image": images.get(shown.comparison.image_id),
        "left": [images[i] for i in shown.left if i in images],
        "right": [images[i] for i in shown.right if i in images],
        "compared": shown.compared,
        "result": result(engine, collection, models),
    }


@router.post("/{comparison_id}/vote")
def vote(
    collection: CollectionDep, comparison_id: ComparisonId, body: VoteRequest, engine: EngineDep
) -> dict[str, Any]:
    """Say which side is better, or that they are the same; answers with which model stood where."""
    return _told(engine, collection, answer(engine.workspace.engine, collection, comparison_id, body.answer))


@router.delete("/{comparison_id}")
def take_back(collection: CollectionDep, comparison_id: ComparisonId, engine: EngineDep) -> dict[str, Any]:
    """Forget a comparison, and what was answered."""
    return _told(engine, collection, forget(engine.workspace.engine, collection, comparison_id))


def _told(engine: EngineDep, collection: CollectionDep, one: Comparison) -> dict[str, Any]:
    counted = result(engine, collection, (min(one.left, one.right), max(one.left, one.right)))
    return {"id": one.id, "left": one.left, "right": one.right, "answer": one.answer, "result": counted}
