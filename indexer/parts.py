"""One file, several pictures: the pages of a TIFF, the tiles of a large picture. Each knows its parent and its place.

A part is an image of its own. Its content's id is a hash of the file's and of the place, its path the file's, "#" and
the place; its bytes are cut from the file whenever somebody asks for them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from model.errors import BadInput
from model.parts import Part
from model.progress import Line

SMALLEST_TILE, LARGEST_TILE = 16, 8192  # px


@dataclass(frozen=True)
class Cutting:
    """How files become pictures: whole (the default), page by page, or in square tiles of `tile` px."""

    tile: int = 0
    pages: bool = False

    def __post_init__(self) -> None:
        if 0 < self.tile < SMALLEST_TILE:
            words = "Tiles of {n} px show nothing: use {least} px or more."
            raise BadInput(Line("small_tiles", words, n=self.tile, least=SMALLEST_TILE))

    def __bool__(self) -> bool:
        return self.tile > 0 or self.pages


WHOLE = Cutting()


def part_id(sha256: str, part: Part) -> str:
    """The content id of a part of the file with this hash."""
    return hashlib.sha256(f"{sha256} {json.dumps(part, sort_keys=True)}".encode()).hexdigest()


def part_name(part: Part) -> str:
    """How a place is written behind a path or a name: `page=2`, `box=0,0,512,512`."""
    return "&".join(
        f"{key}={','.join(map(str, value)) if isinstance(value, list) else value}" for key, value in part.items()
    )


def file_of(path: bytes, part: Part | None) -> bytes:
    """The file in which a part lies; the path itself when it is no part."""
    return path[: -len("#" + part_name(part))] if part else path


def is_cut_so(part: Part, cutting: Cutting) -> bool:
    """Whether a part came of this cutting, and not of another one."""
    box = part.get("box")
    if cutting.tile == 0 or box is None:
        return cutting.tile == 0 and box is None
    width, height = box[2] - box[0], box[3] - box[1]
    return cutting.tile in (width, height) or (box[:2] == [0, 0] and max(width, height) < cutting.tile)
