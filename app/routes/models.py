"""Models: what there is, where each is active, and the report of its training."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter

from app.routes.common import WorkspaceDep
from app.schemas import Page
from app.workspace import Workspace, all_models, find_model
from indexer.catalog import all_collections
from indexer.errors import NoSuchModel
from model.info import ModelInfo

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
def list_models(workspace: WorkspaceDep) -> Page:
    """Every model, newest first."""
    items = [_json(workspace, info) for info in reversed(all_models(workspace.home))]
    return Page(items=items, total=len(items), offset=0, limit=max(len(items), 1))


@router.get("/{fingerprint}")
def one_model(fingerprint: str, workspace: WorkspaceDep) -> dict[str, Any]:
    return _json(workspace, find_model(workspace.home, fingerprint))


@router.get("/{fingerprint}/report")
def report(fingerprint: str, workspace: WorkspaceDep) -> dict[str, Any]:
    """Whether the training helped: this model against the one it started from, on the collection's own pictures."""
    info = find_model(workspace.home, fingerprint)
    path = workspace.home.model(info.fingerprint) / "report.json"
    if not path.exists():
        raise NoSuchModel(f"Model {info.fingerprint} was not trained here, so it has no report.")
    return json.loads(path.read_bytes())


def _json(workspace: Workspace, info: ModelInfo) -> dict[str, Any]:
    active = [c.name for c in all_collections(workspace.engine) if c.active_model == info.fingerprint]
    return {
        "fingerprint": info.fingerprint,
        "backbone": info.backbone,
        "stem": info.stem,
        "image_size": info.preparation.image_size,
        "dim": info.dim,
        "started_from": info.started_from,
        "created_at": info.created,
        "collections": active,
        "training": info.training,
    }
