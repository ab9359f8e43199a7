"""Whether two pictures are one shot: resized, re-encoded, recoloured or cropped. A check of pixels, not of meaning.

What both show is compared as 32 × 32 grey levels by normalised correlation, which colour, contrast and size leave
alone. Smooth pictures (two skies) correlate whatever they show, and so do two shirts on one carpet, so their fine
structure must agree too. Of a crop, landmarks say which part of the other picture it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from model.landmarks import Landmarks, opencv

SIDE = 32  # px
GREY, FINE = 0.96, 0.9  # correlations from which on it is the same: of grey levels, of what a blur takes away
SCALES, TURN = 2.2, 20.0  # octaves, degrees: the most by which two landmarks of one place differ
OFF = 3.0  # px from where it should be, a landmark still agrees
AGREE = 4  # landmarks that have to
UPRIGHT = 0.05  # radians, the most by which a crop is turned
SHARED = 0.6  # of the smaller picture, which the other has to show too
DOUBT = 0.7  # of grey levels: from here on, a part may only be badly placed, and is moved to where it fits best
MARGIN, NEARBY = 6, 10  # px of twice SIDE: what moving makes up at the edges, and how far a part may be moved
STRETCHED = 0.12  # the most by which it may be scaled then


@dataclass(frozen=True)
class Fit:
    """Where the first picture lies in the second, both as `landmarks.scaled`."""

    scale: float
    x: float
    y: float


def thumb(grey: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) uint8 of the grey levels (H, W) of a whole picture, squeezed."""
    return np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BOX))


