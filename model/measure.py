"""What a model makes of a collection's pictures, and of changed views of some of them: all that a report judges by.

The views are changed in other ways than a training changes them (by Pillow on the whole preview, in light, contrast
and colour one after the other), so that a model is not asked the very thing it was drilled in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from model.errors import BadInput
from model.info import ModelInfo

VIEWS = 4  # of each picture that is asked for
BATCH = 64  # pictures held at once: previews are large, squares and vectors are not


class Encodes(Protocol):
    @property
    def info(self) -> ModelInfo: ...
    def prepare(self, image: Image.Image) -> np.ndarray: ...
    def encode(self, pixels: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Measured:
    """One model's unit vectors of the gallery, and of changed views of those pictures in it that are asked for."""

    vectors: np.ndarray  # (N, D), of the whole pictures
    asked: np.ndarray  # (Q,) int: which of them are asked for
    views: np.ndarray  # (V, Q, D), of V changed views of each of these


def measure(
    encoders: Sequence[Encodes],
    pictures: Iterable[tuple[Image.Image, bool]],
    seed: int = 0,
    watch: Callable[[int], None] = lambda done: None,
) -> list[Measured]:
    """Every encoder's vectors of `pictures`: each an RGB preview, and whether to ask for it.

    All see the same views for the same seed. `watch` hears after every batch how many pictures are done; what it
    raises ends the work. Raises BadInput when there are not two pictures, or none is asked for.
    """
    whole: list[list[np.ndarray]] = [[] for _ in encoders]
    changed: list[list[np.ndarray]] = [[] for _ in encoders]  # per picture asked for: (V, D)
    asked: list[int] = []
    done = 0
    waiting = iter(pictures)
    while batch := list(islice(waiting, BATCH)):
        chosen = [done + i for i, (_, wanted) in enumerate(batch) if wanted]
        views = [change(batch[i - done][0], seed, i, number) for i in chosen for number in range(VIEWS)]
        for encoder, vectors, of_views in zip(encoders, whole, changed, strict=True):
            vectors.append(_encode(encoder, [image for image, _ in batch]))
            if views:
                of_views.extend(_encode(encoder, views).reshape(len(chosen), VIEWS, -1))
        asked += chosen
        done += len(batch)
        watch(done)
    if done < 2 or not asked:
        raise BadInput("there are no two pictures to compare models on")
    return [
        Measured(np.concatenate(vectors), np.array(asked), np.stack(of_views, axis=1))
        for vectors, of_views in zip(whole, changed, strict=True)
    ]


def change(image: Image.Image, seed: int, picture: int, number: int) -> Image.Image:
    """A crop of 30 to 100 % of the area, mirrored or not, in another light; sometimes grey, sometimes soft."""
    rng = np.random.default_rng([seed, picture, number])
    part = np.sqrt(rng.uniform(0.3, 1.0))
    width, height = (max(1, round(part * side)) for side in image.size)
    left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
    view = image.crop((left, top, left + width, top + height))
    if rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        view = enhance(view).enhance(rng.uniform(0.6, 1.4))
    if rng.random() < 0.2:
        view = view.convert("L").convert("RGB")
    if rng.random() < 0.3:
        view = view.filter(ImageFilter.GaussianBlur(min(view.size) / 100))
    return view


def _encode(encoder: Encodes, images: Sequence[Image.Image]) -> np.ndarray:
    return encoder.encode(np.stack([encoder.prepare(image) for image in images]))
