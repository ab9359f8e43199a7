"""The landmarks of a picture: places known again when it is cropped, resized, re-encoded or recoloured.

SIFT (Lowe, 2004) by OpenCV: corners and blobs with their size, their direction and a code of what surrounds them. The
128 numbers of a code are turned along cosines over its 4 × 4 cells and its 8 directions, and the 32 smoothest are
kept, a byte each: they hold what tells places apart, as principal axes would, and need no pictures to be learnt from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

SIDE = 160  # px, the shorter side of what landmarks are looked for in
LONGEST = 1600  # px, of the longer: of a strip, less than SIDE is kept of the shorter one
MOST = 128  # landmarks of a picture, the strongest
VERSION = 1  # of all this: change it when other landmarks come of a picture
FAINT = 0.01  # contrast from which on something is one; OpenCV's 0.04 leaves a smooth picture with none
CODE = 32  # numbers of a code
STEP = 1 / 320  # of a number of a code: one of its 256 values


@dataclass(frozen=True)
class Landmarks:
    """Where they are in a picture scaled by `scaled`, and their codes."""

    places: np.ndarray  # (L, 4) float16: x, y and size in px, direction in degrees
    codes: np.ndarray  # (L, CODE) int8

    def packed(self) -> bytes:
        return self.places.tobytes() + self.codes.tobytes()

    @staticmethod
    def unpacked(data: bytes) -> Landmarks:
        count = len(data) // (8 + CODE)
        places = np.frombuffer(data, np.float16, count * 4).reshape(count, 4)
        return Landmarks(places, np.frombuffer(data, np.int8, offset=count * 8).reshape(count, CODE))


def scaled(image: Image.Image) -> np.ndarray:
    """Grey levels (H, W) uint8, the shorter side SIDE px: enlarged too, so that a small copy has landmarks as well."""
    width, height = image.size
    scale = min(SIDE / min(width, height), LONGEST / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(image.convert("L").resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))


def landmarks(grey: np.ndarray) -> Landmarks:
    """Those of a picture that is `scaled`, the strongest first."""
    found, around = opencv().SIFT_create(nfeatures=MOST, contrastThreshold=FAINT).detectAndCompute(grey, None)
    if around is None:
        return Landmarks(np.zeros((0, 4), np.float16), np.zeros((0, CODE), np.int8))
    strongest = np.argsort([-each.response for each in found], kind="stable")[:MOST]
    places = np.array([(*found[at].pt, found[at].size, found[at].angle) for at in strongest], np.float16)
    around = around[strongest]
    share = np.sqrt(around / np.maximum(around.sum(axis=1, keepdims=True), 1e-6))  # Arandjelović and Zisserman, 2012
    return Landmarks(places, np.clip(np.round(share @ SMOOTH / STEP), -128, 127).astype(np.int8))


def opencv() -> Any:
    """Loaded when it is first needed: it takes 40 MB, and only a look for near-duplicates uses it."""
    import cv2

    return cv2


def _smooth() -> np.ndarray:
    """(128, CODE) float32: the cosines over rows, columns and directions of the cells that change least over them."""
    cells = np.cos(np.pi * np.outer(np.arange(4), np.arange(4) + 0.5) / 4)  # (4, 4): each row a cosine
    turns = 2 * np.pi * np.arange(8) / 8
    round_ = [np.ones(8), *(wave(k * turns) for k in (1, 2, 3) for wave in (np.cos, np.sin)), np.cos(4 * turns)]
    often = [0, 1, 1, 2, 2, 3, 3, 4]
    made = []
    for row in range(4):
        for column in range(4):
            for direction in range(8):
                wave = np.einsum("r,c,d->rcd", cells[row], cells[column], round_[direction]).ravel()
                made.append(((1 + row) * (1 + column) * (1 + often[direction]), wave / np.linalg.norm(wave)))
    made.sort(key=lambda each: each[0])
    return np.array([wave for _, wave in made[1 : CODE + 1]], np.float32).T  # without the mean, which all share


SMOOTH = _smooth()
