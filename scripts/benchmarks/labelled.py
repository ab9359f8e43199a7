"""A folder of class folders as previews and classes, and the vectors that an encoder gives for them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model.checkpoint import load_model, save_model
from model.encoder import Encoder, open_encoder
from model.errors import BadInput, CannotDecode
from model.evaluate import colour_histogram
from model.images import decode, make_preview
from model.network import Start, starting_point
from model.train_command import find_files
from scripts.benchmarks.calls import say

BATCH = 256  # pictures decoded at once


@dataclass(frozen=True)
class Labelled:
    """Pictures as import keeps them, and the class of each: the folder it lies in."""

    name: str
    previews: list[bytes]
    classes: list[str]

    def only(self, rows: Sequence[int] | np.ndarray) -> Labelled:
        return replace(self, previews=[self.previews[i] for i in rows], classes=[self.classes[i] for i in rows])

    def sample(self, each: int, seed: int = 0) -> Labelled:
        """At most `each` pictures of every class."""
        names, rng = np.array(self.classes), np.random.default_rng(seed)
        rows = [rng.permutation(np.flatnonzero(names == name))[:each] for name in sorted(set(self.classes))]
        return self.only(np.sort(np.concatenate(rows)))

    def pictures(self, start: int, stop: int) -> list[Image.Image]:
        return [decode(data, self.name) for data in self.previews[start:stop]]

    @cached_property
    def histogram(self) -> np.ndarray:
        starts = range(0, len(self.previews), BATCH)
        return np.concatenate([colour_histogram(self.pictures(at, at + BATCH)) for at in starts])

    def vectors(self, encoder: Encoder) -> np.ndarray:
        """(N, D), every picture prepared as `encoder` wants it."""
        starts = range(0, len(self.previews), BATCH)
        return np.concatenate([encoder.encode(self.squares(encoder, at, at + BATCH)) for at in starts])

    def squares(self, encoder: Encoder, start: int, stop: int) -> np.ndarray:
        """(N, S, S, 3) uint8."""
        return np.stack([encoder.square(data, self.name) for data in self.previews[start:stop]])


def read(folder: Path, most: int | None = None) -> Labelled:
    """Every picture below `folder`, `most` of each class; what cannot be read is left out."""
    files = [path for path in find_files(folder) if path.parent != folder]
    by_class: dict[str, list[Path]] = {}
    for path in files:
        by_class.setdefault(path.parent.name, []).append(path)
    chosen = [path for name in sorted(by_class) for path in by_class[name][:most]]

    def preview(path: Path) -> bytes | None:
        try:
            return make_preview(path.read_bytes(), path.name).data
        except CannotDecode:
            return None

    with ThreadPoolExecutor() as pool:  # Pillow lets go of the interpreter while it works
        made = list(pool.map(preview, chosen))
    kept = [(data, path.parent.name) for data, path in zip(made, chosen, strict=True) if data is not None]
    if len({name for _, name in kept}) < 2:
        raise BadInput(f"{folder} needs at least two folders of pictures, one for each class")
    return Labelled(folder.name, [data for data, _ in kept], [name for _, name in kept])


def start_of(model: Path | None) -> Start:
    """The model in a folder; None: the one that ships, or random weights while there is none."""
    if model is None:
        return starting_point("default", "resnet18", None, Path(), 0)
    network, info = load_model(model)
    return Start(network, info.preparation, info.fingerprint)


def encoder_of(start: Start, scratch: Path, device: str, **preparation: Any) -> Encoder:
    """A network at work as search would have it, with `preparation` replaced."""
    prepared = replace(start.preparation, **preparation)
    info = save_model(start.backbone, prepared, scratch, started_from=start.started_from)
    return open_encoder(scratch / info.fingerprint, device)


def encoded(pictures: Labelled, start: Start, device: str) -> tuple[np.ndarray, str]:
    """The vectors (N, D) of pictures by a network at work, and what a benchmark notes of them."""
    say(f"{pictures.name}: encoding {len(pictures.classes):,} pictures")
    with tempfile.TemporaryDirectory() as scratch:
        vectors = pictures.vectors(encoder_of(start, Path(scratch), device))
    return vectors, f"{pictures.name}: {vectors.shape[0]:,} vectors of {vectors.shape[1]}, from {start.started_from}"
