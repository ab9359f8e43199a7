"""Who may call: one pure-ASGI middleware over page and API, websockets included.

A page on another site can make a person's browser send requests to this machine. So an unknown `Host` is refused (DNS
rebinding), and so is anything that writes, or opens a websocket, when the browser says that another site asked for it
(`Sec-Fetch-Site`, `Origin`). There is no CORS header anywhere.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Checks Host and origin, gives every answer a request id and inert headers."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        scope.setdefault("state", {})["request_id"] = request_id = secrets.token_hex(8)
        problem = self._problem(scope, headers)
        if problem is None:
            await self.app(scope, receive, _with_headers(send, request_id))
            return
        status, error, detail = problem
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        body = json.dumps({"error": error, "detail": detail, "request_id": request_id}).encode()
        start_headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": start_headers})
        await send({"type": "http.response.body", "body": body})

    def _problem(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str] | None:
        host = headers.get("host", "")
        if _name(host) not in self.hosts and "*" not in self.hosts:
            detail = "This address is not one of ours: open the printed one, or add its name to LIKENESS_ALLOWED_HOSTS."
            return 400, "UnknownHost", detail
        if scope["type"] == "http" and scope["method"] in SAFE:
            return None
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != host
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") or foreign:
            return 403, "CrossSite", "Another web page asked for this: only Likeness's own page may change anything."
        return None


def _name(host: str) -> str:
    """The host name without its port: 'localhost:8000' → 'localhost', '[::1]:8000' → '[::1]'."""
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0].lower()


def _with_headers(send: Send, request_id: str) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: list[Any] = list(message.get("headers", ()))
            headers += [(b"x-content-type-options", b"nosniff"), (b"x-request-id", request_id.encode())]
            message = {**message, "headers": headers}
        await send(message)

    return sender


def request_id(scope: MutableMapping[str, Any]) -> str:
    return str(scope.get("state", {}).get("request_id", ""))
