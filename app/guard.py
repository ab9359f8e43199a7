"""Who may call: one pure-ASGI middleware over page and API, websockets included.

A page on another site can make a person's browser send requests to this machine. So an unknown `Host` is refused (DNS
rebinding), and so is anything that writes, or opens a websocket, when the browser says that another site asked for it
(`Sec-Fetch-Site`, `Origin`). There is no CORS header anywhere. Where a key is set, only health and the page that asks
for the key are served without it. Another machine that asks too often, or tries keys, is told to come back later.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.key import ALWAYS, OPEN, admits, brings_key, sign_in_url
from app.problem import as_json
from app.rate import Rates

SAFE = ("GET", "HEAD", "OPTIONS")
ID = re.compile("[0-9a-f]{16}")
INERT = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),  # no other site may show us in a frame and have clicks land here
    (b"cross-origin-resource-policy", b"same-origin"),  # nor show our pictures as its own
    (b"referrer-policy", b"same-origin"),  # addresses hold names of collections
)


class Guard:
    """Checks Host, origin and key, gives every answer a request id and inert headers."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], key: str | None = None, rates: Rates | None = None) -> None:
        """`rates`: None lets everybody ask as often as they like."""
        self.app, self.hosts, self.key, self.rates = app, hosts, key, rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = headers.get("x-request-id", "")
        if not ID.fullmatch(request_id):  # the page's process has given it one already, or it is not ours
            request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        logs.request_id.set(request_id)
        problem = self._problem(scope, headers)
        if problem is None:
            await self.app(scope, receive, _with_headers(send, request_id))
            return
        status, error, detail, wait = problem
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        body, response_headers = as_json(error, detail, request_id)
        if status == 401 and "text/html" in headers.get("accept", "") and not scope["path"].startswith("/v1"):
            status = 303  # a person with a browser: they type the key, and come back
            target = sign_in_url(scope["path"], scope["query_string"].decode("latin-1"))
            response_headers.append((b"location", target.encode()))
        elif status == 401:
            response_headers.append((b"www-authenticate", b"Bearer"))
        if wait:
            response_headers.append((b"retry-after", str(wait).encode()))
        await send({"type": "http.response.start", "status": status, "headers": response_headers})
        await send({"type": "http.response.body", "body": body})

    def _problem(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str, int] | None:
        """(status, name, sentence, seconds after which to try again or 0), or None when it may go on."""
        host = headers.get("host", "")
        if _name(host) not in self.hosts and "*" not in self.hosts:
            detail = "This address is not one of ours: open the printed one, or add its name to LIKENESS_ALLOWED_HOSTS."
            return 400, "UnknownHost", detail, 0
        if not (scope["type"] == "http" and scope["method"] in SAFE) and self._foreign(host, headers):
            detail = "Another web page asked for this: only Likeness's own page may change anything."
            return 403, "CrossSite", detail, 0
        if scope["path"] in ALWAYS:
            return None
        if self.rates is not None and (wait := self.rates.asks(scope)):
            return 429, "TooOften", f"Too many requests from this address: try again in {wait} seconds.", wait
        if self.key is None or scope["path"] in OPEN:
            return None
        tried = brings_key(headers)
        if tried and self.rates is not None and (wait := self.rates.tries_key(scope)):
            return 429, "TooManyKeys", f"Too many wrong keys from this address: try again in {wait} seconds.", wait
        if admits(self.key, headers):
            return None
        if tried and self.rates is not None:
            self.rates.was_wrong(scope)
        return 401, "NoKey", "This installation asks for its key: send it as `Authorization: Bearer KEY`.", 0

    def _foreign(self, host: str, headers: dict[str, str]) -> bool:
        """Whether the browser says that another site asked."""
        origin = headers.get("origin")
        elsewhere = origin is not None and origin.partition("://")[2] != host
        return headers.get("sec-fetch-site", "none") not in ("same-origin", "none") or elsewhere


def _name(host: str) -> str:
    """The host name without its port: 'localhost:8000' → 'localhost', '[::1]:8000' → '[::1]'."""
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0].lower()


def _with_headers(send: Send, request_id: str) -> Send:
    too_large = False

    async def sender(message: Message) -> None:
        nonlocal too_large
        if message["type"] == "http.response.start":
            headers: list[Any] = list(message.get("headers", ()))
            # Starlette's body limit answers in plain text; everything we say to a program is JSON.
            too_large = message["status"] == 413 and (b"content-type", b"application/json") not in headers
            if too_large:
                headers = _too_large(request_id)[1]
            headers += [*INERT, (b"x-request-id", request_id.encode())]
            message = {**message, "headers": headers}
        elif too_large and message["type"] == "http.response.body":
            message = {"type": "http.response.body", "body": _too_large(request_id)[0]}
        await send(message)

    return sender


def _too_large(request_id: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    detail = "The request is larger than this server accepts (LIKENESS_MAX_UPLOAD_MB)."
    return as_json("TooLarge", detail, request_id)
