"""The parts of a file that are pictures of their own: the pages of a TIFF, and square tiles of a large picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from PIL import Image

from model import exif
from model.deep import Deep
from model.errors import CannotDecode
from model.images import MAX_PIXELS, Preview, make_preview, opened, png_of, preview_of, upright_of
from model.progress import Line
from model.tiff import is_tiff, opened_tiff

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
        facts = _facts(image)
        for page, number in _pages(image, pages, source):
            upright = _page(image, number, source)
            if not (tile or page):  # the whole file, after all
                yield page, make_preview(data, source, side)
            elif not tile:
                yield page, preview_of(upright, source, side, upright.size, facts)
            for box in _boxes(upright.size, tile, source) if tile else ():
                cut = upright.crop(box)
                yield {**page, "box": list(box)}, preview_of(cut, source, side, cut.size, facts)


def is_slide(file: BinaryIO, source: str, most_bytes: int) -> bool:
    """Whether this is a TIFF too large to be decoded whole, or of more than `most_bytes`: its tiles are read singly."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not is_tiff(file.read(4)):
        return False
    try:
        with opened_tiff(file, source) as tiff:
            return size > most_bytes or tiff.width * tiff.height > MAX_PIXELS
    except CannotDecode:  # Pillow reads some that tifffile does not, and says what is wrong with the others
        return False


def previews_of_slide(file: BinaryIO, source: str, side: int, tile: int, pages: bool) -> Iterator[tuple[Part, Preview]]:
    """The previews of the tiles of a slide, in order. Only what lies below a row of tiles is in memory at a time."""
    with opened_tiff(file, source) as tiff:
        facts = _facts(tiff)
        for page, number in _pages(tiff, pages, source):
            tiff.seek(number)
            for box in _boxes(tiff.size, tile, source):
                cut = tiff.region(box)
                yield {**page, "box": list(box)}, preview_of(cut, source, side, cut.size, facts)


def cut_from_slide(file: BinaryIO, source: str, part: Part) -> bytes:
    """The pixels of a tile of a slide at full size, as PNG."""
    with opened_tiff(file, source) as tiff:
        tiff.seek(part.get("page", 0))
        return png_of(tiff.region(tuple(part["box"])))


def cut_out(data: bytes, source: str, part: Part) -> bytes:
    """The pixels of a part at full size, as PNG."""
    with opened(data, source) as image:
        upright = _page(image, part.get("page", 0), source)
        if (box := part.get("box")) is not None:
            upright = upright.crop(tuple(box))
        return png_of(upright)


def _page(image: Image.Image | Deep, number: int, source: str) -> Image.Image:
    """One page as upright RGB; each has a size of its own to check."""
    if number:
        image.seek(number)
        if image.width * image.height > MAX_PIXELS:
            reason = Line("large_page", "page {n} is more than {most:,} pixels", n=number, most=MAX_PIXELS)
            raise CannotDecode(source, reason)
    return upright_of(image)


def _facts(image: Image.Image | Deep) -> tuple[str, str | None, str | None, tuple[float, float] | None]:
    said = image.getexif()
    return str(image.format), *exif.tags(said)


def _pages(image: Image.Image | Deep, every: bool, source: str) -> list[tuple[Part, int]]:
    """The pages to look at: what they are called, and their number."""
    count = getattr(image, "n_frames", 1) if every and image.format == "TIFF" else 1
    if count > MAX_PARTS:
        raise CannotDecode(source, Line("many_pages", "has {n:,} pages, more than {most:,}", n=count, most=MAX_PARTS))
    return [({"page": number} if count > 1 else {}, number) for number in range(count)]


def _boxes(size: tuple[int, int], tile: int, source: str) -> list[tuple[int, int, int, int]]:
    across, down = (-(-length // tile) for length in size)
    if across * down > MAX_PARTS:  # before they are listed: a header may claim any size
        reason = Line("many_tiles", "would make {n:,} tiles, more than {most:,}", n=across * down, most=MAX_PARTS)
        raise CannotDecode(source, reason)
    return tiles(*size, tile)
