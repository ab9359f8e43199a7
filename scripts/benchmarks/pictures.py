"""Made-up photographs, for benchmarks that need many pictures and no particular ones.

Real photographs have a spectrum that falls with the frequency (Field, 1987) and edges. These have both, so a JPEG of
them is about as large, and as dear to decode, as one of a photograph.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

GROUND = 1024  # px, side of the textures that pictures are cut from
GROUNDS = 4
SMALL = 64  # px: pictures up to this side are kept without loss, as import keeps them


def make_pictures(folder: Path, count: int, side: int, seed: int = 0) -> list[Path]:
    """Write `count` pictures of shorter side `side` px into `folder`, in the format and quality of our previews."""
    folder.mkdir(parents=True)
    grounds = [texture(np.random.default_rng([seed, number])) for number in range(GROUNDS)]

    def write(number: int) -> Path:
        rng = np.random.default_rng([seed, GROUNDS + number])
        image = picture(grounds[int(rng.integers(GROUNDS))], side, rng)
        path = folder / f"{number:06}.{'png' if side <= SMALL else 'jpg'}"
        if side <= SMALL:
            image.save(path, compress_level=1)
        else:
            image.save(path, quality=92, subsampling=0)
        return path

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets go of the interpreter while it works
        return list(pool.map(write, range(count)))


def make_photographs(folder: Path, distinct: int, side: int, count: int, seed: int = 0) -> list[Path]:
    """`count` JPEG files of `distinct` photographs as a camera or the web gives them: quality 90, colour at half size,
    some noise. Behind the first `distinct` come the same pixels with other comments: files of their own to whoever
    imports them, at a hundredth of the time that making photographs takes.
    """
    folder.mkdir(parents=True)
    grounds = [texture(np.random.default_rng([seed, number])) for number in range(GROUNDS)]
    width, height = round(side * 4 / 3), side
    grain = np.random.default_rng(seed).normal(0, 4, (height, width, 1)).astype(np.int16)

    def path(number: int) -> Path:
        return folder / f"{number:06}.jpg"

    def write(number: int) -> None:
        rng = np.random.default_rng([seed, GROUNDS + number])
        clean = np.asarray(picture(grounds[int(rng.integers(GROUNDS))], side, rng), np.int16)
        noisy = (clean + np.roll(grain, number * 7, axis=1)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(path(number), quality=90)
        jpeg = path(number).read_bytes()
        for copy in range(number + distinct, count, distinct):
            path(copy).write_bytes(commented(jpeg, f"copy {copy}"))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, range(distinct)))
    return [path(number) for number in range(count)]


def commented(jpeg: bytes, text: str) -> bytes:
    """The same JPEG with a comment behind its start."""
    return jpeg[:2] + b"\xff\xfe" + (2 + len(text)).to_bytes(2, "big") + text.encode() + jpeg[2:]


def texture(rng: np.random.Generator) -> Image.Image:
    """A GROUND-sized square of colour noise whose amplitude falls with the frequency; lightness varies most."""
    frequency = np.hypot(np.fft.fftfreq(GROUND)[:, None], np.fft.rfftfreq(GROUND)[None, :])
    frequency[0, 0] = np.inf  # no mean: the colour of the whole is added below
    phases = np.exp(2j * np.pi * rng.random((3, *frequency.shape)))
    noise = np.fft.irfft2(phases / frequency**1.2, s=(GROUND, GROUND))  # (3, GROUND, GROUND)
    light, *colours = noise / noise.std(axis=(1, 2), keepdims=True)
    channels = [light + 0.25 * sum(w * c for w, c in zip(rng.normal(size=2), colours, strict=True)) for _ in range(3)]
    pixels = np.stack(channels, axis=2) * 40 + rng.uniform(90, 160, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGB")


def picture(ground: Image.Image, side: int, rng: np.random.Generator) -> Image.Image:
    """A cut of `ground`, 4:3, with a few shapes in front of it that have texture of their own and sharp edges."""
    width, height = round(side * 4 / 3), side
    image = _cut(ground, width, height, rng)
    for _ in range(int(rng.integers(1, 5))):
        mask = Image.new("L", (width, height))
        points = (rng.normal(rng.random(2), 0.2, (int(rng.integers(3, 7)), 2)) * (width, height)).round()
        if rng.random() < 0.5:
            (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
            ImageDraw.Draw(mask).ellipse((left, top, right, bottom), fill=255)
        else:
            ImageDraw.Draw(mask).polygon([(x, y) for x, y in points], fill=255)
        if rng.random() < 0.3:  # some things are out of focus
            mask = mask.filter(ImageFilter.GaussianBlur(side / 60))
        tint = Image.new("RGB", (width, height), tuple(int(c) for c in rng.integers(0, 256, 3)))
        image.paste(Image.blend(_cut(ground, width, height, rng), tint, float(rng.uniform(0.3, 0.8))), mask=mask)
    return image


def _cut(ground: Image.Image, width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """A random piece of `ground`, brought to (width, height): near or far, so coarse or fine."""
    part = float(rng.uniform(0.3, 0.7)) * GROUND  # px, of the height
    wide = part * width / height
    left, top = rng.uniform(0, GROUND - wide), rng.uniform(0, GROUND - part)
    return ground.resize((width, height), Image.Resampling.BILINEAR, box=(left, top, left + wide, top + part))
