"""Bytes to upright RGB, previews and the network's square: the only place that opens pictures.

Content decides what a file is, never its name. The size is read from the header and checked before any pixel exists.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageOps

from model import exif
from model.deep import Deep, DeepPng, is_deep_png, levels, stretched
from model.errors import CannotDecode
from model.jpeg import pixels_alone
from model.progress import Line
from model.tiff import is_deep_tiff, is_tiff, opened_tiff
from model.torn import mended

try:
    from pi_heif import register_heif_opener
except ImportError:  # a bare training machine reads previews, and those are JPEG and PNG
    _HEIF: tuple[str, ...] = ()
else:
    register_heif_opener(thumbnails=False)
    _HEIF = ("HEIF",)

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", *_HEIF)
MAX_PIXELS = 120_000_000  # decoded, that is 360 MB of RGB: the most memory one picture may take
TILE_IT = "import it with --tile"  # what `tiled` says, by which it is known again
LONGEST_JPEG = 65_500  # px, of either side: what the format can hold
PREVIEW_SIDE = 320
OWN_TIMES, OWN_BYTES = 2, 100_000  # a JPEG up to twice as large as a preview, and of so many bytes, is its own
ENOUGH = 1.9  # pixels that decoding keeps for one of the square: with many fewer the difference shows
# Part of every fingerprint: change it when a change below moves a vector by more than 1e-3, which is the tolerance.
PREVIEW_RECIPE = "rgb-lanczos-jpeg92-444"

EMPTY = Line("empty_file", "empty file")
NO_PICTURE = Line("no_picture", "not a picture in a format we read ({formats})", formats=", ".join(FORMATS))

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

Image.MAX_IMAGE_PIXELS = None  # Pillow only warns, and only at 89 MP; `opened` refuses before decoding instead


@dataclass(frozen=True)
class Preview:
    """What import keeps of a picture: an upright copy without EXIF, and what its header said."""

    data: bytes
    suffix: str  # "jpg", or "png" when the picture was small enough to keep without loss and is no JPEG
    width: int  # of the original, upright, px
    height: int
    format: str
    taken_at: str | None  # ISO 8601 local time, as the camera wrote it
    camera: str | None
    position: tuple[float, float] | None = None  # (latitude, longitude) in degrees: for filters, never in a preview
    square: np.ndarray | None = None  # (S, S, 3) uint8 of it for a network, where one was asked for


Squared = Callable[[Image.Image | Deep], np.ndarray]  # of a picture that is open: a network's square of it


def decode(data: bytes, source: str) -> Image.Image:
    """Return the first frame as upright RGB, at full size."""
    with opened(data, source) as image:
        return upright_of(image)


def decode_square(
    data: bytes, source: str, size: int, fit: str = "centre", interpolation: str = "bicubic", crop: float = 1.0
) -> np.ndarray:
    """`square` of the decoded picture, (size, size, 3) uint8, without decoding all of a large JPEG."""
    with opened(data, source) as image:
        return square_of(image, size, fit, interpolation, crop)


def square_of(
    image: Image.Image | Deep, size: int, fit: str = "centre", interpolation: str = "bicubic", crop: float = 1.0
) -> np.ndarray:
    """`decode_square` of a picture that is open, and of which no pixel has been read.

    A JPEG is read at the smallest DCT scale that keeps `ENOUGH` pixels for one of the square.
    """
    whole, drafted = image.size, None
    if isinstance(image, Image.Image) and image.format in ("JPEG", "MPO"):
        least = math.ceil(ENOUGH * size / crop)
        drafted = image.draft(None, (least, least))
    if isinstance(image, Deep) or drafted is None or image.size == whole:
        return square(upright_of(image), size, fit, interpolation, crop)
    # Turned at the end: the centre stays the centre, and here the picture's ragged edge is right and below.
    return np.asarray(upright_of(_scaled(image, size, fit, interpolation, drafted[1][2:], crop)))


def make_preview(data: bytes, source: str, side: int = PREVIEW_SIDE, squared: Squared | None = None) -> Preview:
    """Return the learning preview of a picture: shorter side `side` px, never enlarged, lossless when it was smaller.

    A small JPEG is its own preview, without what is beside its pixels. A large one is decoded at the smallest DCT scale
    that still covers `side` (a tenth of the time for 12 MP). `squared` makes the network's square of the preview, as
    whoever reads that later does: of its bytes, or of the file's own pixels where these are the preview's.
    """
    with opened(data, source) as image:
        width, height = image.size
        said = image.getexif()
        turned = said.get(exif.ORIENTATION, 1)
        # The camera was held sideways. Pillow's TIFF and HEIF readers turn by themselves and give the upright size.
        if image.format not in ("TIFF", "HEIF") and turned in (5, 6, 7, 8):
            width, height = height, width
        facts = str(image.format), *exif.tags(said)
        scale = side / min(image.size)
        if max(image.size) * min(scale, 1) > LONGEST_JPEG:  # before decoding: 9x4,000,000 px fit in 500 bytes
            raise CannotDecode(source, _too_narrow(width, height))
        own = None
        if isinstance(image, Image.Image) and image.format == "JPEG":
            if turned == 1 and image.mode in ("RGB", "L") and min(image.size) <= OWN_TIMES * side:
                own = _own(data)
            if own is not None:
                if squared is None:
                    image.draft(None, (1, 1))  # an eighth of the size: enough to find out whether all of it is there
                    image.load()
            elif scale < 1:
                image.draft("RGB", (round(image.width * scale + 0.5), round(image.height * scale + 0.5)))
        if own is not None:
            pixels = squared(image) if squared is not None else None
            return Preview(own, "jpg", width, height, *facts, square=pixels)
        preview = preview_of(upright_of(image), source, side, (width, height), facts)
    if squared is None:
        return preview
    with opened(preview.data, source) as small:
        return replace(preview, square=squared(small))


def read_tags(data: bytes, source: str) -> exif.Tags:
    """What its header says beside the pixels, which are not decoded."""
    with opened(data, source) as image:
        return exif.tags(image.getexif())


def _own(data: bytes) -> bytes | None:
    alone = pixels_alone(data)
    return alone if alone is not None and len(alone) <= OWN_BYTES else None


def preview_of(
    upright: Image.Image,
    source: str,
    side: int,
    size: tuple[int, int],
    facts: tuple[str, str | None, str | None, tuple[float, float] | None],
) -> Preview:
    """The preview of an upright RGB picture that is `size` px in full; `facts`: its format, date, camera, position."""
    width, height = size
    scale = side / min(size)
    if scale >= 1:
        return Preview(png_of(upright), "png", width, height, *facts)
    smaller = (max(side, round(width * scale)), max(side, round(height * scale)))
    if max(smaller) > LONGEST_JPEG:
        raise CannotDecode(source, _too_narrow(width, height))
    upright = upright.resize(smaller, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return Preview(_jpeg(upright, 92), "jpg", width, height, *facts)


def make_rendition(data: bytes, source: str, longest: int = 1440) -> bytes:
    """A JPEG for the eye: longest side at most `longest` px, upright, without EXIF."""
    image = decode(data, source)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _jpeg(image, 88)


def crop(data: bytes, source: str, box: tuple[float, float, float, float]) -> bytes:
    """The part of a picture inside `box` (x0, y0, x1, y1 as fractions of the upright picture), as PNG."""
    image = decode(data, source)
    x0, y0, x1, y1 = (round(f * s) for f, s in zip(box, (image.width, image.height) * 2, strict=True))
    return png_of(image.crop((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))))


def square(
    image: Image.Image, size: int, fit: str = "centre", interpolation: str = "bicubic", crop: float = 1.0
) -> np.ndarray:
    """Return (size, size, 3) uint8: the centre square of `image`, or all of it squeezed, scaled with antialiasing.

    Of that, `crop` of either side is kept, around the middle: what some networks were trained to see.
    """
    return np.asarray(_scaled(image, size, fit, interpolation, image.size, crop), dtype=np.uint8)


def _scaled(
    image: Image.Image, size: int, fit: str, interpolation: str, extent: tuple[float, float], crop: float = 1.0
) -> Image.Image:
    """`square` of the part (0, 0) to `extent`: the last row and column may stand for less than a whole pixel."""
    width, height = extent
    left, top = 0.0, 0.0
    if fit == "centre":
        short = min(extent)
        left, top = (width - short) / 2, (height - short) / 2
        width = height = short
    left, top = left + width * (1 - crop) / 2, top + height * (1 - crop) / 2
    width, height = width * crop, height * crop
    box = (left, top, left + width, top + height)
    return _rgb(image).resize((size, size), _RESAMPLING[interpolation], box=box)


@contextmanager
def opened(data: bytes, source: str) -> Iterator[Image.Image | Deep]:
    """Open by content, check the size, and turn whatever a decoder raises into one `CannotDecode`."""
    said: Image.Exif | None = None
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_size(image, source)
            if image.format in ("JPEG", "MPO") and (torn := mended(data)) is not None:
                with Image.open(io.BytesIO(torn), formats=FORMATS) as nearly:
                    yield nearly
                return
            if is_deep_png(data):
                yield DeepPng(data, image, source)
                return
            if not is_deep_tiff(image):
                yield image
                return
            said = image.getexif()
    except CannotDecode:
        raise
    except Image.UnidentifiedImageError as error:
        if not is_tiff(data):
            raise CannotDecode(source, NO_PICTURE if data else EMPTY) from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, RuntimeError, TypeError, ...
        why = str(error) or type(error).__name__
        raise CannotDecode(source, Line("damaged", "damaged picture ({why})", why=why)) from error
    with opened_tiff(io.BytesIO(data), source, said) as tiff:
        check_size(tiff, source)
        yield tiff


def check_size(image: Image.Image | Deep, source: str) -> None:
    """Raise `CannotDecode` for more pixels than memory is meant for; the header says how many, before there are any."""
    if image.width * image.height > MAX_PIXELS:
        width, height = image.size
        many = Line("many_pixels", "{w}x{h} is more than {most:,} pixels", w=width, h=height, most=MAX_PIXELS)
        raise CannotDecode(source, tiled(many) if image.format == "TIFF" else many)


def tiled(reason: Line) -> Line:
    """A reason that cutting a TIFF into tiles would do away with."""
    return Line("tile_it", f"{{why}}: {TILE_IT} (on the page: Options)", why=reason)


def _too_narrow(width: int, height: int) -> Line:
    return Line("too_narrow", "{w}x{h} is too long and narrow for a preview", w=width, h=height)


def upright_of(image: Image.Image | Deep) -> Image.Image:
    """Decode, turn upright by EXIF, and bring every mode to RGB; transparency becomes white."""
    if isinstance(image, Deep):
        return image.upright()
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        return _stretched(upright)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        return Image.alpha_composite(white, upright).convert("RGB")
    return _rgb(upright)


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")  # Pillow would copy it


def _stretched(image: Image.Image) -> Image.Image:
    """Grey 16-bit and float pictures, so that a microscope's can be seen."""
    values = np.asarray(image)  # (H, W)
    return Image.fromarray(stretched(values, levels(values))).convert("RGB")


def _jpeg(image: Image.Image, quality: int) -> bytes:
    return _saved(image, "JPEG", quality=quality, subsampling=0)


def png_of(image: Image.Image) -> bytes:
    """RGB as PNG, a third of Pillow's time: each row as its difference from the one above, runs and Huffman codes."""
    pixels = np.asarray(image)  # (H, W, 3)
    height, width, _ = pixels.shape
    flat = pixels.reshape(height, width * 3)
    rows = np.empty((height, 1 + width * 3), np.uint8)
    rows[:, 0] = 2  # the filter "up"
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    packed = packer.compress(rows.tobytes()) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    if profile := image.info.get("icc_profile"):
        chunks.append((b"iCCP", b"profile\0\0" + zlib.compress(profile)))
    chunks += [(b"IDAT", packed), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _saved(image: Image.Image, format_name: str, **options: int) -> bytes:
    """The bytes of a picture and its colour profile; Pillow would carry a comment over from the original."""
    image.info = {key: value for key, value in image.info.items() if key == "icc_profile"}
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()
