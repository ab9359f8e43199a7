"""How good a model's vectors are on a folder of class folders (SimCLR's linear evaluation, and k-NN)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from app.workspace import Workspace
from indexer.sources import read, scan
from model.encoder import open_encoder
from model.errors import BadInput, Cancelled, CannotDecode
from model.evaluate import knn_accuracy, linear_accuracy
from model.images import decode, make_preview
from model.info import ModelInfo

FOLDS = 5
BATCH = 64


def evaluate_folder(
    workspace: Workspace,
    info: ModelInfo,
    folder: Path,
    progress: Callable[[float, str], None],
    stop: Callable[[], bool],
) -> dict[str, Any]:
    """{images, classes, knn, linear, folds, refused, seconds}; each picture's class is the folder it lies in."""
    started = time.monotonic()
    settings = workspace.settings
    encoder = open_encoder(workspace.home.model(info.fingerprint), settings.device, settings.threads)
    found = [source for source in scan([folder]).sources if source.depth > 0 and source.member is None]
    squares: list[np.ndarray] = []
    vectors: list[np.ndarray] = []
    classes: list[str] = []
    refused = 0
    for number, source in enumerate(found):
        if stop():
            raise Cancelled("Stopped; nothing was measured.")
        try:
            preview = make_preview(read(source), source.name)  # the path that an imported picture takes
            squares.append(encoder.prepare(decode(preview.data, source.name)))
            classes.append(source.folder.rpartition("/")[2])
        except (CannotDecode, OSError):
            refused += 1
        if len(squares) == BATCH:
            vectors.append(encoder.encode(np.stack(squares)))
            squares = []
            progress(number / len(found), f"{number + 1:,} of {len(found):,} pictures encoded")
    if squares:
        vectors.append(encoder.encode(np.stack(squares)))
    if len(set(classes)) < 2:
        raise BadInput(f"{folder} needs at least two folders of pictures, one for each class.")
    progress(1.0, "fitting the classifiers")
    matrix = np.concatenate(vectors)
    linear = linear_accuracy(matrix, classes, FOLDS)
    return {
        "images": len(classes),
        "classes": sorted(set(classes)),
        "knn": knn_accuracy(matrix, classes),
        "linear": linear.accuracy,
        "interval": list(linear.interval),
        "folds": linear.folds,
        "refused": refused,
        "model": info.fingerprint,
        "seconds": round(time.monotonic() - started, 1),
    }
