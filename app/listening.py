"""How page and API listen: a connection that says nothing is closed, a head must be short, and stopping is graceful.

The server below us (uvicorn) waits for the head of a request as long as the client likes, and keeps as much of it as
the client sends: some hundred silent connections would use up what one process may open.
"""

from __future__ import annotations

import asyncio
import secrets
from asyncio.events import TimerHandle
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.problem import as_json

HEAD_WITHIN = 15.0  # seconds from the connection, or the last answer, to a whole head
LONGEST_HEAD = 64 << 10  # bytes
# Seconds that a connection may be idle after an answer. Longer than those who call us keep one (httpx, which the page
# is: 5): where both give it up at the same moment, a request is sent on a connection that is being closed, and is lost.
IDLE_WITHIN = 20
FINISH_WITHIN = 5  # seconds that running requests have after SIGTERM


class Patience(HttpToolsProtocol):
    """HTTP/1.1 with an end to its patience."""

    _deadline: TimerHandle | None = None
    _head = 0  # bytes of the head so far

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._deadline is not None and not self.transport.is_closing():
            self._head += len(data)  # of a head that never ends, too
            if self._head > LONGEST_HEAD:
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._end_deadline()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > LONGEST_HEAD:
            self._head = LONGEST_HEAD + 1
            raise ValueError("the head is too long")  # answered by `send_400_response`
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """In JSON, as everything we say to a program."""
        status, error, detail = b"400 Bad Request", "BadRequest", "This is no HTTP request."
        if self._head > LONGEST_HEAD:
            status, error = b"431 Request Header Fields Too Large", "TooLarge"
            detail = f"The head of a request may have {LONGEST_HEAD >> 10} KB."
        body, headers = as_json(error, detail, secrets.token_hex(8))
        lines = [b"HTTP/1.1 " + status, *(b": ".join(each) for each in headers), b"connection: close", b"", body]
        self.transport.write(b"\r\n".join(lines))
        self._end_deadline()
        self.transport.close()

    def _expect_head(self) -> None:
        self._end_deadline()
        self._head = 0
        self._deadline = self.loop.call_later(HEAD_WITHIN, self.timeout_keep_alive_handler)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def listen(app: Any, host: str, port: int) -> None:
    """Serve an ASGI app until SIGTERM; requests that run then are finished first."""
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=Patience,
        ws="websockets-sansio",
        log_level="warning",
        log_config=None,  # `logs.set_up` has done it
        server_header=False,
        timeout_keep_alive=IDLE_WITHIN,
        timeout_graceful_shutdown=FINISH_WITHIN,
    )
