"""What a program is told when something is wrong: one JSON object, whoever says it."""

from __future__ import annotations

import errno
import json
from collections.abc import MutableMapping
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the quota, or what one file may be


def request_id(scope: MutableMapping[str, Any]) -> str:
    """The number that the guard gave the request; empty before it did."""
    return str(scope.get("state", {}).get("request_id", ""))


def as_dict(error: str, detail: str, number: str, said: dict[str, Any] | None = None) -> dict[str, Any]:
    """`error` is a name for programs, `detail` one sentence for a person, `number` the request's.

    `said` has the sentence's own name and its values, for other languages.
    """
    answer: dict[str, Any] = {"error": error, "detail": detail, "request_id": number}
    return answer if said is None else {**answer, "said": said}


def as_json(error: str, detail: str, number: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body, and the headers that say what it is: for those who answer before any framework does."""
    body = json.dumps(as_dict(error, detail, number)).encode()
    return body, [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
