"""The connection to the API: how a request is sent, and what is raised when it fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self
from urllib.parse import quote

import httpx

from ui.answers import Job

DEFAULT_URL = "http://127.0.0.1:8001"

Filter = Mapping[str, Any]  # class, predicted, min_probability, folder, taken_from, taken_to, camera, labelled, ...


class ApiError(Exception):
    """The API said no. `detail` is the sentence to show, `error` the name to test for ("NoSuchCollection").

    `said` has the sentence's own name and values, for other languages.
    """

    def __init__(
        self,
        status: int,
        error: str,
        detail: str,
        request_id: str | None = None,
        said: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.error, self.detail, self.request_id, self.said = status, error, detail, request_id, said


class Unreachable(ApiError):
    """Nothing answers at this address (status 0)."""

    def __init__(self, base_url: str, reason: str) -> None:
        super().__init__(
            0, "Unreachable", f"Likeness does not answer at {base_url} ({reason}). Is `likeness serve` running?"
        )


class JobFailed(ApiError):
    """The job that was waited for failed or was cancelled; `job` is its last state."""

    def __init__(self, job: Job) -> None:
        said = job["error"] or f"The {job['kind']} job {job['id']} was {job['state']}."
        super().__init__(0, "JobFailed", said)
        self.job = job


class Connection:
    """Requests to one API, with the installation's key where it has one. Safe to share between threads."""

    def __init__(self, base_url: str = DEFAULT_URL, timeout: float = 60.0, key: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        # trust_env off: a proxy in the environment must not come between this machine and itself.
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=self.base_url, timeout=timeout, trust_env=False, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @staticmethod
    def _of(collection: str, rest: str = "") -> str:
        """The path of something in a collection; its name may hold spaces, marks or any letter."""
        return f"/v1/collections/{quote(collection, safe='')}" + (f"/{rest}" if rest else "")

    def _send(self, method: str, path: str, **body: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **body)
        except httpx.TimeoutException as error:
            raise Unreachable(self.base_url, "no answer in time") from error
        except httpx.TransportError as error:
            raise Unreachable(self.base_url, "connection refused or lost") from error
        if response.is_success:
            return response
        try:
            said = response.json()
            raise ApiError(
                response.status_code, said["error"], said["detail"], said.get("request_id"), said.get("said")
            )
        except (ValueError, KeyError, TypeError, AttributeError):  # an answer that is not ours, from a proxy in between
            detail = f"{self.base_url} answered {response.status_code} {response.reason_phrase} to {method} {path}."
            raise ApiError(response.status_code, "UnexpectedAnswer", detail) from None

    def _call(self, method: str, path: str, **body: Any) -> Any:
        response = self._send(method, path, **body)
        return response.json() if response.content else None

    def _pages(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """The items of every page of a list."""
        offset = 0
        while True:
            page = self._call("GET", path, params={**(params or {}), "offset": offset, "limit": 500})
            yield from page["items"]
            offset += len(page["items"])
            if not page["items"] or offset >= page["total"]:
                return


def in_url(filter: Filter | None) -> dict[str, Any]:
    """A filter as it is written in a URL: absent keys left out, true and false in lower case."""
    given = {key: value for key, value in (filter or {}).items() if value is not None}
    return {key: str(value).lower() if isinstance(value, bool) else value for key, value in given.items()}
