"""Positive pairs to look at, drawn by the very function that training draws them with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from model.augment import UNIFORMS, random_views
from model.presets import preset_named

TILE, GAP, ACROSS = 128, 6, 3  # px a picture, px between them, pairs side by side


def view(picture: np.ndarray, preset: str, size: int, key: Sequence[int]) -> np.ndarray:
    """A random view (size, size, 3) uint8 of a picture (S, S, 3) uint8, the same for the same numbers `key`."""
    uniforms = np.random.default_rng(key).random((1, UNIFORMS), np.float32)
    pixels = torch.from_numpy(np.array(picture.transpose(2, 0, 1)[np.newaxis]))  # (1, 3, S, S)
    with torch.inference_mode():
        seen = random_views(pixels, torch.from_numpy(uniforms), preset_named(preset), size)[0]  # (3, size, size)
        return (seen.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def sheet(pairs: Sequence[Sequence[np.ndarray]], title: str) -> Image.Image:
    """One picture of many: each of `pairs` is an original (S, S, 3) and its views, side by side on white."""
    step, high, head = TILE + GAP, TILE + 4 * GAP, 40  # px; `head` is for the line on top
    wide = len(pairs[0]) * step + 4 * GAP  # a pair and the space after it
    # Three across even where there are fewer pairs: the line on top needs the room.
    made = Image.new("RGB", (ACROSS * wide, head + -(-len(pairs) // ACROSS) * high), "white")
    ImageDraw.Draw(made).text((2 * GAP, 2 * GAP), title, "black", ImageFont.load_default(18))
    for number, pair in enumerate(pairs):
        left, top = 2 * GAP + number % ACROSS * wide, head + number // ACROSS * high
        for place, tile in enumerate(pair):
            # All at one size, however coarse: what training sees is that coarse.
            made.paste(Image.fromarray(tile).resize((TILE, TILE), Image.Resampling.BICUBIC), (left + place * step, top))
    return made
