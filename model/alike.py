"""Whether two pictures are one shot: resized, re-encoded, recoloured or cropped. A check of pixels, not of meaning.

Both are compared as 32 × 32 grey levels by normalised correlation, which colour, contrast and size leave alone. Smooth
pictures (two skies) correlate whatever they show, so their fine structure must agree too. For a crop, one picture is
slid over parts of the other.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from model.images import decode_square

SIDE = 32  # px
WHOLE, FINE = 0.93, 0.75  # correlations from which on it is the same: of grey levels, of what a blur takes away
CROPPED, CROPPED_FINE = 0.93, 0.7
PARTS = (1.0, 0.94, 0.88, 0.81, 0.75, 0.69, 0.62, 0.56, 0.5)  # of a side that a crop keeps
UNEVEN = 0.26  # the most by which what it keeps of the sides may differ


def thumb(data: bytes, source: str) -> np.ndarray:
    """(SIDE, SIDE) uint8 grey levels of the whole picture, squeezed."""
    red, green, blue = np.moveaxis(decode_square(data, source, SIDE, "squeeze").astype(np.float32), 2, 0)
    return (0.299 * red + 0.587 * green + 0.114 * blue).round().astype(np.uint8)


def same_shot(first: np.ndarray, second: np.ndarray, crops: bool = True) -> bool:
    """Whether two thumbs show one shot."""
    one, other = (thumb.astype(np.float32) for thumb in (first, second))
    if _correlation(one, other) >= WHOLE and _correlation(_fine(one), _fine(other)) >= FINE:
        return True
    return crops and (_is_crop(one, other) or _is_crop(other, one))


def _is_crop(whole: np.ndarray, part: np.ndarray) -> bool:
    """Whether `part` is found somewhere in `whole`, at some scale."""
    for height in PARTS:
        for width in PARTS:
            if abs(height - width) > UNEVEN or height == width == 1:
                continue
            size = (round(height * SIDE), round(width * SIDE))
            small = _resized(part, size)
            template = small - small.mean()
            windows = sliding_window_view(whole, size)  # (Y, X, h, w)
            found = np.einsum("yxhw,hw->yx", windows, template)  # of a template without a mean: the windows need none
            total, squares = _sums(whole, size), _sums(whole**2, size)
            spread = np.maximum(squares - total**2 / small.size, 0) * (template**2).sum()
            found = np.where(spread > 1, found / np.sqrt(np.maximum(spread, 1)), 0)
            y, x = np.unravel_index(int(found.argmax()), found.shape)
            if found[y, x] >= CROPPED and _correlation(_fine(windows[y, x]), _fine(small)) >= CROPPED_FINE:
                return True
    return False


def _sums(grey: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The sum of every window of that size."""
    height, width = size
    table = np.pad(grey.astype(np.float64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """-1 to 1; 0 where one of them is flat."""
    a, b = one - one.mean(), other - other.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size > 1e-3 else 0.0


def _fine(grey: np.ndarray) -> np.ndarray:
    """What is finer than a blur over 7 × 7 px and coarser than one over 3 × 3, which a shift of half a pixel leaves."""
    return _blurred(grey, 1) - _blurred(grey, 3)


def _blurred(grey: np.ndarray, radius: int) -> np.ndarray:
    padded = np.pad(grey, radius, mode="edge")
    return sliding_window_view(padded, (2 * radius + 1, 2 * radius + 1)).mean(axis=(2, 3))


def _resized(grey: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    height, width = size
    image = Image.fromarray(grey, "F").resize((width, height), Image.Resampling.BOX)
    return np.asarray(image, np.float32)
