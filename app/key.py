"""The key that lets people and programs in, where `LIKENESS_API_KEY` is set.

A program sends it with every request (`Authorization: Bearer KEY`, or `X-API-Key: KEY`). A person types it once, at
/sign-in, and their browser keeps a cookie: it follows from the key, so a new key ends every session, and does not give
the key away. Everything is compared in constant time.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from app.rate import Rates

SIGN_IN = "/sign-in"
ALWAYS = frozenset({"/v1/health", "/_stcore/health"})  # answered to everybody, and say nothing about the data
OPEN = ALWAYS | {SIGN_IN}  # answered without a key
COOKIE = "likeness"
LONGEST_FORM = 4096  # bytes
PAUSE = 1.0  # seconds before a wrong key is answered, so that few can be tried
_PAGE = Path(__file__).parent / "sign_in.html"


def session_of(key: str) -> str:
    """What the cookie of a person who knows `key` holds."""
    return hmac.new(key.encode(), b"likeness page", "sha256").hexdigest()


def brings_key(headers: Mapping[str, str]) -> bool:
    """Whether a request with these headers tries a key, right or wrong."""
    return "authorization" in headers or "x-api-key" in headers


def admits(key: str, headers: Mapping[str, str]) -> bool:
    """Whether a request with these headers (names in small letters) brings the key, or the cookie that follows."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    sent = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        cookie = None
    held = cookie.value if cookie else ""
    # Both always, so that the time says nothing about which was wrong.
    return _same(sent, key) | _same(held, session_of(key))


def sign_in_route(key: str, rates: Rates) -> Route:
    """The page where a person types the key; outside Streamlit, which must not see anyone without it."""

    async def sign_in(request: Request) -> Response:
        leads_to = _own_path(request.query_params.get("next", "/"))
        if request.method == "GET":
            return _page(leads_to)
        if wait := rates.tries_key(request.scope):
            return _page(
                leads_to, f"Too many wrong keys: try again in {wait} seconds.", 429, {"Retry-After": str(wait)}
            )
        form = await _form(request)
        if form is None or not _same(form, key):
            rates.was_wrong(request.scope)
            await asyncio.sleep(PAUSE)
            return _page(leads_to, "This is not the key. Whoever started Likeness set it as LIKENESS_API_KEY.", 401)
        answer = RedirectResponse(leads_to, status_code=303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, session_of(key), httponly=True, samesite="strict", secure=secure)
        return answer

    return Route(SIGN_IN, sign_in, methods=["GET", "POST"])


def sign_in_url(path: str, query: str) -> str:
    """Where a person without the cookie is sent; from there they come back."""
    return f"{SIGN_IN}?next={quote(path + ('?' + query if query else ''), safe='')}"


async def _form(request: Request) -> str | None:
    """The key that was typed; None when the form is longer than a key can make it."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            return None
    return parse_qs(body.decode("utf-8", "replace")).get("key", [""])[0].strip()


def _page(
    leads_to: str, problem: str = "", status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
) -> HTMLResponse:
    text = _PAGE.read_text().replace("{action}", f"{SIGN_IN}?next={quote(leads_to, safe='')}")
    policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    return HTMLResponse(
        text.replace("{problem}", f'<p role="alert">{problem}</p>' if problem else ""),
        status_code=status,
        headers={"Content-Security-Policy": policy, "Cache-Control": "no-store", **headers},
    )


def _own_path(path: str) -> str:
    """`path` when it is one of ours, else the front page: a link must not lead elsewhere by way of us."""
    own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if own else "/"


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
