"""Models: what there is, where each is active, and the report of its training."""

from __future__ import annotations

import io
import zipfile
from typing import Any, Literal

from fastapi import APIRouter, Response

from app.report import HTML, JSON
from app.report_page import CSP
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


@router.get("/{fingerprint}/report", responses={200: {"content": {"text/html": {}}}})
def report(fingerprint: str, workspace: WorkspaceDep, format: Literal["json", "html"] = "json") -> Response:
    """Whether the training helped: this model against the one it started from, on the collection's own pictures.

    `format=html` is the same to read and to keep, in one file with its pictures and without any script.
    """
    info = find_model(workspace.home, fingerprint)
    path = workspace.home.model(info.fingerprint) / (HTML if format == "html" else JSON)
    if not path.exists():
        raise NoSuchModel(f"Model {info.fingerprint} was not trained here, so it has no report.")
    if format == "html":
        return Response(path.read_bytes(), media_type="text/html", headers={"Content-Security-Policy": CSP})
    return Response(path.read_bytes(), media_type="application/json")


@router.get("/{fingerprint}/export", response_class=Response)
def export(
    fingerprint: str, workspace: WorkspaceDep, format: Literal["timm", "torchvision", "onnx"] = "timm"
) -> Response:
    """The model for use elsewhere: a zip of its weights or graph, the facts of its preparation, and how to load it."""
    from model.elsewhere import default_name, export_model  # only here: it imports torch

    info = find_model(workspace.home, fingerprint)
    name = default_name(info, format)
    files = export_model(workspace.home.model(info.fingerprint), format, name)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:  # stored as they are: weights do not compress
        for file, data in files.items():
            archive.writestr(f"{name}/{file}", data)
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
    return Response(packed.getvalue(), media_type="application/zip", headers=headers)


def _json(workspace: Workspace, info: ModelInfo) -> dict[str, Any]:
    active = [c.name for c in all_collections(workspace.engine) if c.active_model == info.fingerprint]
    return {
        "fingerprint": info.fingerprint,
        "backbone": info.backbone,
        "stem": info.stem,
        "image_size": info.preparation.image_size,
        "dim": info.dim,
        "started_from": info.started_from,
        "arithmetic": info.arithmetic,
        "created_at": info.created,
        "collections": active,
        "has_report": (workspace.home.model(info.fingerprint) / HTML).exists(),
        "training": info.training,
    }
