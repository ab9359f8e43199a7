"""The whole loop through the command line, on a folder of class folders: what each step costs, and what it brings.

    scripts/bench loop --images FOLDER [--epochs N] [--home DIR] [--json] [--quick]

Baselines, in the same run: for speed the loop a user would write (Pillow full decode, torchvision Resize, timm eager,
batches of 32, the same network and size); for search a colour histogram; for the trained model the untrained one.
Classes only ever judge. Training sees the very pictures that are searched, as it does in use (transductive).
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from app.settings import Settings
from app.workspace import Workspace, find_model
from indexer.catalog import collection_named
from indexer.images import contents_of, get_images
from indexer.index import open_index
from model.evaluate import colour_histogram, precision_at
from model.images import decode
from scripts.benchmarks.table import Row, report, row

SHOTS, K, NAIVE, SEED = 10, 10, 512, 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench loop")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=None, help="default: chosen by the program")
    parser.add_argument("--home", type=Path, help="keep the data folder here instead of in a temporary one")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one epoch")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = options.home or Path(temporary)
        rows = measure(options.images, home, 1 if options.quick else options.epochs)
    baseline = "the loop a user would write / colour histogram / untrained model, as the row says"
    report("loop", baseline, rows, options.json)


def measure(folder: Path, home: Path, epochs: int | None) -> list[Row]:
    def likeness(*arguments: object) -> dict[str, Any]:
        command = [sys.executable, "-m", "app.cli", *map(str, arguments), "--home", str(home), "--json"]
        started = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return {**json.loads(done.stdout), "wall": time.monotonic() - started}

    imported = likeness("import", folder)
    before = likeness("index")  # an untrained model: what search does before anything was learnt
    untrained = search_figures(home)
    chosen = ["--epochs", epochs] if epochs else []
    trained = likeness("pretrain", *chosen)
    after = likeness("index", "--model", trained["model"])
    searched = search_figures(home)
    images, classes = labelled(home)
    chosen_ids = few(classes)
    labels = home / "labels.csv"
    with open(labels, "w", newline="") as file:
        csv.writer(file).writerows([(f"{images[i].folder}/{images[i].name}", classes[i]) for i in chosen_ids])
    likeness("label", "--csv", labels)
    likeness("probe")
    by_name = {f"{i.folder}/{i.name}": c for i, c in zip(images, classes, strict=True)}
    rest = exported(home, likeness, by_name, {f"{images[i].folder}/{images[i].name}" for i in chosen_ids})
    one = likeness("search", next(folder.rglob("*.*")), "-k", K)
    naive = naive_rate(folder, encoded_size(home))
    print(f"pretraining: {trained['sentence']}", file=sys.stderr)
    total = imported["added"]
    both = total / (imported["seconds"] + after["seconds"])
    return [
        row("pictures imported", total, "pictures"),
        row("pictures refused", len(imported["refused"]), "pictures"),
        row("import", total / imported["seconds"], "images/s"),
        row("index, encoding every picture (trained model)", after["encoded"] / after["seconds"], "images/s"),
        row("import + index beside the loop a user would write", both, "images/s", naive),
        row("index with the first, untrained model", before["encoded"] / before["seconds"], "images/s"),
        row("epochs of pretraining", trained["metrics"]["epoch"], ""),
        row("pretraining", trained["metrics"]["views_per_s"], "views/s"),
        row("pretraining, with reading previews and report", trained["wall"], "s"),
        row(f"precision@{K} untrained beside histogram", untrained["learnt"], "", untrained["histogram"]),
        row(f"precision@{K} trained beside histogram", searched["learnt"], "", searched["histogram"]),
        row(f"precision@{K} trained beside untrained", searched["learnt"], "", untrained["learnt"]),
        row(f"probe, {SHOTS} labels a class, right on the rest", rest, ""),
        row("one search, without starting the program", one["took_ms"], "ms"),
    ]


def labelled(home: Path) -> tuple[list[Any], list[str]]:
    """The images in the index, in its order, and the class of each: the folder it lies in."""
    workspace = Workspace.open(Settings(home=home))
    collection = collection_named(workspace.engine, "photos")
    index = open_index(workspace.home.index(collection.id, collection.active_model or ""))
    images = [
        x
        for at in range(0, len(index.ids), 500)
        for x in get_images(workspace.engine, index.ids[at : at + 500].tolist())
    ]
    return images, [image.folder.rpartition("/")[2] for image in images]


def encoded_size(home: Path) -> int:
    """The side, px, at which the active model encodes."""
    workspace = Workspace.open(Settings(home=home))
    model = collection_named(workspace.engine, "photos").active_model or ""
    return find_model(workspace.home, model).preparation.image_size


def search_figures(home: Path) -> dict[str, float]:
    """Precision@10 of searching with each picture in turn, by the active index and by a colour histogram."""
    workspace = Workspace.open(Settings(home=home))
    collection = collection_named(workspace.engine, "photos")
    index = open_index(workspace.home.index(collection.id, collection.active_model or ""))
    _, classes = labelled(home)
    at = {
        image_id: workspace.home.preview(sha, suffix)
        for image_id, sha, suffix in contents_of(workspace.engine, collection)
    }
    previews = [decode(at[int(i)].read_bytes(), str(i)) for i in index.ids]
    return {
        "learnt": precision_at(K, index.vectors, classes),
        "histogram": precision_at(K, colour_histogram(previews), classes),
    }


def few(classes: list[str]) -> list[int]:
    """`SHOTS` places of every class, drawn once with a fixed seed."""
    names, rng = np.array(classes), np.random.default_rng(SEED)
    return [
        int(i) for name in sorted(set(classes)) for i in rng.choice(np.flatnonzero(names == name), SHOTS, replace=False)
    ]


def exported(home: Path, likeness: Any, classes: dict[str, str], known: set[str]) -> float:
    """The share of unlabelled pictures whose prediction is right, from `likeness export`."""
    rows = likeness("export", "collection", "photos", "--format", "json")["images"]
    judged = [(r["predicted"], classes[key]) for r in rows if (key := f"{r['folder']}/{r['name']}") not in known]
    return sum(said == true for said, true in judged) / len(judged)


def naive_rate(folder: Path, size: int) -> float:
    """Pictures a second of the loop a user would write, on a sample."""
    import timm
    import torch
    from PIL import Image
    from torchvision.transforms.v2 import CenterCrop, Compose, Normalize, PILToTensor, Resize, ToDtype

    network = timm.create_model("resnet18", num_classes=0).eval()
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    steps = [Resize(size), CenterCrop(size), PILToTensor(), ToDtype(torch.float32, scale=True), Normalize(mean, std)]
    prepare = Compose(steps)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sample = [files[i] for i in np.random.default_rng(SEED).permutation(len(files))[:NAIVE]]
    started = time.monotonic()
    vectors = []
    with torch.inference_mode():
        for at in range(0, len(sample), 32):
            batch = torch.stack([prepare(Image.open(path).convert("RGB")) for path in sample[at : at + 32]])
            vectors.append(network(batch).numpy())
    return len(sample) / (time.monotonic() - started)


if __name__ == "__main__":
    main()
