"""The FastAPI app: routes, the guard, limits, and the one place where errors become HTTP."""

from __future__ import annotations

import logging
import sqlite3
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from app import logs
from app.crossvalidation import NotMeasured
from app.engine import Engine, warm_up
from app.guard import Guard
from app.listening import listen
from app.metrics import Installation, Measured, Measures
from app.pressure import COME_BACK, Overloaded, Pressure
from app.problem import FULL, as_dict, request_id
from app.rate import Rates
from app.routes import (
    classes,
    collections,
    comparisons,
    demo,
    duplicates,
    exports,
    health,
    images,
    jobs,
    labels,
    maps,
    models,
    searches,
    uploads,
    why,
)
from app.settings import Settings, load_settings
from app.uploaded import UploadConflict
from app.uploads import Uploads
from app.workspace import Workspace
from indexer import errors as on_disk
from indexer.home import Home
from model import errors
from model.progress import Line
from model.ram import give_back_pictures

log = logging.getLogger("likeness.api")

# The first class of an error's ancestry that is listed decides; the message is the error's own sentence.
STATUS: dict[type[Exception], int] = {
    errors.CannotDecode: 422,
    errors.BadInput: 422,
    errors.TooFewLabels: 409,
    errors.TooFewImages: 409,
    errors.WeightsUnavailable: 409,
    on_disk.NoSuch: 404,
    on_disk.CollectionExists: 409,
    on_disk.ClassGone: 409,
    on_disk.NoIndex: 409,
    on_disk.NoMap: 409,
    on_disk.Busy: 409,
    on_disk.NotAsSeen: 409,
    on_disk.NothingToUndo: 409,
    on_disk.SeveralClasses: 409,
    UploadConflict: 409,
    on_disk.DamagedIndex: 503,
    errors.DamagedModel: 503,
    on_disk.DamagedCatalog: 503,
    on_disk.UnusableDatabase: 503,
    NotMeasured: 503,
    Overloaded: 503,
    errors.LikenessError: 422,
}
TURN = 0.0005  # seconds that a busy request keeps the interpreter while others wait; Python's 5 ms are a whole search
LARGEST_OTHER = 64 << 20  # bytes; the picture of a query is one of them


def create_api(settings: Settings | None = None) -> FastAPI:
    """The API over one data folder."""
    settings = settings or load_settings()
    measures = Measures()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(TURN)
        app.state.workspace = Workspace.open(settings)
        app.state.engine = Engine(app.state.workspace, behind=True)
        app.state.measures = measures
        measures.registry.register(Installation(app.state.workspace))
        most = (settings.max_upload_mb << 20, settings.max_batch_mb << 20)
        app.state.uploads = Uploads(app.state.workspace.home, *most)
        # SciPy and scikit-learn take seconds to import, and the first label should not wait for it.
        threading.Thread(target=warm_up, daemon=True).start()
        yield
        app.state.workspace.engine.dispose()

    api = FastAPIOffline(
        title="Likeness",
        version=version("likeness"),
        description="Search pictures by likeness, and turn a few labels into a classifier.",
        openapi_url="/v1/openapi.json",
        docs_url="/v1/docs",
        static_url="/v1/docs-files",
        swagger_ui_oauth2_redirect_url="/v1/docs/oauth2-redirect",
        redoc_url=None,
        lifespan=lifespan,
        middleware=[
            Middleware(Guard, hosts=settings.hosts, key=settings.api_key, rates=Rates(settings.requests_per_minute)),
            Middleware(Measured, measures=measures, log=logging.getLogger("likeness.requests")),
            Middleware(Pressure),
            Middleware(BodyLimits, largest_upload=settings.max_upload_mb << 20),
        ],
    )
    for module in (
        health,
        collections,
        comparisons,
        images,
        searches,
        classes,
        labels,
        models,
        jobs,
        exports,
        uploads,
        duplicates,
        demo,
        maps,
        why,
    ):
        api.include_router(module.router, prefix="/v1")
    api.add_exception_handler(errors.LikenessError, _on_likeness_error)
    api.add_exception_handler(RequestValidationError, _on_invalid)
    api.add_exception_handler(HTTPException, _on_http)
    api.add_exception_handler(OSError, _on_os_error)
    api.add_exception_handler(DataError, _on_text)
    api.add_exception_handler(OperationalError, _on_catalog_error)
    api.add_exception_handler(sqlite3.DatabaseError, _on_catalog_error)
    api.add_exception_handler(ClientDisconnect, _on_leaving)
    api.add_exception_handler(Exception, _on_bug)
    return api


