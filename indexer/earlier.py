"""Previews as earlier versions made them of small JPEGs, which are their own now: the same pixels as PNG, or fewer.

A file into which a tag was written is known by its preview; these differ though no pixel did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import Connection, select

from indexer.home import Home
from indexer.missing import is_gone
from indexer.schema import contents
from model.errors import CannotDecode
from model.images import OWN_TIMES, PREVIEW_SIDE, decode, preview_of

Size = tuple[int, int]  # px, of the picture


class Earlier:
    """Of the files that a scan lacks, those that show the pixels of a file that is new."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._small: dict[Size, list[Any]] | None = None  # rows of files the scan lacks, by the size of their pictures
        self._gone: dict[Size, dict[str, Any]] = {}  # of them those whose file is gone, by hashes of what they show

    def of(self, connection: Connection, unseen: Mapping[str, Any], sha256: str, looks: tuple[Any, ...]) -> Any | None:
        """The row of `unseen` whose file is gone and had these pixels, under a preview made otherwise.

        Pictures are opened only where a file is gone whose picture was of the same size.
        """
        _, suffix, width, height = looks
        if suffix != "jpg" or min(width, height) > OWN_TIMES * PREVIEW_SIDE:
            return None
        gone = self._gone_of_size(connection, unseen, (width, height))
        pixels = _pixels(self.home, sha256, suffix) if gone else None
        if pixels is None or pixels.size != (width, height):
            return None
        return gone.get(_hash(pixels)) or gone.get(_hash_when_smaller(pixels))

    def _gone_of_size(self, connection: Connection, unseen: Mapping[str, Any], size: Size) -> dict[str, Any]:
        if self._small is None:
            self._small, rows = {}, {row.sha256: row for row in unseen.values()}
            query = select(contents.c.sha256, contents.c.width, contents.c.height)
            most = OWN_TIMES * PREVIEW_SIDE
            small = (contents.c.width <= most) | (contents.c.height <= most)
            for sha256, width, height in connection.execute(query.where(small, contents.c.format == "JPEG")):
                if sha256 in rows:
                    self._small.setdefault((width, height), []).append(rows[sha256])
        if size not in self._gone:
            found = self._gone[size] = {}
            for row in self._small.pop(size, ()):
                if is_gone(bytes(row.path)):
                    found[row.preview_sha256] = row
                    if row.preview_suffix == "png" and (pixels := _pixels(self.home, row.sha256, "png")) is not None:
                        found[_hash(pixels)] = row
        return self._gone[size]


def same_pixels(home: Home, old: Any, sha256: str, looks: tuple[Any, ...]) -> bool:
    """Whether only something beside the pixels changed: a tag was written into the file."""
    if old.preview_sha256 == looks[0]:
        return True
    size = old.width, old.height
    if size != looks[2:]:
        return False
    before, after = _pixels(home, old.sha256, old.preview_suffix), _pixels(home, sha256, looks[1])
    if before is None or after is None or after.size != size:
        return False
    if before.size == after.size:  # neither lost a pixel, however they are packed
        return bool(np.array_equal(np.asarray(before), np.asarray(after)))
    return _hash_when_smaller(after) == old.preview_sha256


def _pixels(home: Home, sha256: str, suffix: str) -> Image.Image | None:
    try:
        return decode(home.preview(sha256, suffix).read_bytes(), "preview")
    except (OSError, CannotDecode):
        return None


def _hash(pixels: Image.Image) -> str:
    return hashlib.sha256(np.asarray(pixels).tobytes()).hexdigest()


def _hash_when_smaller(pixels: Image.Image) -> str:
    """Of the preview that earlier versions made of a middling JPEG."""
    made = preview_of(pixels, "preview", PREVIEW_SIDE, pixels.size, ("JPEG", None, None, None))
    return hashlib.sha256(made.data).hexdigest()
