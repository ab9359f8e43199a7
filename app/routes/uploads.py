"""Pictures in: uploads, in one request or in as many as it takes, and paths of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi import Path as InPath

from app import jobs
from app.routes.common import CollectionDep, WorkspaceDep
from app.schemas import ImportRequest, Options
from app.uploaded import Arrived
from app.uploads import Uploads
from indexer.catalog import collection_with_id
from indexer.parts import LARGEST_TILE
from model.errors import BadInput
from model.progress import Line

router = APIRouter(tags=["uploads"])
Batch = Annotated[str, InPath(max_length=64)]
FileName = Annotated[str, Query(min_length=1, max_length=4096)]


def _uploads(request: Request) -> Uploads:
    return request.app.state.uploads


@router.post("/collections/{collection}/images", status_code=202)
def upload_images(
    collection: CollectionDep,
    request: Request,
    workspace: WorkspaceDep,
    files: Annotated[list[UploadFile], File()],
    tile: Annotated[int, Form(ge=0, le=LARGEST_TILE)] = 0,
    pages: Annotated[Literal["first", "all"], Form()] = "first",
) -> dict[str, Any]:
    """Import pictures or zips. A file's name may hold its folder (`holiday/beach.jpg`)."""
    chosen = Options(tile=tile, pages=pages).chosen()
    named = ((file.filename or "", file.file) for file in files)
    with _uploads(request).taken(collection, named, jobs.waiting_uploads(workspace.engine)) as batch:
        params = {"upload": batch, "files": len(files), **chosen}
        return jobs.create(workspace.engine, collection, "import", params).public()


@router.post("/collections/{collection}/imports", status_code=202)
def import_path(collection: CollectionDep, body: ImportRequest, workspace: WorkspaceDep) -> dict[str, Any]:
    """Import a folder or file of the server's machine, below one of the allowed roots."""
    try:
        path = Path(body.path).expanduser().resolve()
        there = path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL byte, no such user, a folder closed to us
        words = "{path} cannot be used as a path ({why})."
        raise BadInput(Line("no_path", words, path=repr(body.path), why=str(error))) from error
    if not any(path.is_relative_to(root) for root in workspace.settings.roots):
        words = "{path} is not below a folder this server may import from: name its folder in LIKENESS_IMPORT_ROOTS."
        raise BadInput(Line("outside_roots", words, path=body.path))
    if not there and not body.allow_empty:
        words = "{path} does not exist on the server's machine: check the path."
        raise BadInput(Line("path_not_there", words, path=body.path))
    params = body.model_dump(exclude_defaults=True) | {"path": str(path), **body.chosen()}
    return jobs.create(workspace.engine, collection, "import", params).public()


@router.post("/collections/{collection}/uploads", status_code=201)
def begin_upload(collection: CollectionDep, request: Request, workspace: WorkspaceDep) -> dict[str, Any]:
    """Begin a batch: send its files, each by a request of its own, then finish it."""
    return _public(_uploads(request).begin(collection, jobs.waiting_uploads(workspace.engine)), [])


@router.get("/uploads/{upload}")
def get_upload(upload: Batch, request: Request) -> dict[str, Any]:
    """What has arrived of a batch, and how much of each file."""
    return _public(upload, _uploads(request).arrived(upload))


@router.put("/uploads/{upload}/file")
async def send_file(
    upload: Batch,
    request: Request,
    name: FileName,
    size: Annotated[int, Query(ge=0, le=2**50)],
    offset: Annotated[int, Query(ge=0, le=2**50)] = 0,
) -> dict[str, Any]:
    """The body is the file from byte `offset` on; its `name` may hold its folder (`holiday/beach.jpg`)."""
    return _file(await _uploads(request).receive(upload, name, size, offset, request.stream()))


@router.delete("/uploads/{upload}/file", status_code=204)
def leave_out(upload: Batch, request: Request, name: FileName) -> Response:
    """Forget one file of a batch, whole or not."""
    _uploads(request).leave_out(upload, name)
    return Response(status_code=204)


@router.post("/uploads/{upload}/finish", status_code=202)
def finish_upload(
    upload: Batch, request: Request, workspace: WorkspaceDep, body: Options | None = None
) -> dict[str, Any]:
    """Import what has arrived; every file must be whole.

    Asked again it answers with the same job, or with a new one when that failed; without options with that one's.
    """
    uploads, chosen = _uploads(request), (body or Options()).chosen()
    with uploads.finishing:
        job = jobs.of_upload(workspace.engine, upload)
        if job is not None and (job.state != "failed" or not uploads.is_here(upload)):
            return job.public()
        collection = collection_with_id(workspace.engine, uploads.collection_id(upload))
        if job is not None and body is None:  # cut otherwise, a slide would be refused, and its upload dropped
            chosen = {name: job.params[name] for name in Options.model_fields if name in job.params}
        params = {"upload": upload, "files": uploads.finish(upload), **chosen}
        return jobs.create(workspace.engine, collection, "import", params).public()


@router.delete("/uploads/{upload}", status_code=204)
def drop_upload(upload: Batch, request: Request) -> Response:
    """Forget a batch that is not finished."""
    _uploads(request).drop(upload)
    return Response(status_code=204)


def _public(batch: str, files: list[Arrived]) -> dict[str, Any]:
    shown = [_file(file) for file in files]
    return {"upload": batch, "files": shown, "bytes": sum(file.received for file in files)}


def _file(file: Arrived) -> dict[str, Any]:
    return {"name": file.name, "size": file.size, "received": file.received, "complete": file.complete}
