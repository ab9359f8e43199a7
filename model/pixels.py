"""Pictures to one uint8 tensor: decoded once, before training, instead of once per epoch."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median_low

import torch
from torch import Tensor

from model.errors import BadInput, CannotDecode
from model.images import decode_square
from model.ram import available_memory

DETAIL = 1.5  # pixels kept per pixel of the view, so that a crop of a third of the area is still not enlarged
QUEUED = 4096  # pictures handed out to threads at once: a million waiting would take gigabytes


def learning_side(image_size: int, native_side: int) -> int:
    """The side to keep pictures at for views of `image_size` px: never more than they have, rarely less than a view."""
    return max(1, min(native_side, round(image_size * DETAIL)))


def encoding_side(image_size: int, native_side: int) -> int:
    """The side to encode at after training on views of `image_size` px: that of the pictures they were cut from.

    A network that learnt from crops saw things larger than they are, and larger pictures make up for it
    (arXiv:1906.06423).
    """
    return max(image_size, learning_side(image_size, native_side))


def native_side(sides: Iterable[int]) -> int:
    """The size that stands for a collection, given its pictures' shorter sides: the middle one."""
    return median_low(sides)


def load_pixels(
    sources: Sequence[Path] | Sequence[bytes],
    side: int,
    fit: str = "centre",
    progress: Callable[[int, int], None] | None = None,
    refused: Callable[[int, CannotDecode], None] | None = None,
    spill: Path | None = None,
    processes: int = 1,
) -> Tensor:
    """Files, or their bytes, to (N, 3, side, side) uint8, in order.

    Decoding runs in threads: Pillow lets go of the interpreter while it works. `progress` hears (done, of) after each
    picture. One that cannot be decoded is left out after `refused` has heard its position and why; without `refused`
    it is raised.

    When they would take more than half of the RAM that is available and `spill` is given, the tensor is that file,
    mapped into memory, which the caller removes after use. Raises BadInput when the disk has no room for it either.
    `processes` that do the same on this machine at the same time get an equal part of its memory and cores each.
    """
    if not sources:
        raise BadInput("there are no pictures to load")
    tensor = _room((len(sources), 3, side, side), spill, available_memory() / 2 / processes)
    pixels = tensor.numpy()

    def load(position: int) -> CannotDecode | None:
        """Straight into its row: nothing but the tensor itself waits in memory."""
        try:
            data, name = _read(sources[position], f"picture {position + 1}")
            pixels[position] = decode_square(data, name, side, fit).transpose(2, 0, 1)
            return None
        except CannotDecode as error:
            return error

    kept = 0
    with ThreadPoolExecutor(max_workers=max(1, (os.cpu_count() or 1) // processes)) as pool:
        for start in range(0, len(sources), QUEUED):
            positions = range(start, min(start + QUEUED, len(sources)))
            for position, error in zip(positions, pool.map(load, positions), strict=True):
                if error is None:
                    if kept < position:  # close the gaps in place: the tensor may be as large as memory allows
                        pixels[kept] = pixels[position]
                    kept += 1
                elif refused is None:
                    pool.shutdown(cancel_futures=True)
                    raise error
                else:
                    refused(position, error)
                if progress is not None:
                    progress(position + 1, len(sources))
    return tensor[:kept]


def _read(source: Path | bytes, name: str) -> tuple[bytes, str]:
    """The bytes of a picture, and what to call it."""
    if isinstance(source, bytes):
        return source, name
    try:
        return source.read_bytes(), str(source)
    except OSError as error:
        raise CannotDecode(str(source), error.strerror or "cannot be read") from error


def _room(shape: tuple[int, ...], spill: Path | None, most: float) -> Tensor:
    """A tensor for pixels, in RAM or, if that is more than `most` bytes, in the file `spill`."""
    needed = math.prod(shape)
    if spill is None or needed <= most:
        return torch.empty(shape, dtype=torch.uint8)
    try:
        spill.parent.mkdir(parents=True, exist_ok=True)
        spill.unlink(missing_ok=True)  # of a run that was killed
        if needed > (free := shutil.disk_usage(spill.parent).free):
            raise OSError(f"{free / 1e9:,.1f} GB are free")
        with open(spill, "wb") as file:
            if hasattr(os, "posix_fallocate"):
                # Taken at once: a disk that fills up under a mapped file kills the process that writes to it.
                os.posix_fallocate(file.fileno(), 0, needed)
            else:
                file.truncate(needed)
    except OSError as error:
        spill.unlink(missing_ok=True)
        raise BadInput(
            f"{shape[0]:,} pictures at {shape[-1]} px take {needed / 1e9:,.1f} GB, too much for the memory and for "
            f"{spill.parent} ({error.strerror or error}); make room there, or choose a smaller image size"
        ) from error
    return torch.from_file(str(spill), shared=True, size=needed, dtype=torch.uint8).view(shape)
