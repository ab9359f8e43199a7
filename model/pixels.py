"""Pictures to one uint8 tensor: decoded once, before training, instead of once per epoch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median_low

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from model.errors import BadInput, CannotDecode
from model.images import decode, square

DETAIL = 1.5  # pixels kept per pixel of the view, so that a crop of a third of the area is still not enlarged


def learning_side(image_size: int, native_side: int) -> int:
    """The side to keep pictures at for views of `image_size` px: never more than they have, rarely less than a view."""
    return max(1, min(native_side, round(image_size * DETAIL)))


def native_side(sides: Iterable[int]) -> int:
    """The size that stands for a collection, given its pictures' shorter sides: the middle one."""
    return median_low(sides)


def load_pixels(
    sources: Sequence[Path] | Sequence[bytes],
    side: int,
    fit: str = "centre",
    progress: Callable[[int, int], None] | None = None,
    refused: Callable[[int, CannotDecode], None] | None = None,
) -> Tensor:
    """Files, or their bytes, to (N, 3, side, side) uint8, in order.

    Decoding runs in threads: Pillow lets go of the interpreter while it works. `progress` hears (done, of) after each
    picture. One that cannot be decoded is left out after `refused` has heard its position and why; without `refused`
    it is raised.
    """
    if not sources:
        raise BadInput("there are no pictures to load")
    pixels = np.empty((len(sources), 3, side, side), dtype=np.uint8)

    def load(position: int) -> CannotDecode | None:
        """Straight into its row: nothing but the tensor itself waits in memory."""
        try:
            image = _open(sources[position], f"picture {position + 1}")
            pixels[position] = square(image, side, fit).transpose(2, 0, 1)
            return None
        except CannotDecode as error:
            return error

    kept = np.ones(len(sources), dtype=bool)
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for position, error in enumerate(pool.map(load, range(len(sources)))):
            if error is not None:
                if refused is None:
                    pool.shutdown(cancel_futures=True)
                    raise error
                refused(position, error)
                kept[position] = False
            if progress is not None:
                progress(position + 1, len(sources))
    return torch.from_numpy(pixels if kept.all() else pixels[kept])


def _open(source: Path | bytes, name: str) -> Image.Image:
    if isinstance(source, bytes):
        return decode(source, name)
    try:
        return decode(source.read_bytes(), str(source))
    except OSError as error:
        raise CannotDecode(str(source), error.strerror or "cannot be read") from error
