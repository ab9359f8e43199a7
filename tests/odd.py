"""Odd files, from a seed: what lies in real folders beside sound pictures, and what a stranger might send."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, features

from model.images import FORMATS
from tests.pictures import NAMES, encoded, picture

STRANGE = (
    *(
        b"caf\xe9.jpg",
        b"two\nlines.jpg",
        b"-rf.jpg",
        b"dots...jpg",
        b"a" * 251 + b".jpg",
        b"tab\there.jpg",
        b"no ending",
    ),
    *("مرحبا.jpg".encode(), "\u202egpj.exe".encode(), "🐈.jpg".encode(), b"semi;colon & $(touch x).jpg"),
    *(b"%2e%2e%2f.jpg", b"quote'\".jpg"),
)


@dataclass(frozen=True)
class Odd:
    """One file. `good`: it must come in (True), must be refused (False), or either may happen (None)."""

    name: bytes
    data: bytes
    good: bool | None


def write_odd_files(folder: Path, count: int, seed: int) -> list[Odd]:
    """Write `count` odd files below `folder`; the same seed gives the same files."""
    folder.mkdir(parents=True)
    made = []
    for odd in odd_files(seed):
        made.append(odd)
        with open(bytes(folder) + b"/" + odd.name, "wb") as file:
            file.write(odd.data)
        if len(made) == count:
            return made
    raise AssertionError


def odd_files(seed: int) -> Iterator[Odd]:
    """Every fixed kind once, then mutations for ever. No two names are alike."""
    chance = random.Random(seed)
    for number, odd in enumerate(_fixed(chance)):
        yield Odd(b"%03d " % number + odd.name if odd.name not in STRANGE else odd.name, odd.data, odd.good)
    number = 0
    while True:
        number += 1
        form = FORMATS[number % len(FORMATS)]
        data = _small(chance, form)
        if number % 3 == 0:  # a sound picture among them
            yield Odd(b"sound %04d.%s" % (number, form.lower().encode()), data, True)
        elif number % 3 == 1:
            changed = bytearray(data)
            for _ in range(chance.randint(1, 20)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            yield Odd(b"mutated %04d.%s" % (number, form.lower().encode()), bytes(changed), None)
        else:
            cut = len(data) * chance.randint(1, 9) // 10
            yield Odd(b"cut %04d.%s" % (number, form.lower().encode()), data[:cut], None)


def _fixed(chance: random.Random) -> Iterator[Odd]:
    sound = _small(chance, "JPEG")
    for tenth in range(1, 10):
        yield Odd(b"cut at %d tenths.jpg" % tenth, sound[: len(sound) * tenth // 10], False)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("cat.jpg", sound)
    for name, data in {
        "empty": b"",
        "one byte": b"\xff",
        "text": b"Dear diary\n" * 9,
        "html": b"<!doctype html><script>alert(1)</script>",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "pdf": b"%PDF-1.7\n1 0 obj\n",
        "zip": zipped.getvalue(),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "psd": b"8BPS\0\1" + b"\0" * 60,
        "fits": b"SIMPLE  =                    T".ljust(2880),
        "zeros": b"\0" * 5000,
        "header bomb": _png_header(60_000, 60_000),
        "wide bomb": _png_header(2**31 - 1, 1),
        "no size": _png_header(0, 0),
        "bmp bomb": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, *[0] * 6),
    }.items():
        yield Odd(f"{name}.jpg".encode(), data, False)
    yield Odd(b"a png called.jpg", _small(chance, "PNG"), True)
    yield Odd(b"a jpeg called.png", _small(chance, "JPEG"), True)
    yield Odd(b"one byte short.jpg", _small(chance, "JPEG")[:-1], True)
    yield Odd(b"duplicate.jpg", sound, True)
    yield Odd(b"duplicate again.jpg", sound, True)
    yield Odd(b"real and large.jpg", encoded(Image.new("RGB", (10_000, 8_000), "teal"), quality=50), True)
    yield Odd(b"dot.png", encoded(Image.new("RGB", (1, 1), "red"), "PNG"), True)
    yield Odd(b"line.png", encoded(Image.new("RGB", (1, 10_000), "red"), "PNG"), True)
    frames = [picture(name, 40) for name in ("cat", "coffee", "rocket")]
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        moving = encoded(frames[0], form, save_all=True, append_images=frames[1:])
        yield Odd(f"moving.{form.lower()}".encode(), moving, True)
    for mode in ("CMYK", "YCbCr", "L"):
        yield Odd(f"{mode}.jpg".encode(), encoded(picture("cat", 50).convert(mode)), True)
    ycck = bytearray(encoded(picture("coffee", 50).convert("CMYK")))
    ycck[ycck.index(b"Adobe") + 11] = 2  # how its four channels are meant: luminance, two colours, black
    yield Odd(b"YCCK.jpg", bytes(ycck), True)
    seen = picture("cat", 50).quantize(16)
    yield Odd(b"palette and alpha.png", encoded(seen, "PNG", transparency=bytes(range(0, 256, 16))), True)
    for compression in (None, "lzw", "zlib"):
        colours = np.asarray(picture("cat", 50), np.uint16) * 20 + len(compression or "")
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, colours, photometric="rgb", compression=compression)
        yield Odd(f"16-bit colour {compression}.tif".encode(), buffer.getvalue(), True)
    yield Odd(b"16-bit colour.png", imagecodecs.png_encode(colours + 1), True)
    yield Odd(b"damaged colour.tif", buffer.getvalue()[:-200], None)
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        shown = picture("cat", 50)
        deep = Image.fromarray(np.asarray(shown.convert("L"), np.uint16) * 200)
        yield Odd(f"{mode}.png".encode(), encoded(deep if mode == "I;16" else shown.convert(mode), "PNG"), True)
    grey = np.asarray(picture("moon", 50).convert("L"), np.float32)
    strange = np.where(grey > 200, np.nan, np.where(grey < 9, np.inf, grey / 1e6)).astype(np.float32)
    for name, values in {"float": grey / 1e6, "with NaN": strange, "flat": np.zeros((9, 9), np.float32)}.items():
        yield Odd(f"{name}.tif".encode(), encoded(Image.fromarray(values), "TIFF"), True)
    if features.check("libtiff"):
        yield Odd(b"fax.tif", encoded(picture("cat", 50).convert("1"), "TIFF", compression="group4"), True)
    for profile in (b"junk", b"\0" * 200):
        yield Odd(b"broken profile %d.jpg" % len(profile), encoded(picture("cat", 50), icc_profile=profile), True)
    for turned in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turned
        yield Odd(b"held %d.jpg" % turned, encoded(picture("cat", 50), exif=exif, quality=80 + turned), True)
    for exif in (b"Exif\0\0junk", b"<script>alert(1)</script>", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40):
        yield Odd(b"exif %d.jpg" % len(exif), encoded(picture("coffee", 50), exif=exif), True)
    restarts = bytearray(encoded(picture("cat", 200), restart_marker_blocks=4))
    at = [i for i in range(len(restarts) - 1) if restarts[i] == 0xFF and 0xD0 <= restarts[i + 1] <= 0xD7]
    for i in at[5:8]:
        restarts[i + 1] = 0xD0 + (restarts[i + 1] + 3) % 8
    yield Odd(b"restart markers.jpg", bytes(restarts), None)
    for number, name in enumerate(STRANGE):
        yield Odd(name, encoded(picture("rocket", 40 + number)), True)


def _small(chance: random.Random, form: str) -> bytes:
    """A sound picture unlike any before."""
    image = picture(chance.choice(NAMES), chance.randint(24, 60))
    left = chance.randint(0, image.width // 3)
    return encoded(image.crop((left, chance.randint(0, 5), image.width, image.height)), form)


def _png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
