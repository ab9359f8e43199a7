"""Pictures: bring them in, list them, take them out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ui.answers import Image, Job, Page
from ui.calls.connection import Connection, Filter, in_url


class Pictures(Connection):
    """The pictures of a collection."""

    def upload(self, collection: str, paths: Iterable[str | Path], tile: int = 0, pages: str = "first") -> Job:
        """Send pictures and zips, as one request; `send` takes any number of any size and can be gone on with.

        `tile` cuts them into squares of so many px, `pages` is first or all: each a picture of its own.
        """
        with contextlib.ExitStack() as files:
            parts = [("files", (Path(path).name, files.enter_context(open(path, "rb")))) for path in paths]
            options = {"tile": tile, "pages": pages}
            return self._call("POST", self._of(collection, "images"), files=parts, data=options)

    def begin_upload(self, collection: str) -> str:
        """Begin an upload that `send` fills; its id."""
        return str(self._call("POST", self._of(collection, "uploads"))["upload"])

    def send(self, upload: str, paths: Iterable[str | Path], tile: int = 0, pages: str = "first") -> Job:
        """Send files of any number and size one by one, and import them; their common folder is not told.

        Broken off, call it again with the same paths: it goes on. `tile` and `pages` are those of `upload`.
        """
        have = {file["name"]: file for file in self._call("GET", f"/v1/uploads/{upload}")["files"]}
        found = [Path(path).absolute() for path in paths]
        common = os.path.commonpath([path.parent for path in found]) if found else ""
        for path in found:
            name, size = path.relative_to(common).as_posix(), path.stat().st_size
            before = have.get(name, {"received": 0, "complete": False})
            if before["complete"]:
                continue
            with open(path, "rb") as file:
                file.seek(before["received"])
                params = {"name": name, "size": size, "offset": before["received"]}
                chunks = iter(lambda: file.read(1 << 20), b"")
                self._call("PUT", f"/v1/uploads/{upload}/file", params=params, content=chunks)
        return self._call("POST", f"/v1/uploads/{upload}/finish", json={"tile": tile, "pages": pages})

    def import_path(
        self,
        collection: str,
        path: str | Path,
        labels_from_folders: bool = False,
        exclude: Iterable[str] = (),
        tile: int = 0,
        pages: str = "first",
        retry: bool = False,
    ) -> Job:
        """Import a folder, a file or a zip that the *server* can see. Files stay where they are and are only read.

        With `retry` files that were refused are opened again, though they are as they were.
        """
        body = {"path": str(path), "labels_from_folders": labels_from_folders, "exclude": list(exclude)}
        body |= {"tile": tile, "pages": pages, "retry": retry}
        return self._call("POST", self._of(collection, "imports"), json=body)

    def images(
        self, collection: str, offset: int = 0, limit: int = 100, sort: str = "newest", filter: Filter | None = None
    ) -> Page[Image]:
        """A page of pictures; `sort` is newest, oldest, name or random."""
        params = {"offset": offset, "limit": limit, "sort": sort, **in_url(filter)}
        return self._call("GET", self._of(collection, "images"), params=params)

    def all_images(self, collection: str, filter: Filter | None = None) -> Iterator[Image]:
        """Every picture that matches, oldest first, fetched page by page."""
        return self._pages(self._of(collection, "images"), {"sort": "oldest", **in_url(filter)})

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
