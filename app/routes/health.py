"""Is it up, and can it do its work?"""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from app.routes.common import EngineDep, WorkspaceDep
from indexer.catalog import all_collections
from indexer.errors import DamagedIndex, NoIndex

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> dict[str, str]:
    """Up. Says nothing about the data, and waits for nobody: it is answered under any load."""
    return {"status": "ok", "version": version("likeness")}


@router.get("/ready")
def ready(workspace: WorkspaceDep, engine: EngineDep) -> dict[str, Any]:
    """The catalog answers and every active index is sound; otherwise 503 with the reason."""
    with workspace.engine.connect() as connection:
        connection.execute(text("SELECT 1 FROM collections LIMIT 1"))
    for collection in all_collections(workspace.engine):
        if collection.active_model is not None:
            try:
                engine.index(engine.serving(collection))
            except NoIndex as error:  # it was published once
                raise DamagedIndex(str(error)) from error
    return {"ready": True}


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """For Prometheus: requests of this process; jobs, pictures, indexes, trainings and disk of the installation."""
    return Response(generate_latest(request.app.state.measures.registry), media_type=CONTENT_TYPE_LATEST)