class BodyLimits:
    """Requests that bring many pictures may be large; any other is read whole, and so may not."""

    def __init__(self, app: ASGIApp, largest_upload: int) -> None:
        self.uploads = RequestBodyLimitMiddleware(app, largest_upload)
        self.others = RequestBodyLimitMiddleware(app, min(LARGEST_OTHER, largest_upload))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        many = scope["type"] == "http" and scope["path"].endswith(("/images", "/predict", "/file"))
        await (self.uploads if many else self.others)(scope, receive, send)


def problem(request: Request, status: int, error: str, detail: str, said: dict[str, Any] | None = None) -> JSONResponse:
    return JSONResponse(as_dict(error, detail, request_id(request.scope), said), status_code=status)


async def _on_likeness_error(request: Request, error: Any) -> JSONResponse:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    answer = problem(request, status, type(error).__name__, str(error), error.said)
    if isinstance(error, Overloaded):
        answer.headers["Retry-After"] = str(COME_BACK)
    return answer


async def _on_invalid(request: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    line = Line("invalid", "{where}: {why}.", where=where or "The request", why=first["msg"])
    return problem(request, 422, "BadInput", line, line.said)


async def _on_http(request: Request, error: Any) -> JSONResponse:
    names = {404: "NoSuchPath", 405: "MethodNotAllowed", 408: "TooSlow", 413: "TooLarge"}
    details = {
        404: "There is nothing at this path: see /v1/docs.",
        413: "The request is larger than this server accepts.",
    }
    name = names.get(error.status_code, "BadRequest")
    return problem(request, error.status_code, name, details.get(error.status_code, str(error.detail)))


async def _on_os_error(request: Request, error: Any) -> JSONResponse:
    log.error("request %s failed", request_id(request.scope), exc_info=error)
    if error.errno in FULL:
        return problem(request, 507, "NoSpace", "The disk is full: free some space; nothing was lost.")
    return problem(request, 500, "InternalError", "Something went wrong on our side; the log has the details.")


async def _on_text(request: Request, error: Any) -> JSONResponse:
    line = Line("no_such_letter", "A text holds a character that the catalog cannot keep: leave it out.")
    return problem(request, 422, "BadInput", line, line.said)


async def _on_catalog_error(request: Request, error: Any) -> JSONResponse:
    log.error("request %s failed", request_id(request.scope), exc_info=error)
    if "full" in str(error):
        return problem(request, 507, "NoSpace", "The disk is full: free some space; nothing was lost.")
    return problem(request, 503, "CatalogUnavailable", "The catalog cannot be used right now; the log has the details.")


async def _on_leaving(request: Request, error: Any) -> JSONResponse:
    return problem(request, 400, "BadRequest", "The request ended before it was whole.")  # nobody hears it any more


async def _on_bug(request: Request, error: Any) -> JSONResponse:
    log.error("request %s failed", request_id(request.scope), exc_info=error)
    return problem(request, 500, "InternalError", "Something went wrong on our side; the log has the details.")


def main() -> None:
    settings = load_settings()
    logs.set_up(settings.log)
    give_back_pictures()
    # What a request brings waits on the disk that it goes to: the system's folder for such files may be memory.
    tempfile.tempdir = str(Home(settings.home).upload(""))
    listen(create_api(settings), settings.api_host, settings.api_port)


if __name__ == "__main__":
    main()
