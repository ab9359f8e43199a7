"""TIFFs as science writes them: deep samples, many channels, and slides that are too large to be held in memory.

tifffile finds the pieces (tiles or strips) in which a picture lies, imagecodecs unpacks them; those that a region needs
are read, and no others.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from model.deep import Deep, Levels, levels, on_white, reader, seen, stretched
from model.errors import CannotDecode
from model.progress import Line

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MOST_IN_A_PIECE = 360_000_000  # bytes, unpacked, of a slide: as much as the largest picture we decode whole
KEPT = 192 << 20  # bytes of pieces lately unpacked: neighbouring regions need them again
SAMPLED = 64 << 20  # bytes of pieces from which black and white are chosen
_STRIP = 4 << 20  # bytes of rows read at a time from a picture that is not packed at all
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_ORIENTATION, _PROFILE = 274, 34675
_NO_PICTURE = Line("no_picture_tiff", "holds what is no picture: volumes, complex or no numbers")
_DEEP_INK = Line("deep_ink", "has more than 8 bits in CMYK or a palette: save it as RGB")
_TURNED = Line("turned_slide", "is stored turned or mirrored: save it upright to cut tiles from it")


def _damaged(why: str) -> Line:
    return Line("damaged_tiff", "damaged TIFF ({why})", why=why)


def is_tiff(head: bytes) -> bool:
    return head[:4] in MAGIC


def is_deep_tiff(image: Image.Image) -> bool:
    """Whether Pillow opened a TIFF of which it would drop the lower half of every colour."""
    if image.format != "TIFF":
        return False
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    return max(tags.get(258, (1,))) > 8 and tags.get(277, 1) > 1 and tags.get(262) in (0, 1, 2)


@contextmanager
def opened_tiff(file: BinaryIO, source: str, said: Image.Exif | None = None) -> Iterator[Tiff]:
    """A TIFF by its pieces. `said` is its EXIF when Pillow can read it. Whatever goes wrong is a `CannotDecode`."""
    tifffile = reader("tifffile", source)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it remarks on a damaged file
    file.seek(0)
    try:
        with tifffile.TiffFile(file, name="a picture") as opened:
            yield Tiff(opened, source, said)
    except CannotDecode:
        raise
    except Exception as error:  # tifffile raises TiffFileError, struct.error, KeyError, ...; codecs their own
        raise CannotDecode(source, _damaged(str(error) or type(error).__name__)) from error


class Tiff(Deep):
    """One page at a time, as RGB in front of white."""

    format = "TIFF"

    def __init__(self, opened: Any, source: str, said: Image.Exif | None) -> None:
        super().__init__(Image.Exif() if said is None else said, None)
        self.opened, self.source = opened, source
        self.seek(0)

    @property
    def n_frames(self) -> int:
        return len(self.opened.pages)

    def seek(self, number: int) -> None:
        self.page = page = self.opened.pages[number]
        if page.imagedepth != 1 or not page.dtype or page.dtype.kind not in "buif":
            raise CannotDecode(self.source, _NO_PICTURE)
        self._samples = int(page.samplesperpixel)
        alphas = [n for n, kind in enumerate(page.extrasamples) if kind in (1, 2)]
        first_extra = self._samples - len(page.extrasamples)
        self._alpha = first_extra + alphas[0] if alphas else None
        self._mixed = bool(alphas) and page.extrasamples[alphas[0]] == 1  # "associated": multiplied in already
        self._colours = 3 if self._samples - bool(alphas) >= 3 else 1
        if page.photometric == _CMYK:
            self._colours, self._alpha = 4, None
        elif page.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR):
            colours = Line("other_colours", "has colours we do not read ({which})", which=str(page.photometric))
            raise CannotDecode(self.source, colours)
        bits = page.bitspersample
        self._whole = 1.0 if page.dtype.kind == "f" else float(2**bits - 1)  # full scale
        self.is_deep = bits > 8 or page.dtype.kind in "if"
        if self.is_deep and page.photometric in (_PALETTE, _CMYK):
            raise CannotDecode(self.source, _DEEP_INK)
        self._orientation = int(tag.value) if (tag := page.tags.get(_ORIENTATION)) is not None else 1
        self.profile = bytes(tag.value) if (tag := page.tags.get(_PROFILE)) is not None else None
        wide, high = page.imagewidth, page.imagelength
        self.size = (high, wide) if self._orientation in (5, 6, 7, 8) else (wide, high)
        self._kept: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._levels: Levels | None = None
        self._lay_out(wide, high)

    def _lay_out(self, wide: int, high: int) -> None:
        """How the picture lies in pieces: `_piece` is their (height, width), `_grid` how many lie down and across."""
        page = self.page
        self._planes = self._samples if page.planarconfig == 2 else 1
        in_row = wide * (self._samples // self._planes) * page.dtype.itemsize
        self._plain = page.is_final and page.bitspersample == 8 * page.dtype.itemsize
        if self._plain:  # as one long strip, of which any rows can be read
            self._piece = (min(high, max(1, _STRIP // max(in_row, 1))), wide)
        elif page.is_tiled:
            self._piece = (page.tilelength, page.tilewidth)
        else:
            self._piece = (min(page.rowsperstrip, high), wide)
        self._grid = -(-high // self._piece[0]), -(-wide // self._piece[1])

    @property
    def bytes_in_a_piece(self) -> int:
        return self._piece[0] * self._piece[1] * self._samples * int(self.page.dtype.itemsize)

    def upright(self) -> Image.Image:
        wide, high = self.page.imagewidth, self.page.imagelength
        return self.turned(self._pixels((0, 0, wide, high)), self._orientation)

    def region(self, box: tuple[int, int, int, int]) -> Image.Image:
        """The part inside `box` (x0, y0, x1, y1), px, of a page that was not turned."""
        if self._orientation != 1:
            raise CannotDecode(self.source, _TURNED)
        if self.bytes_in_a_piece > MOST_IN_A_PIECE:
            size = self.bytes_in_a_piece >> 20
            packed = "is packed in pieces of {n:,} MB: save it in tiles or narrow strips"
            raise CannotDecode(self.source, Line("large_pieces", packed, n=size))
        return self.turned(self._pixels(box), 1)

    def _pixels(self, box: tuple[int, int, int, int]) -> np.ndarray:
        """(height, width, 3) uint8 of a box, from the pieces that lie below it."""
        left, top, right, bottom = box
        result = np.empty((bottom - top, right - left, 3), np.uint8)
        tall, wide = self._piece
        for down in range(top // tall, -(-bottom // tall)):
            for across in range(left // wide, -(-right // wide)):
                piece = self._rgb(down, across)
                y, x = down * tall, across * wide
                inside = piece[max(top - y, 0) : bottom - y, max(left - x, 0) : right - x]
                y, x = max(y - top, 0), max(x - left, 0)
                result[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
        return result

    def _rgb(self, down: int, across: int) -> np.ndarray:
        """One piece as (h, w, 3) uint8, the latest ones from memory."""
        place = (down, across)
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        if self.is_deep and self._levels is None:
            self._levels = self._chosen_levels()
        values = self._values(down, across)
        colours, alpha = self._split(values)
        if self.page.photometric == _PALETTE:
            colours = np.moveaxis(self.page.colormap, 0, -1)[colours[..., 0]] >> 8
        elif self.page.photometric == _CMYK:
            colours = np.asarray(Image.fromarray(np.ascontiguousarray(colours), "CMYK").convert("RGB"))
        elif self._levels is not None:
            colours = stretched(colours, self._levels)
        else:
            colours = (colours.astype(np.uint16) * 255 // int(self._whole)).astype(np.uint8)
        if self.page.photometric == _WHITE_IS_ZERO:
            colours = 255 - colours
        pixels = on_white(colours.astype(np.uint8), alpha, self._whole, self._mixed)
        self._kept[place] = pixels
        while sum(piece.nbytes for piece in self._kept.values()) > KEPT and len(self._kept) > 1:
            self._kept.popitem(last=False)
        return pixels

    def _chosen_levels(self) -> Levels:
        """Black and white of the whole page, from pieces spread evenly over it: neighbouring tiles must look alike."""
        down, across = self._grid
        count = max(1, min(down * across, SAMPLED // max(self.bytes_in_a_piece, 1)))
        chosen = np.unique(np.linspace(0, down * across - 1, count).astype(int))
        values = np.concatenate([seen(*self._split(self._values(*divmod(int(n), across)))) for n in chosen])
        return levels(values, by_channel=self.page.photometric != _RGB)

    def _split(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Colours (h, w, C) and transparency (h, w, 1) of samples (h, w, S)."""
        alpha = None if self._alpha is None else values[..., self._alpha : self._alpha + 1]
        return values[..., : self._colours], alpha

    def _values(self, down: int, across: int) -> np.ndarray:
        """The samples (h, w, S) of one piece."""
        high = min(self._piece[0], self.page.imagelength - down * self._piece[0])
        wide = min(self._piece[1], self.page.imagewidth - across * self._piece[1])
        read = self._read_plain if self._plain else self._unpacked
        planes = [read(plane, down, across, high) for plane in range(self._planes)]
        values = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)
        if values.shape[0] < high or values.shape[1] < wide or values.shape[2] != self._samples:
            raise CannotDecode(self.source, _damaged("a piece of it is too short"))
        return values[:high, :wide]

    def _read_plain(self, plane: int, down: int, across: int, high: int) -> np.ndarray:
        """Rows of a page that is not packed."""
        page = self.page
        depth = self._samples // self._planes
        in_row = page.imagewidth * depth * page.dtype.itemsize
        start = page.dataoffsets[0] + in_row * (plane * page.imagelength + down * self._piece[0])
        dtype = page.dtype.newbyteorder(self.opened.byteorder)
        data = self._bytes(start, in_row * high)
        return np.frombuffer(data, dtype).reshape(high, page.imagewidth, depth)

    def _unpacked(self, plane: int, down: int, across: int, high: int) -> np.ndarray:
        """One tile or strip, through its codec."""
        page = self.page
        number = (plane * self._grid[0] + down) * self._grid[1] + across
        offset, size = page.dataoffsets[number], page.databytecounts[number]
        if size > 2 * self.bytes_in_a_piece + (1 << 20):
            raise CannotDecode(self.source, _damaged(f"a piece claims {size:,} bytes"))
        data = self._bytes(offset, size) if size else None
        segment, _, _ = page.decode(data, number, jpegtables=page.jpegtables, _fullsize=True)
        if segment is None:  # a sparse file: nothing was written here
            depth = self._samples // self._planes
            return np.zeros((*self._piece, depth), page.dtype)
        return np.asarray(segment[0])

    def _bytes(self, start: int, size: int) -> bytes:
        file = self.opened.filehandle
        file.seek(start)
        data = file.read(size)
        if len(data) < size:
            raise CannotDecode(self.source, _damaged("it ends too early"))
        return bytes(data)
