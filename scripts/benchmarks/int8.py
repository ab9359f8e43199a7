"""What an int8 copy of the encoder that ships costs and brings, on folders of class folders, and why it is made so.

    scripts/bench int8 --images FOLDER [--images FOLDER]... [--model FOLDER] [--json] [--quick]

For every folder: of the ten nearest the share that stays, k-NN accuracy beside float32's (20 neighbours, leaving one
out), and pictures a second from squares in memory beside float32's, on all cores. The first three rows of a folder are
of the copy as `likeness int8` makes it, calibrated on the folder's own pictures; the others change one choice each.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from app.int8 import CALIBRATED_ON, KEPT, LOST, NEAREST, NEIGHBOURS
from model.encoder import Encoder, graph_of, on_cpu
from model.errors import LikenessError
from model.evaluate import knn_accuracy, nearest_kept
from model.int8 import OPERATORS, quantised
from scripts.benchmarks.calls import say
from scripts.benchmarks.labelled import BATCH, Labelled, encoder_of, read, start_of
from scripts.benchmarks.table import Row, aim, quick, report, row

VARIANTS: dict[str, dict[str, Any]] = {
    "as it is made": {},
    "first layer in int8 too": {"keep_first": False},
    "whole range of activations": {"cut": None},
    "one scale for all channels": {"per_channel": False},
    "eight bits of weights": {"seven_bits": False},
    "sums of branches in float32": {"operators": tuple(x for x in OPERATORS if x != "Add")},
    "pooling in int8 too": {"operators": (*OPERATORS, "MaxPool")},
}
TIMED = 256  # pictures; the best of three goes
QUICK_EACH = 12  # pictures of a class


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 after one sentence."""
    parser = argparse.ArgumentParser(prog="scripts/bench int8")
    parser.add_argument("--images", type=Path, action="append", required=True, help="a folder of class folders")
    parser.add_argument("--model", type=Path, help="a model's folder (default: the encoder that ships)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few pictures: shows that it runs")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    try:
        with tempfile.TemporaryDirectory() as scratch:
            exact = encoder_of(start_of(options.model), Path(scratch), "cpu")
            for folder in options.images:
                pictures = read(folder, QUICK_EACH if options.quick else None)
                rows += measure(pictures, exact, Path(scratch) / exact.info.fingerprint)
    except LikenessError as error:
        print(error, file=sys.stderr)
        return 1
    network = f"{exact.info.backbone} at {exact.info.preparation.image_size} px"
    notes = [f"{network}, calibrated on {CALIBRATED_ON} pictures of the folder"]
    report("int8", "the same model in float32", quick(rows) if options.quick else rows, options.json, notes)
    return 0


def measure(pictures: Labelled, exact: Encoder, folder: Path) -> list[Row]:
    """The rows of one folder."""
    say(f"{pictures.name}: {len(pictures.classes):,} pictures")
    starts = range(0, len(pictures.classes), BATCH)
    squares = np.concatenate([pictures.squares(exact, at, at + BATCH) for at in starts])
    graph = graph_of(folder, exact.info)
    lot = np.random.default_rng(0).permutation(len(squares))[:CALIBRATED_ON]
    floats = exact.encode(squares)
    everyone = np.arange(len(squares))
    right = 100 * knn_accuracy(floats, pictures.classes, NEIGHBOURS)
    rows = []
    for name, changed in VARIANTS.items():
        say(f"{pictures.name}: {name}")
        copy = on_cpu(replace(exact.info, arithmetic="int8"), quantised(graph, squares[lot], **changed))
        ints = copy.encode(squares)
        kept = row(
            f"{pictures.name}: {NEAREST} nearest that stay, {name}", nearest_kept(floats, ints, everyone, NEAREST), ""
        )
        knn = row(f"{pictures.name}: k-NN, {name}", 100 * knn_accuracy(ints, pictures.classes, NEIGHBOURS), "%", right)
        speed = row(f"{pictures.name}: encoding, {name}", pace(copy, squares), "images/s", pace(exact, squares))
        if not changed:
            kept, knn = aim(kept, at_least=KEPT), aim(knn, at_least=round(right - 100 * LOST, 2))
        rows += [kept, knn, speed]
    return rows


def pace(encoder: Encoder, squares: np.ndarray) -> float:
    """Pictures a second, from squares in memory to vectors."""
    some = squares[:TIMED]
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        encoder.encode(some)
        seconds.append(time.perf_counter() - started)
    return len(some) / min(seconds)


if __name__ == "__main__":
    sys.exit(main())