def same_shot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N,) bool: whether thumbs (N, SIDE, SIDE) show one shot each."""
    one, other = (thumbs.astype(np.float32) for thumbs in (first, second))
    same = _correlation(one, other) >= GREY
    same[same] = _correlation(_fine(one[same]), _fine(other[same])) >= FINE
    return same


def fit(first: Landmarks, second: Landmarks) -> Fit | None:
    """Where landmarks say that the first picture lies in the second; None where too few agree."""
    cv2 = opencv()
    start, end = _matches(first, second)
    if len(start) < AGREE:
        return None
    found, agree = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=OFF, maxIters=1000)
    if found is None or len(np.unique(start[agree.ravel() > 0].round(), axis=0)) < AGREE:  # a place may have two codes
        return None
    scale, turned = float(np.hypot(*found[:, 0])), float(np.arctan2(found[1, 0], found[0, 0]))
    if scale == 0 or abs(np.log2(scale)) > SCALES or abs(turned) > UPRIGHT:
        return None
    return Fit(scale, float(found[0, 2]), float(found[1, 2]))


def same_part(first: np.ndarray, second: np.ndarray, where: Fit) -> bool:
    """Whether what both pictures, `scaled`, show is one shot, when the first lies in the second as `where` says."""
    boxes = _boxes(first.shape, second.shape, where)
    if boxes is None:
        return False
    one, other = (_squeezed(grey, box) for grey, box in zip((first, second), boxes, strict=True))
    if same_shot(_halved(one), _halved(other))[0]:
        return True
    moved = _moved(one, other) if _correlation(_halved(one), _halved(other))[0] >= DOUBT else None
    return moved is not None and bool(same_shot(_halved(moved[0]), _halved(moved[1]))[0])


def _matches(first: Landmarks, second: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """Places (M, 2) in both, of landmarks whose codes are the nearest from either end among those turned alike."""
    a, b = first.places.astype(np.float32), second.places.astype(np.float32)
    if min(len(a), len(b)) < AGREE:
        return a[:0, :2], b[:0, :2]
    one, other = first.codes.astype(np.float32), second.codes.astype(np.float32)
    far = (one**2).sum(axis=1)[:, np.newaxis] + (other**2).sum(axis=1) - 2 * one @ other.T  # (L, M)
    turned = np.abs((a[:, np.newaxis, 3] - b[:, 3] + 180) % 360 - 180)
    octaves = np.abs(np.log2(a[:, 2])[:, np.newaxis] - np.log2(b[:, 2]))
    far[(turned > TURN) | (octaves > SCALES)] = np.inf
    forth = np.stack([np.arange(len(a)), far.argmin(axis=1)], axis=1)
    back = np.stack([far.argmin(axis=0), np.arange(len(b))], axis=1)
    pairs = np.unique(np.concatenate([forth, back]), axis=0)
    pairs = pairs[np.isfinite(far[pairs[:, 0], pairs[:, 1]])]
    return np.ascontiguousarray(a[pairs[:, 0], :2]), np.ascontiguousarray(b[pairs[:, 1], :2])


Box = tuple[float, float, float, float]  # left, top, right, bottom


def _boxes(first: tuple[int, ...], second: tuple[int, ...], where: Fit) -> tuple[Box, Box] | None:
    """What pictures of these shapes share, in each of them; None where that is too little of the smaller one."""
    (height, width), (other_height, other_width) = first, second
    left, top = max(where.x, 0.0), max(where.y, 0.0)  # in the second
    right = min(where.x + where.scale * width, other_width)
    bottom = min(where.y + where.scale * height, other_height)
    smaller = min(where.scale**2 * width * height, other_width * other_height)
    if right <= left or bottom <= top or (right - left) * (bottom - top) < SHARED * smaller:
        return None

    def back(edge: float, moved: float, most: int) -> float:
        return min(max((edge - moved) / where.scale, 0.0), most)  # rounding may lead out of it

    own = back(left, where.x, width), back(top, where.y, height), back(right, where.x, width)
    return (*own, back(bottom, where.y, height)), (left, top, right, bottom)


def _squeezed(grey: np.ndarray, box: Box) -> np.ndarray:
    """(2 SIDE, 2 SIDE) uint8 of a box of grey levels."""
    return np.asarray(Image.fromarray(grey).resize((2 * SIDE, 2 * SIDE), Image.Resampling.BILINEAR, box))


def _halved(grey: np.ndarray) -> np.ndarray:
    """(1, SIDE, SIDE) float32 of any square: a thumb of it."""
    return np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)[np.newaxis]


def _moved(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Both without a margin, the first moved to where it correlates best (Evangelidis and Psarakis, 2008)."""
    cv2, still = opencv(), np.eye(2, 3, dtype=np.float32)
    enough = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    try:
        _, warp = cv2.findTransformECC(other, one, still.copy(), cv2.MOTION_AFFINE, enough, None, 3)
    except cv2.error:  # it found no way to go: these do not fit
        return None
    if np.abs(warp - still)[:, :2].max() > STRETCHED or np.abs(warp[:, 2]).max() > NEARBY:
        return None
    moved = cv2.warpAffine(one, warp, one.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    inner = slice(MARGIN, -MARGIN)
    return np.ascontiguousarray(moved[inner, inner]), np.ascontiguousarray(other[inner, inner])


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) from -1 to 1 of (N, H, W); 0 where one of them is flat."""
    a, b = (each - each.mean(axis=(1, 2), keepdims=True) for each in (one, other))
    size = np.sqrt(np.einsum("nyx,nyx->n", a, a) * np.einsum("nyx,nyx->n", b, b))
    return np.where(size > 1e-3, np.einsum("nyx,nyx->n", a, b) / np.maximum(size, 1e-3), 0.0)


def _fine(grey: np.ndarray) -> np.ndarray:
    """What is finer than a blur over 7 × 7 px and coarser than one over 3 × 3, which a shift of half a pixel leaves."""
    return _blurred(grey, 1) - _blurred(grey, 3)


def _blurred(grey: np.ndarray, radius: int) -> np.ndarray:
    """Means over squares of (N, H, W), the edges repeated."""
    padded = np.pad(grey, ((0, 0), (radius, radius), (radius, radius)), mode="edge")
    return sliding_window_view(padded, (2 * radius + 1, 2 * radius + 1), axis=(1, 2)).mean(axis=(3, 4))
