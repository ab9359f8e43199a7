"""The 2-D map of a collection: drawn by a job, read as columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from fastapi import APIRouter

from app import jobs
from app.mapping import made_at, map_of
from app.routes.common import CollectionDep, EngineDep, WorkspaceDep
from app.schemas import MapRequest
from app.workspace import active_model
from indexer.images import Filter

router = APIRouter(prefix="/collections/{collection}", tags=["map"])


@router.post("/maps", status_code=202)
def start_map(collection: CollectionDep, workspace: WorkspaceDep, body: MapRequest | None = None) -> dict[str, Any]:
    """Lay the pictures out, or place those that came since; `again` lays all of them out anew."""
    active_model(collection)  # say now that there is no index, and not when the job's turn comes
    again = body is not None and body.again
    return jobs.create(workspace.engine, collection, "map", {"again": again}).public()


@router.get("/map")
def read_map(collection: CollectionDep, engine: EngineDep) -> dict[str, Any]:
    """Every picture's place and cluster as columns; `missing` is how many came since the map was drawn."""
    found = map_of(engine.workspace, collection)
    present = engine.select(collection, Filter())
    shown = np.isin(found.ids, present)
    there = set(found.ids[shown].tolist())
    return {
        "model": collection.active_model,
        "made": datetime.fromtimestamp(made_at(engine.workspace, collection), UTC).isoformat(timespec="seconds"),
        "total": len(there),
        "missing": len(present) - len(there),
        "ids": found.ids[shown].tolist(),
        "x": np.round(found.places[shown, 0].astype(float), 4).tolist(),
        "y": np.round(found.places[shown, 1].astype(float), 4).tolist(),
        "cluster": found.cluster[shown].tolist(),
        "clusters": [
            {"cluster": number, "size": size, "representatives": [i for i in typical if i in there]}
            for number, size, typical in found.clusters()
        ],
        "outliers": [i for i in found.outliers if i in there],
    }
