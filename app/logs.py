"""The log: lines for people, or JSON for machines (`LIKENESS_LOG`), each with the request or job it belongs to."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

request_id: ContextVar[str] = ContextVar("request_id", default="")
job_id: ContextVar[int | None] = ContextVar("job_id", default=None)
EXTRA = ("method", "route", "status", "ms", "kind", "collection", "state", "seconds")  # what our own lines may carry


@contextmanager
def during_job(number: int) -> Iterator[None]:
    """Whatever is logged meanwhile belongs to this job."""
    token = job_id.set(number)
    try:
        yield
    finally:
        job_id.reset(token)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said = {"time": when, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        said |= _context(record)
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        context = " ".join(f"{name}={value}" for name, value in _context(record).items())
        said = f"{record.levelname} {record.name}: {record.getMessage()}{' ' + context if context else ''}"
        return f"{said}\n{self.formatException(record.exc_info)}" if record.exc_info else said


def _context(record: logging.LogRecord) -> dict[str, Any]:
    found = {name: getattr(record, name) for name in EXTRA if hasattr(record, name)}
    if request_id.get():
        found["request_id"] = request_id.get()
    if job_id.get() is not None:
        found["job_id"] = job_id.get()
    return found


def set_up(style: Literal["text", "json"]) -> None:
    """For a process: everything to stderr. Text is warnings and jobs; JSON is every request, too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if style == "json" else _Text())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("alembic", "httpx", "httpcore", "uvicorn", "watchfiles", "faiss"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("likeness.requests").setLevel(logging.INFO if style == "json" else logging.WARNING)
