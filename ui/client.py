"""The Python client of Likeness. The page uses it, and so can any program that has httpx.

    from ui.client import Likeness

    likeness = Likeness("http://127.0.0.1:8001")
    likeness.create_collection("holiday")
    likeness.wait(likeness.upload("holiday", ["beach.jpg", "pictures.zip"]))
    likeness.wait(likeness.index("holiday"))
    for hit in likeness.search_file("holiday", "sunset.jpg", limit=10)["hits"]:
        print(f"{hit['score']:.3f}  {hit['image']['name']}")
    likeness.label("holiday", [1, 2, 3], "beach")
    likeness.label("holiday", [7, 8, 9], "mountain")
    print(likeness.probe("holiday")["accuracy"])

Every method is one request to `/v1` and returns its JSON as a plain dict, whose keys `ui/answers.py` names. Long work
(upload, import_path, index, train) answers at once with a job: `wait` returns it when it has finished.

Exceptions:

    ApiError        the API answered with an error; str() is one sentence for a person
    ├ Unreachable   nobody answered at that address, or not in time
    └ JobFailed     raised by `wait`: the job ended without succeeding
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx

from ui.answers import Class, Collection, Found, Image, Job, Model, Page, Pairs, Probe

DEFAULT_URL = "http://127.0.0.1:8001"
FINISHED = frozenset({"succeeded", "failed", "cancelled"})

Answer = Literal["yes", "no", "unsure", "none"]
Filter = Mapping[str, Any]  # class, predicted, min_probability, folder, taken_from, taken_to, camera, labelled, ...


class ApiError(Exception):
    """The API said no. `detail` is the sentence to show, `error` the name to test for ("NoSuchCollection")."""

    def __init__(self, status: int, error: str, detail: str, request_id: str | None = None) -> None:
        super().__init__(detail)
        self.status, self.error, self.detail, self.request_id = status, error, detail, request_id


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


class Likeness:
    """A connection to the API, with the installation's key where it has one. Safe to share between threads; close it or
    use it in a `with` block.
    """

    def __init__(self, base_url: str = DEFAULT_URL, timeout: float = 60.0, key: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        # trust_env off: a proxy in the environment must not come between this machine and itself.
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=self.base_url, timeout=timeout, trust_env=False, headers=headers)

    def __enter__(self) -> Likeness:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # --- collections

    def ready(self) -> bool:
        """True when the server can work; ApiError says why not."""
        return bool(self._call("GET", "/v1/ready")["ready"])

    def collections(self) -> list[Collection]:
        """Every collection."""
        return list(self._pages("/v1/collections"))

    def collection(self, collection: str) -> Collection:
        """One collection with its counts and its next step."""
        return self._call("GET", self._of(collection))

    def create_collection(self, name: str) -> Collection:
        """Make an empty collection; ApiError "CollectionExists" when there is one of that name."""
        return self._call("POST", "/v1/collections", json={"name": name})

    def change_collection(self, collection: str, **changes: str | None) -> Collection:
        """Change `name`, `preset` or `active_model`."""
        return self._call("PATCH", self._of(collection), json=changes)

    def delete_collection(self, collection: str) -> None:
        """Delete a collection with its labels. Files in your own folders are never touched."""
        self._call("DELETE", self._of(collection))

    # --- pictures in

    def upload(self, collection: str, paths: Iterable[str | Path]) -> Job:
        """Send pictures and zips, as one request; `send` takes any number of any size and can be gone on with."""
        with contextlib.ExitStack() as files:
            parts = [("files", (Path(path).name, files.enter_context(open(path, "rb")))) for path in paths]
            return self._call("POST", self._of(collection, "images"), files=parts)

    def begin_upload(self, collection: str) -> str:
        """Begin an upload that `send` fills; its id."""
        return str(self._call("POST", self._of(collection, "uploads"))["upload"])

    def send(self, upload: str, paths: Iterable[str | Path]) -> Job:
        """Send files of any number and size one by one, and import them; their common folder is not told.

        Broken off, call it again with the same paths: it goes on.
        """
        have = {file["name"]: file["received"] for file in self._call("GET", f"/v1/uploads/{upload}")["files"]}
        found = [Path(path).absolute() for path in paths]
        common = os.path.commonpath([path.parent for path in found]) if found else ""
        for path in found:
            name, size = path.relative_to(common).as_posix(), path.stat().st_size
            with open(path, "rb") as file:
                file.seek(have.get(name, 0))
                if have.get(name) != size or size == 0:
                    params = {"name": name, "size": size, "offset": have.get(name, 0)}
                    chunks = iter(lambda: file.read(1 << 20), b"")
                    self._call("PUT", f"/v1/uploads/{upload}/file", params=params, content=chunks)
        return self._call("POST", f"/v1/uploads/{upload}/finish")

    def import_path(
        self, collection: str, path: str | Path, labels_from_folders: bool = False, exclude: Iterable[str] = ()
    ) -> Job:
        """Import a folder, a file or a zip that the *server* can see. Files stay where they are and are only read."""
        body = {"path": str(path), "labels_from_folders": labels_from_folders, "exclude": list(exclude)}
        return self._call("POST", self._of(collection, "imports"), json=body)

    # --- jobs

    def jobs(self, collection: str | None = None, state: str | None = None, limit: int = 100) -> list[Job]:
        """The newest jobs first."""
        params = {"collection": collection, "state": state, "limit": limit}
        return self._call("GET", "/v1/jobs", params={k: v for k, v in params.items() if v is not None})["items"]

    def job(self, job: int) -> Job:
        """How a job stands."""
        return self._call("GET", f"/v1/jobs/{job}")

    def wait(
        self,
        job: Job | int,
        timeout: float | None = None,
        progress: Callable[[Job], None] | None = None,
        every: float = 0.3,
    ) -> Job:
        """Wait until a job has succeeded; JobFailed when it ended otherwise, TimeoutError after `timeout` seconds.

        `progress` is called with the job each time it is looked at, every `every` seconds.
        """
        number = job if isinstance(job, int) else job["id"]
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            now = self.job(number)
            if progress is not None:
                progress(now)
            if now["state"] in FINISHED:
                if now["state"] != "succeeded":
                    raise JobFailed(now)
                return now
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"Job {number} is still {now['state']} after {timeout:g} s: {now['message']}")
            time.sleep(every)

    def cancel(self, job: int) -> Job:
        """Stop a job; what it has committed stays."""
        return self._call("POST", f"/v1/jobs/{job}/cancel")

    def pause(self, job: int) -> Job:
        """Pause a job at its next checkpoint."""
        return self._call("POST", f"/v1/jobs/{job}/pause")

    def resume(self, job: int) -> Job:
        """Go on with a paused job."""
        return self._call("POST", f"/v1/jobs/{job}/resume")

    def metrics(self, job: int) -> list[dict[str, Any]]:
        """A training's rows so far: epoch, step, loss, learning_rate, views_per_s, quality."""
        return self._call("GET", f"/v1/jobs/{job}/metrics")["rows"]

    # --- pictures

    def images(
        self, collection: str, offset: int = 0, limit: int = 100, sort: str = "newest", filter: Filter | None = None
    ) -> Page[Image]:
        """A page of pictures; `sort` is newest, oldest, name or random."""
        params = {"offset": offset, "limit": limit, "sort": sort, **_in_url(filter)}
        return self._call("GET", self._of(collection, "images"), params=params)

    def all_images(self, collection: str, filter: Filter | None = None) -> Iterator[Image]:
        """Every picture that matches, oldest first, fetched page by page."""
        return self._pages(self._of(collection, "images"), {"sort": "oldest", **_in_url(filter)})

    def image(self, image: int) -> dict[str, Any]:
        """One picture, with its path and the history of its labels."""
        return self._call("GET", f"/v1/images/{image}")

    def preview(self, image: int) -> bytes:
        """The learning preview (shorter side 320) as JPEG or PNG bytes."""
        return self._send("GET", f"/v1/images/{image}/preview").content

    def remove(self, collection: str, images: Sequence[int]) -> int:
        """Take pictures out of a collection, for good; how many there were. Files in your own folders stay."""
        body = {"image_ids": list(images)}
        return self._call("POST", self._of(collection, "images/remove"), json=body)["removed"]

    # --- search

    def search(
        self,
        collection: str,
        positive: Sequence[int | str],
        negative: Sequence[int | str] = (),
        limit: int = 60,
        offset: int = 0,
        filter: Filter | None = None,
    ) -> Found:
        """The pictures most like `positive` and least like `negative`: image ids or query ids."""
        body = {"positive": list(positive), "negative": list(negative), "limit": limit, "offset": offset}
        return self._call("POST", self._of(collection, "search"), json={**body, "filter": dict(filter or {})})

    def query(self, collection: str, path: str | Path) -> str:
        """Make a query from a picture of your own, to search with; it is not added to the collection."""
        with open(path, "rb") as file:
            parts = {"file": (Path(path).name, file)}
            return self._call("POST", self._of(collection, "queries"), files=parts)["query_id"]

    def search_file(self, collection: str, path: str | Path, limit: int = 60) -> Found:
        """The pictures most like a file of your own."""
        return self.search(collection, [self.query(collection, path)], limit=limit)

    # --- labels and what they teach

    def classes(self, collection: str) -> list[Class]:
        """The classes, with how many pictures carry each and how many are predicted to."""
        return self._call("GET", self._of(collection, "classes"))["items"]

    def label(self, collection: str, images: Sequence[int], class_: str, answer: Answer = "yes") -> dict[str, int]:
        """Answer "is it `class_`?" for pictures; an unknown class is created, "none" takes the answer away."""
        body = {"image_ids": list(images), "class": class_, "answer": answer}
        return self._call("POST", self._of(collection, "labels"), json=body)

    def undo(self, collection: str) -> dict[str, Any]:
        """Take back the last labelling action, whole."""
        return self._call("POST", self._of(collection, "labels/undo"))

    def redo(self, collection: str) -> dict[str, Any]:
        """Do again what was undone."""
        return self._call("POST", self._of(collection, "labels/redo"))

    def suggestions(self, collection: str, limit: int = 20) -> list[dict[str, Any]]:
        """The pictures whose label would teach most, each with the reason."""
        return self._call("GET", self._of(collection, "suggestions"), params={"limit": limit})["items"]

    def probe(self, collection: str) -> Probe:
        """How well the labels predict; ApiError "TooFewLabels" says what is missing."""
        return self._call("GET", self._of(collection, "probe"))

    def predictions(
        self, collection: str, class_: str | None = None, offset: int = 0, limit: int = 100, min_probability: float = 0
    ) -> dict[str, Any]:
        """The predicted class of every picture, surest first; only those of `class_` when given."""
        params: dict[str, Any] = {"offset": offset, "limit": limit, "min_probability": min_probability}
        if class_ is not None:
            params["class"] = class_
        return self._call("GET", self._of(collection, "predictions"), params=params)

    def predict(self, collection: str, paths: Iterable[str | Path]) -> list[dict[str, Any]]:
        """Classify pictures of your own, without adding them: name, class, probability, probabilities."""
        with contextlib.ExitStack() as files:
            parts = [("files", (Path(path).name, files.enter_context(open(path, "rb")))) for path in paths]
            return self._call("POST", self._of(collection, "predict"), files=parts)["predictions"]

    # --- models

    def train(self, collection: str, **settings: Any) -> Job:
        """Learn what "alike" means here. Settings: init, backbone, epochs, batch_size, image_size, preset, adopt."""
        return self._call("POST", self._of(collection, "trainings"), json=settings)

    def finetune(self, collection: str, **settings: Any) -> Job:
        """Let the encoder learn from the labels, a hundred or more. Settings: loss, epochs, image_size, adopt, …"""
        return self._call("POST", self._of(collection, "finetunings"), json=settings)

    def pairs(self, collection: str, preset: str | None = None, seed: int = 0, count: int = 12) -> Pairs:
        """Pictures with two views of each: what training with this preset would call the same."""
        body = {"seed": seed, "count": count, **({"preset": preset} if preset else {})}
        return self._call("POST", self._of(collection, "pairs"), json=body)

    def index(self, collection: str, model: str | None = None) -> Job:
        """Compute the vectors that are missing and publish the index."""
        return self._call("POST", self._of(collection, "indexes"), json={"model": model} if model else {})

    def models(self) -> list[Model]:
        """Every encoder on this machine."""
        return self._call("GET", "/v1/models")["items"]

    def model(self, fingerprint: str) -> Model:
        """One encoder."""
        return self._call("GET", f"/v1/models/{fingerprint}")

    def report(self, fingerprint: str) -> dict[str, Any]:
        """How an encoder compares with the one it started from, on your own pictures."""
        return self._call("GET", f"/v1/models/{fingerprint}/report")

    # --- how it is sent

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
            raise ApiError(response.status_code, said["error"], said["detail"], said.get("request_id"))
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


def _in_url(filter: Filter | None) -> dict[str, Any]:
    """A filter as it is written in a URL: absent keys left out, true and false in lower case."""
    given = {key: value for key, value in (filter or {}).items() if value is not None}
    return {key: str(value).lower() if isinstance(value, bool) else value for key, value in given.items()}
