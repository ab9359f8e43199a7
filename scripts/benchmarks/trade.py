"""The side at which pictures are encoded, and how those that are not square are prepared: gain beside cost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from model.errors import BadInput
from model.evaluate import places, precision_at
from model.images import decode, square
from model.info import FITS
from model.network import Start
from model.train_command import find_files
from scripts.benchmarks.calls import say
from scripts.benchmarks.labelled import Labelled, encoder_of
from scripts.benchmarks.table import Row, row

NEAR = 10
NOT_SQUARE = 1.1  # least long side over short side


def trade(each: Labelled, shipped: Start, sizes: Sequence[int], scratch: Path, device: str) -> Iterator[Row]:
    """precision@10 and pictures a second, from preview to vector, beside those of the preparation that ships."""
    own = shipped.preparation
    found: dict[int, tuple[float, float]] = {}
    for size in sorted({own.image_size, *sizes}):
        encoder = encoder_of(shipped, scratch, device, image_size=size)
        encoder.encode(np.zeros((4, size, size, 3), np.uint8))  # the first call reserves memory
        say(f"{each.name}: encoding at {size} px")
        began = time.perf_counter()
        vectors = each.vectors(encoder)
        rate = len(vectors) / (time.perf_counter() - began)
        found[size] = 100 * precision_at(min(NEAR, len(vectors) - 1), vectors, each.classes), rate
    near, pace = found[own.image_size]
    for size, (precision, rate) in found.items():
        yield row(f"{each.name}: encoded at {size} px, precision@{NEAR}", precision, "%", near)
        yield row(f"{each.name}: encoded at {size} px, speed", rate, "images/s", pace)


def trade_of_fits(
    folder: Path, most: int, shipped: Start, sizes: Sequence[int], scratch: Path, device: str
) -> Iterator[Row]:
    """Recall@1, among pictures that are not square, of the picture that a query was cut from; needs no labels.

    A query is a part of a picture at its own proportions: 40 to 80 % of the area, anywhere, mirrored or not.
    """
    pictures = not_square(folder, most)
    rng = np.random.default_rng(0)
    queries = [part_of(picture, rng) for picture in pictures]
    own = shipped.preparation
    found: dict[tuple[int, str], float] = {}
    for size in sorted({own.image_size, *sizes}):
        encoder = encoder_of(shipped, scratch, device, image_size=size)
        for fit in FITS:
            say(f"{folder.name}: parts of pictures at {size} px, {fit}")
            asked, whole = (
                encoder.encode(np.stack([square(p, size, fit, own.interpolation, own.crop) for p in some]))
                for some in (queries, pictures)
            )
            found[size, fit] = 100 * float((places(asked, whole) == 1).mean())
    for (size, fit), recall in found.items():
        said = f"{folder.name}: {size} px, {fit}: a part finds its picture"
        yield row(said, recall, "%", found[own.image_size, own.fit])


def not_square(folder: Path, most: int) -> list[Image.Image]:
    """Pictures from all over `folder` whose sides differ by a tenth or more."""
    kept: list[Image.Image] = []
    files = find_files(folder)
    for place in np.random.default_rng(0).permutation(len(files)):
        with Image.open(files[place]) as opened:
            sides = opened.size
        if max(sides) >= NOT_SQUARE * min(sides):
            kept.append(decode(files[place].read_bytes(), files[place].name))
        if len(kept) == most:
            break
    if len(kept) < 2:
        raise BadInput(f"{folder} has no pictures that are not square")
    return kept


def part_of(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    scale = np.sqrt(rng.uniform(0.4, 0.8))
    width, height = (max(1, round(side * scale)) for side in picture.size)
    left, top = rng.integers(picture.width - width + 1), rng.integers(picture.height - height + 1)
    part = picture.crop((int(left), int(top), int(left) + width, int(top) + height))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part
