"""The parts of a file that are pictures of their own: the pages of a TIFF, and square tiles of a large picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from PIL import Image

from model import exif
from model.errors import CannotDecode
from model.images import MAX_PIXELS, Preview, opened, png_of, preview_of, upright_of

MAX_PARTS = 100_000  # of one file: a damaged TIFF may claim any number of pages
Part = dict[str, Any]  # {"page": 2}, {"box": [x0, y0, x1, y1]} in px of the upright picture, or both; {} is all of it


def tiles(width: int, height: int, side: int) -> list[tuple[int, int, int, int]]:
    """Boxes of `side` px that cover a picture; the last of a row or column begin earlier, so all are of one size."""
    across, down = ([*range(0, max(length - side, 0), side), max(length - side, 0)] for length in (width, height))
    return [(x, y, min(x + side, width), min(y + side, height)) for y in down for x in across]


def previews_of_parts(data: bytes, source: str, side: int, tile: int, pages: bool) -> Iterator[tuple[Part, Preview]]:
    """The previews of the parts, in order; one with the part {} when the file has one page and is not to be tiled.

    Grey levels of deep pictures are stretched over the whole page, so that neighbouring tiles look alike.
    """
    with opened(data, source) as image:
        said = image.getexif()
        facts = str(image.format), exif.taken_at(said), exif.camera(said), exif.position(said)
        count = getattr(image, "n_frames", 1) if pages and image.format == "TIFF" else 1
        if count > MAX_PARTS:
            raise CannotDecode(source, f"has {count:,} pages, more than {MAX_PARTS:,}")
        for number in range(count):
            page: Part = {"page": number} if count > 1 else {}
            upright = _page(image, number if pages else 0, source)
            boxes = tiles(*upright.size, tile) if tile else []
            if len(boxes) > MAX_PARTS:
                raise CannotDecode(source, f"would make {len(boxes):,} tiles, more than {MAX_PARTS:,}")
            if not tile:
                yield page, preview_of(upright, source, side, upright.size, facts)
            for box in boxes:
                cut = upright.crop(box)
                yield {**page, "box": list(box)}, preview_of(cut, source, side, cut.size, facts)


def cut_out(data: bytes, source: str, part: Part) -> bytes:
    """The pixels of a part at full size, as PNG."""
    with opened(data, source) as image:
        upright = _page(image, part.get("page", 0), source)
        if (box := part.get("box")) is not None:
            upright = upright.crop(tuple(box))
        return png_of(upright)


def _page(image: Image.Image, number: int, source: str) -> Image.Image:
    """One page as upright RGB; each has a size of its own to check."""
    if number:
        image.seek(number)
        if image.width * image.height > MAX_PIXELS:
            raise CannotDecode(source, f"page {number} is more than {MAX_PIXELS:,} pixels")
    return upright_of(image)
