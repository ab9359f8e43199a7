"""Sixteen bits a colour, floats and many channels: stretched as grey ones are, where Pillow would cut off half."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from model import deep
from model.errors import CannotDecode
from model.images import decode, make_preview
from model.parts import previews_of_parts

WIDTH, HEIGHT = 90, 60


def colours(top: int = 1200) -> np.ndarray:
    """(H, W, 3) uint16 with a gradient of its own in each colour, all of them far below 65,535."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    ramps = x / WIDTH, y / HEIGHT, (x + y) / (WIDTH + HEIGHT)
    return (200 + (top - 200) * np.stack(ramps, axis=-1)).astype(np.uint16)


def shown_of(values: np.ndarray, by_channel: bool = False) -> np.ndarray:
    """What must be seen: the 0.5th to 99.5th percentile on 0 to 255."""
    low, high = np.percentile(values, (0.5, 99.5), axis=(0, 1) if by_channel else None)
    return ((values - low) * 255 / (high - low)).clip(0, 255)


def tiff(values: np.ndarray, **how) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **({"photometric": "rgb"} | how))
    return buffer.getvalue()


def png(values: np.ndarray, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """A PNG of (H, W, C) uint16 samples, made by hand."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[-1]]

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    passes = [(0, 0, 1, 1)]
    if interlaced:  # Adam7
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(
        b"\0" + row.astype(">u2").tobytes() for y, x, down, across in passes for row in values[y::down, x::across]
    )
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, interlaced)
    packed = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + packed + chunk(b"IEND", b"")


def off(data: bytes, truth: np.ndarray) -> float:
    """The largest difference between the decoded picture and what it should be, in grey levels."""
    return float(np.abs(np.asarray(decode(data, "x"), np.float32) - truth).max())


PACKED = {
    "plain": {},
    "in strips": {"rowsperstrip": 7},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "LZW": {"compression": "lzw"},
    "LZW with a predictor, big-endian": {"compression": "lzw", "predictor": True, "byteorder": ">"},
    "deflate": {"compression": "zlib", "predictor": True},
    "zstd": {"compression": "zstd"},
    "tiles": {"tile": (16, 32), "compression": "zlib"},
    "planes": {"planarconfig": "separate"},
    "planes, LZW": {"planarconfig": "separate", "compression": "lzw"},
    "planes, tiles": {"planarconfig": "separate", "compression": "zlib", "tile": (16, 32)},
}


@pytest.mark.parametrize("how", PACKED.values(), ids=PACKED)
def test_a_tiff_of_sixteen_bits_a_colour_is_stretched_however_it_is_packed(how):
    values = colours()
    laid = np.moveaxis(values, -1, 0) if "planarconfig" in how else values

    data = tiff(laid, **how)

    preview = make_preview(data, "x")
    assert off(data, shown_of(values)) <= 1
    assert (preview.format, preview.width, preview.height, preview.suffix) == ("TIFF", WIDTH, HEIGHT, "png")


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_of_sixteen_bits_a_colour_is_stretched(interlaced):
    values = colours()

    data = png(values, interlaced)

    assert off(data, shown_of(values)) <= 1
    assert make_preview(data, "x").format == "PNG"


@pytest.mark.parametrize("write", [png, lambda v: tiff(v, extrasamples=["unassalpha"])], ids=["PNG", "TIFF"])
def test_deep_transparency_becomes_white_and_does_not_count_for_the_stretch(write):
    values = np.dstack([colours(), np.full((HEIGHT, WIDTH), 65_535, np.uint16)])
    values[:20] = 0
    values[20:30, :, 3] = 32_768

    found = np.asarray(decode(write(values), "x"), np.float32)

    low, high = np.percentile(values[20:, :, :3], (0.5, 99.5))
    truth = ((values[..., :3] - low) * 255 / (high - low)).clip(0, 255)
    assert (found[:20] == 255).all()
    assert np.abs(found[30:] - truth[30:]).max() <= 1
    assert np.abs(found[20:30] - (truth[20:30] + 255) / 2).max() <= 2


def test_deep_grey_with_transparency_is_shown():
    grey = colours()[..., :1]
    values = np.dstack([grey, np.full_like(grey, 65_535)])
    kinds = {"photometric": "minisblack", "extrasamples": ["unassalpha"], "planarconfig": "contig"}

    for data in (png(values), tiff(values, **kinds)):
        assert off(data, shown_of(grey)) <= 1


def test_the_transparent_colour_of_a_deep_png_becomes_white():
    values = colours()
    values[:10] = (7, 8, 9)
    body = struct.pack(">HHH", 7, 8, 9)
    clear = struct.pack(">I", 6) + b"tRNS" + body + struct.pack(">I", zlib.crc32(b"tRNS" + body))

    found = np.asarray(decode(png(values, extra=clear), "x"))

    assert (found[:10] == 255).all()
    assert np.abs(found[10:] - shown_of(values[10:])).max() <= 1


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "uint32", "int16"])
def test_numbers_of_every_kind_are_shown_in_grey_and_in_colour(kind):
    values = colours().astype(kind)
    how = {"photometric": "minisblack"}

    assert off(tiff(values), shown_of(values)) <= 1
    assert off(tiff(values[..., 0], **how), shown_of(values[..., :1])) <= 1


def test_channels_that_are_no_colours_are_each_stretched_by_themselves():
    values = np.concatenate([colours(), 30 * colours()], axis=-1) * np.array([1, 9, 40, 1, 1, 1], np.uint16)

    data = tiff(values, photometric="minisblack", planarconfig="contig")

    assert off(data, shown_of(values[..., :3], by_channel=True)) <= 1


def test_what_is_no_number_is_no_reason_to_refuse_a_picture():
    values = colours().astype(np.float32)
    values[0, :5], values[1, :5] = np.nan, np.inf

    shown = np.asarray(decode(tiff(values), "x"), np.float32)

    assert np.abs(shown - shown_of(colours()))[2:].max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_tiff_held_in_any_way_is_upright_with_its_date_and_camera(orientation):
    values = colours()
    text = [(306, "s", 0, "2024:05:31 18:30:00", True), (272, "s", 0, "Zeiss", True)]
    data = tiff(values, extratags=[(274, "H", 1, orientation, True), *text], software=False, metadata=None)

    preview = make_preview(data, "x")

    held = Image.fromarray(shown_of(values).astype(np.uint8))
    turns = [None, *(Image.Transpose(n) for n in (0, 3, 1, 5, 4, 6, 2))]  # what makes each upright
    upright = held if (turn := turns[orientation - 1]) is None else held.transpose(turn)
    assert (preview.width, preview.height) == upright.size
    assert off(data, np.asarray(upright, np.float32)) <= 1
    assert (preview.taken_at, preview.camera) == ("2024-05-31T18:30:00", "Zeiss")


def test_each_page_of_a_deep_tiff_is_a_picture():
    pages = [colours(), colours()[::-1].copy(), colours()[:, ::-1].copy()]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in pages:
            writer.write(page, photometric="rgb", contiguous=False)

    found = [np.asarray(decode(p.data, "x")) for _, p in previews_of_parts(buffer.getvalue(), "x", 320, 0, True)]

    assert len(found) == 3
    assert all(np.abs(got - shown_of(page)).max() <= 1 for got, page in zip(found, pages, strict=True))


def test_a_deep_picture_too_large_is_refused_by_its_header():
    values = np.zeros((16, 16, 3), np.uint16)
    data = bytearray(tiff(values))
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        for tag in (256, 257):
            at = opened.pages[0].tags[tag].valueoffset
            data[at : at + 2] = struct.pack("<H", 60_000)

    with pytest.raises(CannotDecode, match="60000x60000 is more than 120,000,000 pixels: import it with --tile"):
        make_preview(bytes(data), "x")


def test_what_a_deep_tiff_lacks_is_said():
    data = tiff(colours(), compression="lzw", rowsperstrip=20)

    for cut in (data[: len(data) // 2], data[:300]):
        with pytest.raises(CannotDecode, match="x: damaged"):
            make_preview(cut, "x")
    with pytest.raises(CannotDecode, match="complex"):
        make_preview(tiff(colours().astype(np.complex64), photometric="minisblack"), "x")


def test_a_machine_without_the_readers_says_which_one_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)

    with pytest.raises(CannotDecode, match="can only be read with tifffile: install it"):
        make_preview(tiff_before, "x")
    with pytest.raises(CannotDecode, match="can only be read with imagecodecs: install it"):
        make_preview(png(colours()), "x")


tiff_before = tiff(colours())


def test_a_large_picture_is_stretched_in_parts_as_if_it_were_one(monkeypatch):
    values = colours()
    whole = deep.stretched(values, (210, 900))
    monkeypatch.setattr(deep, "ROWS", 1000)

    assert np.array_equal(deep.stretched(values, (210, 900)), whole)
