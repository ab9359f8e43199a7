"""Take the labels and predictions away."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from app import takeaway
from app.exporting import rows, to_csv
from app.routes.common import CollectionDep, EngineDep

router = APIRouter(prefix="/collections/{collection}/export", tags=["export"])


@router.get("", response_model=None)
def export(
    collection: CollectionDep,
    engine: EngineDep,
    format: Literal["csv", "json", "coco", "classifier", "bundle"] = "csv",
    originals: bool = False,
) -> Any:
    """Every image with its class and what the probe says of it; or the classifier, as a zip with one ONNX graph.

    Or all of the collection as one `bundle` for `likeness restore`, with `originals` the uploaded files too.
    """
    if format == "bundle":
        data = takeaway.bundled(engine, collection, originals)
        headers = {"Content-Disposition": "attachment; filename=collection.likeness.zip"}
        return StreamingResponse(data, media_type="application/zip", headers=headers)
    if format == "classifier":
        name = f"classifier-{collection.active_model}"
        headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
        packed = takeaway.zipped(takeaway.classifier(engine, collection, name), name)
        return Response(packed, media_type="application/zip", headers=headers)
    if format == "coco":
        return takeaway.coco(engine, collection)
    found = rows(engine, collection)
    if format == "json":
        return {
            "collection": collection.name,
            "model": collection.active_model,
            "multi_label": collection.multi_label,
            "images": found,
        }
    headers = {"Content-Disposition": "attachment; filename=likeness.csv"}
    return Response(to_csv(found), media_type="text/csv; charset=utf-8", headers=headers)
