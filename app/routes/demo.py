"""The demo collection, for somebody who wants to see everything at work before bringing pictures of their own."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from app import jobs
from app.demo import write_demo
from app.routes.common import WorkspaceDep
from indexer.catalog import ensure_collection

router = APIRouter(tags=["demo"])
NAME = "demo"  # as `likeness demo` calls it too


@router.post("/demo", status_code=202)
def open_demo(workspace: WorkspaceDep) -> dict[str, Any]:
    """Write the demo's pictures, where they are not written yet, and import them into the collection `demo`."""
    folder = workspace.home.root / NAME
    write_demo(folder)
    collection = ensure_collection(workspace.engine, NAME)
    return jobs.create(workspace.engine, collection, "import", {"path": str(folder)}).public()
