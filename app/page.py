"""The page's process: Streamlit at `/`, and `/v1` passed on to the API, so that the browser sees one origin."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from app import logs
from app.guard import INERT, Guard
from app.key import sign_in_route
from app.listening import listen
from app.pressure import Pressure
from app.problem import as_dict, request_id
from app.rate import Rates
from app.settings import Settings, load_settings

SCRIPT = Path(__file__).parent.parent / "ui" / "main.py"
METHODS = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"]
# Of this connection only, or already checked here: the API behind us sees a plain local caller.
DROPPED = {
    "host", "origin", "connection", "keep-alive", "te", "upgrade", "proxy-authorization", "x-request-id",
    "forwarded", "x-forwarded-for", "x-forwarded-proto",  # a client could put any address there
}  # fmt: skip
OWN = {name.decode() for name, _ in INERT}
DROPPED_BACK = {"connection", "keep-alive", "transfer-encoding", "server", "date", "x-request-id", *OWN}  # said anew


def proxy_to(api: str) -> Starlette:
    """An app that passes every request on to `api` and streams both bodies, so that nothing is held in memory."""
    # No limit of its own: a hundred uploads and listeners must not keep health waiting. `Pressure` bounds them.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    client = httpx.AsyncClient(base_url=api, timeout=httpx.Timeout(None, connect=5), limits=limits, trust_env=False)

    async def forward(request: Request) -> Response:
        headers = [
            (name, value)
            for name, value in request.headers.items()
            if name not in DROPPED and not name.startswith("sec-fetch-")
        ]
        headers.append(("x-request-id", request_id(request.scope)))  # one number for both logs
        query = request.scope["query_string"]
        # The path as it came, still encoded: a collection may be called "What?".
        target = httpx.URL(raw_path=request.scope["raw_path"] + (b"?" + query if query else b""))
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        outgoing = client.build_request(
            request.method, target, headers=headers, content=request.stream() if has_body else None
        )
        try:
            answer = await client.send(outgoing, stream=True)
        except httpx.TransportError:
            detail = "The API does not answer; it is being restarted. Try again in a moment."
            body = as_dict("ApiDown", detail, request_id(request.scope))
            return JSONResponse(body, status_code=503, headers={"Retry-After": "2"})
        return StreamingResponse(
            answer.aiter_raw(),
            status_code=answer.status_code,
            headers={name: value for name, value in answer.headers.items() if name not in DROPPED_BACK},
            background=BackgroundTask(answer.aclose),
        )

    return Starlette(routes=[Route("/{path:path}", forward, methods=METHODS)])


def create_page(settings: Settings | None = None) -> ASGIApp:
    """Streamlit and the proxy behind the guard."""
    settings = settings or load_settings()
    os.environ["LIKENESS_API_URL"] = settings.api_url
    from streamlit import config
    from streamlit.starlette import App

    # By path, as the page's script is: `app` imports nothing of `ui`.
    for name, value in runpy.run_path(str(SCRIPT.parent / "theme.py"))["OPTIONS"].items():
        config.set_option(name, value)
    rates = Rates(settings.requests_per_minute)
    routes: list[Any] = [Mount("/v1", proxy_to(settings.api_url))]
    if settings.api_key is not None:
        routes.append(sign_in_route(settings.api_key, rates))
    guard = Middleware(Guard, hosts=settings.hosts, key=settings.api_key, rates=rates)
    return App(SCRIPT, routes=routes, middleware=[guard, Middleware(Pressure)])


def main() -> None:
    settings = load_settings()
    logs.set_up(settings.log)
    listen(create_page(settings), settings.host, settings.port)


if __name__ == "__main__":
    main()
