"""How good a model's vectors are on folders of class folders: SimCLR's linear evaluation, and k-NN."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.workspace import Workspace
from indexer.sources import Source, read, scan
from model.encoder import Encoder, open_encoder
from model.errors import BadInput, Cancelled, CannotDecode
from model.evaluate import knn_accuracy
from model.images import make_preview
from model.info import ModelInfo
from model.linear import linear_accuracy, linear_accuracy_on
from model.progress import Progress, rate_line

FOLDS = 5
NEIGHBOURS = 20
BATCH = 64
ENCODING = 0.9  # share of the work, for progress; the rest is fitting
TRAIN, JUDGED = "train", ("val", "valid", "validation", "test")  # names of halves; of several to judge on, the first


def evaluate_folder(
    workspace: Workspace, info: ModelInfo, folder: Path, progress: Progress, stop: Callable[[], bool]
) -> dict[str, Any]:
    """{images, classes, knn, linear, folds, refused, seconds, …}; each picture's class is the folder it lies in.

    Where `folder` has a train and a val (or test) half, classifiers learn from the one and are judged on the other.
    """
    started = time.monotonic()
    settings = workspace.settings
    found = _classed(folder)
    encoder = open_encoder(workspace.home.model(info.fingerprint), settings.device, settings.threads)
    seen = _encode(encoder, found, progress, stop)
    matrix, classes, train = seen.vectors, seen.classes, seen.train
    fits = 0

    def on_fit() -> None:
        nonlocal fits
        if stop():
            raise Cancelled("Stopped; nothing was measured.")
        progress(ENCODING, f"fitting classifiers, {fits} done")
        fits += 1

    if train is None:
        linear = linear_accuracy(matrix, classes, FOLDS, on_fit=on_fit)
        protocol = f"stratified {min(linear.folds, FOLDS)}-fold"
    else:
        protocol = "/".join(half.name for half in found.halves)
        linear = linear_accuracy_on(matrix[:train], classes[:train], matrix[train:], classes[train:], on_fit=on_fit)
    progress(1.0, "measured")
    return {
        "images": len(classes),
        "classes": sorted(set(classes)),
        "protocol": protocol,
        "train": train,
        "val": None if train is None else len(classes) - train,
        "knn": seen.knn(),
        "linear": linear.accuracy,
        "interval": list(linear.interval),
        "lambda": list(linear.strengths),
        "folds": linear.folds,
        "refused": len(found.sources) - len(classes),
        "model": info.fingerprint,
        "seconds": round(time.monotonic() - started, 1),
    }


def knn_on_folder(encoder: Encoder, folder: Path, progress: Progress, stop: Callable[[], bool]) -> float:
    """What `evaluate_folder` gives as `knn`, without the linear evaluation."""
    return _encode(encoder, _classed(folder), progress, stop).knn()


@dataclass(frozen=True)
class _Classed:
    """Pictures in class folders; of several halves those to learn from come first."""

    halves: list[Path]  # one when the folder is not cut
    sources: list[Source]
    train: int  # so many of them are to learn from


@dataclass(frozen=True)
class _Seen:
    """The vectors (N, D) of those that could be read, and their classes."""

    vectors: np.ndarray
    classes: list[str]
    train: int | None  # None: not cut into halves

    def knn(self) -> float:
        """k-NN accuracy: on the second half, or leaving one out."""
        matrix, classes, train = self.vectors, self.classes, self.train
        if train is None:
            return knn_accuracy(matrix, classes, min(NEIGHBOURS, len(matrix) - 1))
        asked = (matrix[train:], classes[train:])
        return knn_accuracy(matrix[:train], classes[:train], min(NEIGHBOURS, train), asked=asked)


def _classed(folder: Path) -> _Classed:
    halves = halves_of(folder) or [folder]
    found = [_pictures(half) for half in halves]
    _require_classes(halves, found)
    return _Classed(halves, [source for half in found for source in half], len(found[0]))


def halves_of(folder: Path) -> list[Path] | None:
    """[train, val] when `folder` is cut so, each half with folders in it: ImageNet's layout, and most others'."""
    if not folder.is_dir():
        return None
    inside = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    judged = next((inside[name] for name in JUDGED if name in inside), None)
    train = inside.get(TRAIN)
    if train is None or judged is None:
        return None
    # Without folders of their own, they are two classes that happen to be called so.
    return [train, judged] if all(any(sub.is_dir() for sub in half.iterdir()) for half in (train, judged)) else None


def _pictures(half: Path) -> list[Source]:
    """The files in class folders; those beside the folders have no class, and zips are not opened."""
    return [source for source in scan([half]).sources if source.depth > 0 and source.member is None]


def _class_of(source: Source) -> str:
    return source.folder.rpartition("/")[2]


def _require_classes(folders: Sequence[Path], found: Sequence[Sequence[Source]]) -> None:
    """Fail before an hour of encoding, not after it."""
    classes = [{_class_of(source) for source in half} for half in found]
    if len(classes[0]) < 2:
        raise BadInput(f"{folders[0]} needs at least two folders of pictures, one for each class.")
    if unknown := sorted(classes[-1] - classes[0]):
        named = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        raise BadInput(f"{folders[-1]} has classes that {folders[0]} has no pictures of: {named}.")


def _encode(encoder: Encoder, classed: _Classed, progress: Progress, stop: Callable[[], bool]) -> _Seen:
    """The vectors of all that can be read.

    A few batches of pixels exist at a time: threads read and prepare them ahead of the encoder, for Pillow works
    without Python's lock.
    """
    started = time.monotonic()
    found = classed.sources

    def prepare(start: int) -> tuple[list[np.ndarray], list[int]]:
        squares, places = [], []
        for place in range(start, min(start + BATCH, len(found))):
            source = found[place]
            try:  # the path that an imported picture takes
                preview = make_preview(read(source), source.name, encoder.info.preview_side)
                squares.append(encoder.square(preview.data, source.name))
                places.append(place)
            except (CannotDecode, OSError):
                continue
        return squares, places

    vectors: list[np.ndarray] = []
    kept: list[int] = []
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[tuple[list[np.ndarray], list[int]]]] = deque()
        starts = list(range(0, len(found), BATCH))
        for number in range(len(starts)):
            while len(waiting) <= threads and number + len(waiting) < len(starts):
                waiting.append(pool.submit(prepare, starts[number + len(waiting)]))
            if stop():
                for future in waiting:
                    future.cancel()
                raise Cancelled("Stopped; nothing was measured.")
            squares, places = waiting.popleft().result()
            if squares:
                vectors.append(encoder.encode(np.stack(squares)))
                kept += places
            done = min(starts[number] + BATCH, len(found))
            progress(ENCODING * done / len(found), rate_line(done, len(found), time.monotonic() - started))
    if not kept:
        raise BadInput("None of the pictures can be read.")
    train = None
    if len(classed.halves) > 1:
        train = sum(place < classed.train for place in kept)
        if train in (0, len(kept)):
            raise BadInput(f"None of the pictures in {classed.halves[1 if train else 0]} can be read.")
    return _Seen(np.concatenate(vectors), [_class_of(found[place]) for place in kept], train)
