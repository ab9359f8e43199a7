"""Uploads that can be gone on with: a batch of any number of files, one request a file, then one that imports them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from app import jobs
from app.routes.common import CollectionDep, WorkspaceDep
from app.uploads import Uploads, public
from indexer.catalog import collection_with_id

router = APIRouter(tags=["uploads"])
Batch = Annotated[str, Path(max_length=64)]


def _uploads(request: Request) -> Uploads:
    return request.app.state.uploads


@router.post("/collections/{collection}/uploads", status_code=201)
def begin_upload(collection: CollectionDep, request: Request) -> dict[str, Any]:
    """Begin a batch: send its files, each by a request of its own, then finish it."""
    return public(_uploads(request).begin(collection), [])


@router.get("/uploads/{upload}")
def get_upload(upload: Batch, request: Request) -> dict[str, Any]:
    """What has arrived of a batch, and how much of each file."""
    return public(upload, _uploads(request).arrived(upload))


@router.put("/uploads/{upload}/file")
async def send_file(
    upload: Batch,
    request: Request,
    name: Annotated[str, Query(min_length=1, max_length=4096)],
    size: Annotated[int, Query(ge=0, le=2**50)],
    offset: Annotated[int, Query(ge=0, le=2**50)] = 0,
) -> dict[str, Any]:
    """The body is the file from byte `offset` on; its `name` may hold its folder (`holiday/beach.jpg`)."""
    file = await _uploads(request).receive(upload, name, size, offset, request.stream())
    return {"name": file.name, "size": file.size, "received": file.received, "complete": file.complete}


@router.post("/uploads/{upload}/finish", status_code=202)
def finish_upload(upload: Batch, request: Request, workspace: WorkspaceDep) -> dict[str, Any]:
    """Import what has arrived; every file must be whole."""
    uploads = _uploads(request)
    collection = collection_with_id(workspace.engine, uploads.collection_id(upload))
    count = uploads.finish(upload)
    return jobs.create(workspace.engine, collection, "import", {"upload": upload, "files": count}).public()


@router.delete("/uploads/{upload}", status_code=204)
def drop_upload(upload: Batch, request: Request) -> Response:
    """Forget a batch that is not finished."""
    _uploads(request).drop(upload)
    return Response(status_code=204)
