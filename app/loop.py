"""The whole loop on one collection: import, pretrain, index, a few labels, and what each step brought."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from app import demo, training, work
from app.engine import Engine
from app.terminal import Terminal
from app.workspace import Workspace, all_models
from indexer.catalog import Collection, collection_named, ensure_collection
from indexer.images import contents_of, get_images
from indexer.labels import current_labels, label_each
from indexer.sources import scan
from model import shipped
from model.errors import TooFewImages
from model.evaluate import colour_histogram, precision_at
from model.images import decode

SHOTS = 5  # labels per subject of the demo's probe
K = 10


def whole_loop(workspace: Workspace, folder: Path | None, dataset: str | None, terminal: Terminal) -> dict[str, Any]:
    """Do what is not done yet, and return the figures. `folder` None: the demo collection, whose subjects are known."""
    started = time.monotonic()
    known_subjects = folder is None
    if folder is not None:
        name = re.sub(r"[\x00-\x1f/\\]", "-", folder.resolve().name).strip() or "photos"
    elif dataset is not None:
        name, folder = dataset.lower(), workspace.home.root / "datasets" / dataset.lower()
        terminal.say(f"fetching {dataset}")
        demo.fetch_dataset(dataset, folder)
    else:
        name, folder = "demo", workspace.home.root / "demo"
        terminal.say("cutting the demo collection out of the photographs that came with the dependencies")
        demo.write_demo(folder)
    found = scan([folder])
    collection = ensure_collection(workspace.engine, name)
    imported = work.import_found(workspace, collection, found, False, terminal.progress, terminal.stop)
    terminal.say(f"{imported['added_total']:,} pictures added to {name!r}, {len(imported['refused']):,} refused")
    for item in imported["refused"][:10]:
        terminal.say(f"  {item['path']}: {item['reason']}")
    value: dict[str, Any] = {"collection": name, "added": imported["added_total"], "refused": imported["refused"]}

    if shipped.suits("resnet18"):  # search works before anything is learnt here
        first = work.index(workspace, collection_named(workspace.engine, name), None, terminal.progress, terminal.stop)
        terminal.say(f"{first['indexed']:,} pictures can be searched, with model {first['model']}")
        value["first_index"] = first
    collection = collection_named(workspace.engine, name)
    trained = _train(workspace, collection, demo.SETTINGS if name == "demo" else {}, terminal)
    if trained is not None:
        terminal.say(f"pretrained: {trained['sentence']}")
        value["training"] = trained
    index = work.index(workspace, collection_named(workspace.engine, name), None, terminal.progress, terminal.stop)
    terminal.say(f"{index['indexed']:,} pictures indexed with model {index['model']}")
    value["index"] = index
    if known_subjects:
        value |= _figures(workspace, collection_named(workspace.engine, name), terminal)
    value["seconds"] = round(time.monotonic() - started, 1)
    terminal.say(f"all of it took {value['seconds']:.0f} s")
    return value


def _train(
    workspace: Workspace, collection: Collection, settings: dict[str, Any], terminal: Terminal
) -> dict[str, Any] | None:
    """Pretrain, unless that was done before, and adopt what is better than the encoder that ships."""
    if any(info.training.get("collection_id") == collection.id for info in all_models(workspace.home)):
        return None
    try:
        adopt = "better" if shipped.suits("resnet18") else "always"
        return training.train(workspace, collection, {"adopt": adopt, **settings}, terminal.progress, terminal.stop)
    except TooFewImages as error:
        terminal.say(f"not pretrained: {error}")
        return None


def _figures(workspace: Workspace, collection: Collection, terminal: Terminal) -> dict[str, Any]:
    """How well search and a probe from few labels find the subjects, which are the folders."""
    engine = Engine(workspace)
    index = engine.index(collection)
    images = get_images(workspace.engine, index.ids.tolist())
    subjects = [image.folder.rpartition("/")[2] for image in images]
    suffixes = {image_id: (sha256, suffix) for image_id, sha256, suffix in contents_of(workspace.engine, collection)}
    previews = [decode(workspace.home.preview(*suffixes[i.id]).read_bytes(), i.name) for i in images]
    by_colour = precision_at(K, colour_histogram(previews), subjects)
    by_likeness = precision_at(K, index.vectors, subjects)
    terminal.say(
        f"search precision@{K}: {by_likeness:.2f} (a colour histogram: {by_colour:.2f}), "
        f"{100 * (by_likeness - by_colour):+.0f} points"
    )
    if not current_labels(workspace.engine, collection):
        rng = np.random.default_rng(0)
        chosen: dict[int, str] = {}
        for subject in sorted(set(subjects)):
            of_it = [image.id for image, s in zip(images, subjects, strict=True) if s == subject]
            chosen |= {int(i): subject for i in rng.choice(of_it, min(SHOTS, len(of_it)), replace=False)}
        label_each(workspace.engine, collection, chosen, "demo")
    found: dict[str, Any] = {f"precision_at_{K}": by_likeness, f"histogram_precision_at_{K}": by_colour}
    labelled = {x.image_id for x in current_labels(workspace.engine, collection)}
    predicted = engine.probes.predictions_of(collection, engine.selections.present(collection))
    if not predicted:  # a person took the labels away
        return found
    rest = [(predicted[i.id].class_name, s) for i, s in zip(images, subjects, strict=True) if i.id not in labelled]
    accuracy = sum(said == subject for said, subject in rest) / max(len(rest), 1)
    terminal.say(f"a probe from {len(labelled)} labels is right for {accuracy:.0%} of the other {len(rest):,} pictures")
    return {**found, "probe_labels": len(labelled), "probe_accuracy": accuracy}
