"""Queries (what to search with), searches and saved searches."""

from __future__ import annotations

from dataclasses import asdict
from io import BytesIO
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse

from app.engine import Engine
from app.routes.common import CollectionDep, EngineDep, Name, WorkspaceDep, image_in, images_json, served
from app.routes.images import FOREVER, SUFFIX_TYPES
from app.schemas import MAX_ID, BoxQuery, SavedSearchRequest, SearchRequest
from app.workspace import find_model
from indexer.catalog import Collection
from indexer.errors import NoSuchSearch
from indexer.images import get_images, read_original
from indexer.schema import now, searches
from model.errors import BadInput
from model.images import crop
from model.progress import Line

router = APIRouter(tags=["search"])

_BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {"schema": BoxQuery.model_json_schema()},
        },
    }
}


@router.post("/collections/{collection}/queries", status_code=201, openapi_extra=_BODIES)
async def new_query(collection: CollectionDep, engine: EngineDep, request: Request) -> dict[str, str]:
    """Keep a picture to search with: an uploaded `file`, or a `box` of an image in the collection."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        async with request.form(max_files=1, max_fields=4) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise BadInput("Send the picture as the form's field `file`.")
            name = file.filename or "upload"
            query_id = await run_in_threadpool(engine.add_query, collection, file.file, name)
    else:
        try:
            body = BoxQuery.model_validate_json(await request.body())
        except ValidationError as error:
            raise BadInput(f"Send a form with a `file`, or {{image_id, box}} ({error.errors()[0]['msg']}).") from error
        data, name = await run_in_threadpool(_boxed, engine, collection, body)
        query_id = await run_in_threadpool(engine.add_query, collection, BytesIO(data), name)
    return {"query_id": query_id, "preview": f"/v1/queries/{query_id}/preview"}


@router.get("/queries/{query_id}/preview")
def query_preview(query_id: Annotated[str, Path(max_length=64)], engine: EngineDep) -> Response:
    data, suffix = engine.query_preview(query_id)
    return Response(data, media_type=SUFFIX_TYPES[suffix], headers=FOREVER)


@router.post("/collections/{collection}/search")
def search(collection: Name, body: SearchRequest, engine: EngineDep) -> JSONResponse:
    """The images most like `positive` and least like `negative`, best first."""
    # One function, so that one thread does it all; and the answer as it is: FastAPI would walk through every field of
    # every hit, and then again.
    return JSONResponse(_found(engine, served(engine, collection), body))


def _found(engine: Engine, collection: Collection, body: SearchRequest) -> dict[str, Any]:
    model = find_model(engine.workspace.home, body.model).fingerprint if body.model else None
    hits, took_ms = engine.search(
        collection, body.positive, body.negative, body.filter.wanted(), body.limit, body.offset, body.wish(), model
    )
    found = get_images(engine.workspace.engine, hits.ids.tolist())
    shown = {image["id"]: image for image in images_json(engine, collection, found)}
    return {
        "hits": [
            {
                "image": shown[i],
                "score": round(float(score), 6),
                "cosine": round(float(cosine), 6),
                "alike": hits.alike.get(i, []),
            }
            for i, score, cosine in zip(hits.ids.tolist(), hits.scores, hits.cosines, strict=True)
            if i in shown
        ],
        "total": hits.total,
        "end": {**asdict(hits.end), "said": hits.end.reason.said} if hits.end else None,
        "took_ms": round(took_ms, 3),
        "model": model or collection.active_model,
    }


@router.get("/collections/{collection}/searches")
def saved_searches(collection: CollectionDep, workspace: WorkspaceDep) -> dict[str, Any]:
    query = select(searches).where(searches.c.collection_id == collection.id).order_by(searches.c.name)
    with workspace.engine.connect() as connection:
        items = [_saved(row._mapping) for row in connection.execute(query)]
    return {"items": items, "total": len(items), "offset": 0, "limit": max(len(items), 1)}


@router.post("/collections/{collection}/searches", status_code=201)
def save_search(collection: CollectionDep, body: SavedSearchRequest, workspace: WorkspaceDep) -> dict[str, Any]:
    """Keep a search under a name; saving under a taken name replaces it."""
    values = {
        "collection_id": collection.id, "name": body.name, "positive": body.positive, "negative": body.negative,
        "filter": body.filter.model_dump(exclude_none=True, by_alias=True),
        "wish": body.model_dump(include={"min_score", "group", "variety"}, exclude_defaults=True), "created_at": now(),
    }  # fmt: skip
    same = (searches.c.collection_id == collection.id) & (searches.c.name == body.name)
    try:
        with workspace.engine.begin() as connection:
            connection.execute(searches.delete().where(same))
            row = connection.execute(searches.insert().values(**values).returning(searches)).one()
    except IntegrityError as error:
        words = "This name was saved by somebody else a moment ago: choose another."
        raise BadInput(Line("name_just_taken", words)) from error
    return _saved(row._mapping)


@router.delete("/collections/{collection}/searches/{search_id}", status_code=204)
def forget_search(
    collection: CollectionDep, search_id: Annotated[int, Path(ge=1, le=MAX_ID)], workspace: WorkspaceDep
) -> Response:
    here = (searches.c.id == search_id) & (searches.c.collection_id == collection.id)
    with workspace.engine.begin() as connection:
        if not connection.execute(searches.delete().where(here)).rowcount:
            raise NoSuchSearch(f"There is no saved search {search_id} in {collection.name!r}.")
    return Response(status_code=204)


def _saved(row: Any) -> dict[str, Any]:
    """What was asked for, as a search takes it."""
    return {name: row[name] for name in ("id", "name", "positive", "negative", "filter")} | (row["wish"] or {})


def _boxed(engine: EngineDep, collection: Collection, body: BoxQuery) -> tuple[bytes, str]:
    x0, y0, x1, y1 = body.box
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        words = "A box is [x0, y0, x1, y1] in fractions of the picture, with x0 < x1 and y0 < y1."
        raise BadInput(Line("no_box", words))
    image = image_in(engine, collection, body.image_id)
    with engine.decoding.place():
        data = read_original(engine.workspace.engine, engine.workspace.home, image)
        return crop(data, image.name, body.box), image.name
