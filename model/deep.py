"""Pictures of more than eight bits a colour, of which Pillow keeps only the upper eight: a microscope's would be black.

Their samples come from libraries that are loaded when such a file comes: a training machine never sees one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from model import exif
from model.errors import CannotDecode
from model.progress import Line

ROWS = 1 << 22  # values that are stretched at a time: as float32 they take four bytes each
PERCENTILES = (0.5, 99.5)
QUARTER = np.float32(0.25)  # so that the difference of two values is a float32 too; a power of two rounds nothing
Levels = tuple[Any, Any]  # what becomes 0 and 255: two numbers, or two arrays (C,), one for each channel


class Deep(ABC):
    """A picture with deep samples. It stands where else one of Pillow's stands, and has what is asked of those."""

    format: str
    size: tuple[int, int]  # px; of a TIFF upright, as Pillow says it

    def __init__(self, said: Image.Exif, profile: bytes | None) -> None:
        self.said, self.profile = said, profile

    @property
    def width(self) -> int:
        return self.size[0]

    @property
    def height(self) -> int:
        return self.size[1]

    @property
    def n_frames(self) -> int:
        return 1

    def getexif(self) -> Image.Exif:
        return self.said

    @abstractmethod
    def seek(self, number: int) -> None:
        """Go to another page."""

    @abstractmethod
    def upright(self) -> Image.Image:
        """All of it as RGB, stretched, on white, as it was held."""

    def turned(self, pixels: np.ndarray, orientation: int) -> Image.Image:
        """Pixels (H, W, 3) as they lie in the file, upright."""
        image = Image.fromarray(pixels)
        if self.profile:
            image.info["icc_profile"] = self.profile
        image.getexif()[exif.ORIENTATION] = orientation
        return ImageOps.exif_transpose(image)


class DeepPng(Deep):
    """A PNG of 16-bit colours, or of 16-bit grey with transparency."""

    format = "PNG"

    def __init__(self, data: bytes, image: Image.Image, source: str) -> None:
        super().__init__(image.getexif(), image.info.get("icc_profile"))
        self.size, self.data, self.source = image.size, data, source

    def seek(self, number: int) -> None:
        """The still picture is the only one."""

    def upright(self) -> Image.Image:
        samples = reader("imagecodecs", self.source).png_decode(self.data)  # (H, W, 2, 3 or 4) uint16
        colours, alpha = (samples, None) if samples.shape[-1] == 3 else (samples[..., :-1], samples[..., -1:])
        pixels = on_white(stretched(colours, levels(seen(colours, alpha))), alpha, 65_535)
        return self.turned(pixels, self.said.get(exif.ORIENTATION, 1))


def is_deep_png(data: bytes) -> bool:
    """Whether a PNG has 16 bits a sample, and more than one sample; grey ones Pillow reads as they are."""
    return data[:8] == b"\x89PNG\r\n\x1a\n" and data[24:25] == b"\x10" and data[25:26] in (b"\2", b"\4", b"\6")


def reader(name: str, source: str) -> ModuleType:
    """One of the libraries that read deep samples."""
    try:
        return __import__(name)
    except ImportError as error:
        reason = Line("needs_reader", "such a picture can only be read with {library}: install it", library=name)
        raise CannotDecode(source, reason) from error


def seen(colours: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """The values (N, C) of colours (H, W, C) that are not wholly transparent; all of them when everything is."""
    if alpha is None or not (there := alpha[..., 0] > 0).any():
        return colours.reshape(-1, colours.shape[-1])
    return colours[there]


def levels(values: np.ndarray, by_channel: bool = False) -> Levels:
    """The percentiles of values (N, C) that become black and white; what is no number counts as 0."""
    values = np.array(values, dtype=np.float32)
    np.nan_to_num(values, copy=False, posinf=0.0, neginf=0.0)
    values *= QUARTER
    low, high = np.percentile(values, PERCENTILES, axis=0 if by_channel else None).astype(np.float64) * 4
    return low, high


def stretched(values: np.ndarray, between: Levels) -> np.ndarray:
    """Values (H, W, ...) as uint8, `between` onto 0..255; a part at a time, for as float32 it may be a gigabyte."""
    low = np.float32(between[0]) * QUARTER
    scale = np.float32(4 * 255.0 / np.maximum(np.subtract(between[1], between[0]), 1e-6))
    result = np.empty(values.shape, np.uint8)
    rows = max(1, ROWS * len(values) // max(values.size, 1))
    for top in range(0, len(values), rows):
        part = np.array(values[top : top + rows], dtype=np.float32)
        np.nan_to_num(part, copy=False, posinf=0.0, neginf=0.0)
        part *= QUARTER
        part -= low
        part *= scale
        result[top : top + rows] = part.clip(0, 255, out=part)
    return result


def on_white(colours: np.ndarray, alpha: np.ndarray | None, opaque: float, mixed: bool = False) -> np.ndarray:
    """Colours (H, W, 1 or 3) uint8 as (H, W, 3), in front of white; `mixed` when alpha (H, W, 1) is in them already."""
    if alpha is not None:
        share = np.clip(np.nan_to_num(alpha.astype(np.float32)) / np.float32(opaque), 0, 1)
        white = 255 * (1 - share)
        colours = (colours * (1 if mixed else share) + white + 0.5).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(colours, (*colours.shape[:2], 3)))
