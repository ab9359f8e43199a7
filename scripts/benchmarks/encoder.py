"""How good the encoder that ships is at search and with few labels, on folders of class folders it never saw.

    scripts/bench encoder --images FOLDER [--images FOLDER]... [--photos FOLDER] [--supervised timm:NAME[=FILE]]

For every folder, with fixed seeds, in per cent:

- linear: logistic regression on the frozen vectors, its strength chosen inside the training folds; stratified 5-fold;
- k-NN: 20 neighbours out of the other four folds, cosine, weighted by exp(cosine / 0.1);
- 5-shot: a probe from five labels per class, right on all the rest; 20 draws and the 95 % interval of their mean;
- precision@10: of the ten nearest to a picture, the part that shares its class.

Beside it, in the same run: the same network untrained and prepared alike, a colour histogram, and, where its weights
can be had, a ResNet-18 that was trained with ImageNet's labels, prepared as it was trained to be.

Then the trade (trade.py): the side at which pictures are encoded, by what search gains and what it costs on this
machine; with --photos also how pictures that are not square are prepared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from model.encoder import Encoder
from model.errors import LikenessError, WeightsUnavailable
from model.evaluate import few_shot_accuracy, precision_at
from model.network import starting_point
from model.probe import assess
from scripts.benchmarks.calls import say
from scripts.benchmarks.judge import knn_accuracy
from scripts.benchmarks.labelled import encoder_of, read, start_of
from scripts.benchmarks.table import Row, aim, missing, quick, report, row
from scripts.benchmarks.trade import NEAR, trade, trade_of_fits

K, FOLDS, SHOTS, DRAWS, SEED = 20, 5, 5, 20, 0
MEASURES = ("linear", f"k-NN, k={K}", f"{SHOTS}-shot", f"precision@{NEAR}")
TARGETS = {  # of the encoder that ships, by folder
    "imagenette-val": dict(zip(MEASURES, (90, 85, 75, None), strict=True)),
    "steel": {f"{SHOTS}-shot": 70},
}
SIZES = (64, 80, 96, 128, 160, 224)  # px
TRADED = 1000  # pictures of a folder that the trade is measured on, at most
SUPERVISED = "timm:resnet18.tv_in1k"
QUICK_EACH, QUICK_DRAWS, QUICK_SIZES = 12, 2, (64,)  # pictures of a class


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 after one sentence."""
    options = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            rows, notes = run(options, Path(scratch))
    except LikenessError as error:
        print(error, file=sys.stderr)
        return 1
    rows = quick(rows) if options.quick else rows
    report(
        "encoder", "the same network untrained; for the trade, the preparation that ships", rows, options.json, notes
    )
    return 0


def run(options: argparse.Namespace, scratch: Path) -> tuple[list[Row], list[str]]:
    sets = [read(folder, QUICK_EACH if options.quick else None) for folder in options.images]
    shipped = start_of(options.model)
    size = shipped.preparation.image_size
    untrained = starting_point("random", shipped.backbone.name, size, scratch, SEED, shipped.backbone.stem)
    rivals: dict[str, Encoder | None] = {
        "shipped": encoder_of(shipped, scratch, options.device),
        "untrained": encoder_of(untrained, scratch, options.device, fit=shipped.preparation.fit),
        "colour histogram": None,
    }
    unavailable = ""
    if not options.quick:
        try:
            start = starting_point(options.supervised, "resnet18", None, scratch, SEED)
            rivals["supervised"] = encoder_of(start, scratch, options.device)
        except WeightsUnavailable as error:
            unavailable = "its weights cannot be had here"
            say(str(error))
    rows: list[Row] = []
    for each in sets:
        measured = {}
        for name, encoder in rivals.items():
            say(f"{each.name}: {name}")
            vectors = each.histogram if encoder is None else each.vectors(encoder)
            measured[name] = figures(vectors, each.classes, QUICK_DRAWS if options.quick else DRAWS)
        rows += table(each.name, measured, unavailable)
    sizes = QUICK_SIZES if options.quick else SIZES
    for each in sets:
        some = each.sample(max(2, TRADED // len(set(each.classes))))
        rows += trade(some, shipped, sizes, scratch, options.device)
    if options.photos:
        most = QUICK_EACH if options.quick else TRADED
        rows += trade_of_fits(options.photos, most, shipped, sizes, scratch, options.device)
    started = f"shipped: {shipped.started_from}, encoding at {size} px, fit {shipped.preparation.fit}"
    contents = [f"{each.name}: {len(each.classes):,} pictures, {len(set(each.classes))} classes" for each in sets]
    return rows, [started, f"supervised: {options.supervised}", *contents]


def figures(vectors: np.ndarray, classes: list[str], draws: int) -> dict[str, tuple[float, tuple[float, float] | None]]:
    """Per measure its figure in per cent, and its 95 % interval where there is one."""
    linear = assess(vectors, classes, FOLDS, SEED)
    shots, interval = few_shot_accuracy(vectors, classes, SHOTS, draws, SEED)
    near = precision_at(min(NEAR, len(vectors) - 1), vectors, classes)
    values = (
        (linear.accuracy, linear.interval),
        (neighbours(vectors, classes), None),
        (shots, interval),
        (near, None),
    )
    in_percent = [(100 * value, ends and (100 * ends[0], 100 * ends[1])) for value, ends in values]
    return dict(zip(MEASURES, in_percent, strict=True))


def neighbours(vectors: np.ndarray, classes: list[str]) -> float:
    """k-NN accuracy where each fold is asked of the other four."""
    from sklearn.model_selection import StratifiedKFold

    _, y = np.unique(classes, return_inverse=True)
    folds = min(FOLDS, int(np.bincount(y).min()))
    right = 0.0
    x, labels = torch.from_numpy(vectors), torch.from_numpy(y)
    for known, hidden in StratifiedKFold(folds, shuffle=True, random_state=SEED).split(vectors, y):
        k = min(K, len(known))
        right += knn_accuracy(x[known], labels[known], x[hidden], labels[hidden], k) * len(hidden)
    return right / len(y)


def table(name: str, measured: dict[str, dict[str, tuple[float, tuple[float, float] | None]]], why: str) -> list[Row]:
    rows = []
    for measure in MEASURES:
        floor = measured["untrained"][measure][0]
        for who, values in measured.items():
            value, ends = values[measure]
            said = f"{name}: {measure}, {who}" + (f" ({ends[0]:.1f} to {ends[1]:.1f})" if ends else "")
            each = row(said, value, "%", None if who == "untrained" else floor)
            rows.append(aim(each, TARGETS.get(name, {}).get(measure)) if who == "shipped" else each)
        if why:
            rows.append(missing(f"{name}: {measure}, supervised", "%", why))
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench encoder")
    parser.add_argument("--images", type=Path, action="append", required=True, help="folder of class folders")
    parser.add_argument("--photos", type=Path, help="folder with pictures that are not square; labels are not needed")
    parser.add_argument("--model", type=Path, help="folder of another model to judge, instead of the one that ships")
    parser.add_argument("--supervised", default=SUPERVISED, help="timm:NAME[=FILE] to compare with")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="show that it runs: a few pictures of each class")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
