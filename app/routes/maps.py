"""The 2-D map of a collection: drawn by a job, read as columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from app import jobs
from app.colouring import classes_of, folders_of, predictions_of
from app.engine import Engine
from app.mapping import Shown, shown
from app.routes.common import CollectionDep, EngineDep, WorkspaceDep
from app.schemas import MapRequest
from app.workspace import active_model
from indexer.catalog import Collection

router = APIRouter(prefix="/collections/{collection}", tags=["map"])


@router.post("/maps", status_code=202)
def start_map(collection: CollectionDep, workspace: WorkspaceDep, body: MapRequest | None = None) -> dict[str, Any]:
    """Lay the pictures out, or place those that came since; `again` lays all of them out anew."""
    active_model(collection)  # say now that there is no index, and not when the job's turn comes
    again = body is not None and body.again
    return jobs.create(workspace.engine, collection, "map", {"again": again}).public()


@router.get("/map")
def read_map(collection: CollectionDep, engine: EngineDep) -> JSONResponse:
    """Every picture's place and cluster as columns; `missing` is how many came since the map was drawn."""
    found = _shown(engine, collection)
    there = set(found.ids.tolist())
    return _columns(
        found,
        {
            "model": collection.active_model,
            "made": datetime.fromtimestamp(found.made, UTC).isoformat(timespec="seconds"),
            "total": len(there),
            "missing": found.missing,
            "ids": found.ids.tolist(),
            "x": found.places[:, 0].round(4).tolist(),
            "y": found.places[:, 1].round(4).tolist(),
            "cluster": found.cluster.tolist(),
            "clusters": [
                {"cluster": number, "size": size, "representatives": [i for i in typical if i in there]}
                for number, size, typical in found.map.clusters()
            ],
            "outliers": [i for i in found.map.outliers if i in there],
        },
    )


@router.get("/map/{column}")
def read_column(
    collection: CollectionDep, engine: EngineDep, column: Literal["classes", "predictions", "folders"]
) -> JSONResponse:
    """What to colour the map by, a row a picture as in `GET …/map` of the same `version`.

    `name` is a place in `names`, -1 where a picture has none; predictions come with their `probability`.
    """
    found = _shown(engine, collection)
    of = {"classes": classes_of, "predictions": predictions_of, "folders": folders_of}[column]
    named = vars(of(engine, collection, found.ids))
    return _columns(found, {key: value for key, value in named.items() if value is not None})


def _shown(engine: Engine, collection: Collection) -> Shown:
    return shown(engine.workspace, collection, engine.selections.present(collection))


def _columns(found: Shown, values: dict[str, Any]) -> JSONResponse:
    """A response of its own: FastAPI would look at each of a million numbers before it writes them."""
    return JSONResponse({"version": found.version, **values})
