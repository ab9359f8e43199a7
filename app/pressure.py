"""Too much at once: what is let in, what has to wait, and what is told to come back later.

Bodies are spooled to disk as they come, so they cost no memory; decoding a picture costs up to a gigabyte for a moment,
so only a few are decoded at once. Whoever finds no place is answered 503 with `Retry-After`, at once or after a short
wait, and health is answered always. A client that sends its body too slowly, or not at all, loses its place.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problem import as_json, request_id
from model.errors import LikenessError

IN_FLIGHT = 512  # requests at once, events that are listened to among them
BODIES = 32  # bodies that arrive at once, of those that are large or do not say how large they are
LARGE = 1 << 20  # bytes, from which on a body is spooled to disk
GRACE, SLOWEST = 30.0, 1000  # seconds for nothing, then bytes a second on average: a body that comes slower is given up
DECODERS = max(2, min(4, os.cpu_count() or 1))  # pictures decoded at once by one process
WAITING, PATIENCE = 16, 10.0  # who may wait for a decoder, and for how many seconds
COME_BACK = 2  # seconds, what `Retry-After` says
ALWAYS = frozenset({"/v1/health"})


class Overloaded(LikenessError):
    """More was asked for at once than this machine can do; nothing is wrong with the request."""

    def __init__(self) -> None:
        super().__init__(f"Too many requests at once: try again in {COME_BACK} seconds.")


class Gate:
    """At most `places` threads at once inside `with gate.place():`; a few wait for a moment, the others are refused."""

    def __init__(self, places: int = DECODERS, waiting: int = WAITING, patience: float = PATIENCE) -> None:
        self._places, self._waiting = threading.BoundedSemaphore(places), threading.BoundedSemaphore(waiting)
        self._patience = patience

    @contextmanager
    def place(self) -> Iterator[None]:
        """Raises `Overloaded` when too many wait already, or none of the places was free in time."""
        if not self._places.acquire(blocking=False):
            if not self._waiting.acquire(blocking=False):
                raise Overloaded
            try:
                if not self._places.acquire(timeout=self._patience):
                    raise Overloaded
            finally:
                self._waiting.release()
        try:
            yield
        finally:
            self._places.release()


class Pressure:
    """ASGI middleware: bounds the requests in flight and the bodies that arrive, and gives up bodies that do not."""

    def __init__(self, app: ASGIApp, in_flight: int = IN_FLIGHT, bodies: int = BODIES) -> None:
        self.app, self.in_flight, self.bodies = app, in_flight, bodies
        self._requests = self._arriving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self.app(scope, receive, send)
            return
        body = _Body(receive, _is_large(scope))
        if self._requests >= self.in_flight or (body.counts and self._arriving >= self.bodies):
            await _refuse(scope, send)
            return
        self._requests += 1
        self._arriving += body.counts
        body.arrived = self._has_arrived
        try:
            await self.app(scope, body.receive, send)
        finally:
            self._requests -= 1
            body.done()

    def _has_arrived(self) -> None:
        self._arriving -= 1


class _Body:
    """The body of one request, while it comes."""

    def __init__(self, receive: Receive, counts: bool) -> None:
        self._receive, self.counts, self.arrived = receive, counts, lambda: None
        self._complete, self._bytes, self._waited = False, 0, 0.0

    async def receive(self) -> Message:
        if self._complete:  # what comes now is the client's leaving, for which we wait as long as it takes
            return await self._receive()
        since = time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), GRACE + self._bytes / SLOWEST - self._waited)
        except TimeoutError:
            detail = "The request came too slowly and was given up: send it again; an upload goes on where it was."
            raise HTTPException(408, detail) from None
        self._waited += time.monotonic() - since  # only our waiting for them, not theirs for us
        self._bytes += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._complete = True
            self.done()
        return message

    def done(self) -> None:
        """It takes no place any more. May be called again."""
        if self.counts:
            self.counts = False
            self.arrived()


def _is_large(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    size = headers.get(b"content-length", b"")
    return int(size) > LARGE if size.isdigit() else b"transfer-encoding" in headers


async def _refuse(scope: Scope, send: Send) -> None:
    body, headers = as_json("Overloaded", str(Overloaded()), request_id(scope))
    headers.append((b"retry-after", str(COME_BACK).encode()))
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
