"""What the tests of the indexer share: a small real model, unit vectors, images without files, the journal."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, insert, select

from indexer.catalog import Collection
from indexer.schema import contents, images, label_events, now
from indexer.undo import redo, undo
from tests.pictures import NAMES, views

SIDE = 32


@cache
def small_model(models: Path) -> Path:
    """A ResNet-18 for 32 px whose batch norm has seen real pictures, so that it tells them apart; with its graph."""
    import torch

    from model.checkpoint import save_model
    from model.encoder import open_encoder
    from model.network import starting_point

    start = starting_point("random", "resnet18", SIDE, models, seed=0)
    network = start.backbone.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # one batch says it all
    batch = np.stack([np.asarray(view) for name in NAMES for view in views(name, 4, SIDE)])
    with torch.no_grad():
        network((torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255 - 0.45) / 0.225)
    folder = models / save_model(network.eval(), start.preparation, models, started_from="random").fingerprint
    open_encoder(folder, "cpu", threads=2)  # exports the graph: the children of the kill harness need no torch
    return folder


def unit_vectors(count: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    """(count, dim) float32 of length 1."""
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def tree(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file below `folder`: its SHA-256 and its time of change, to compare before and after."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def fill(engine: Engine, collection: Collection, count: int) -> list[int]:
    """Images without files: labels know nothing of pixels. Returns their ids."""
    with engine.begin() as connection:
        for number in range(count):
            sha256 = f"{collection.id:032x}{number:032x}"
            content = {"sha256": sha256, "preview_sha256": sha256, "preview_suffix": "png", "width": 1, "height": 1}
            connection.execute(insert(contents).values(bytes=1, format="PNG", stored=0, **content))
            image = {"collection_id": collection.id, "sha256": sha256, "name": f"{number}.png", "folder": "f"}
            connection.execute(insert(images).values(added_at=now(), **image))
        query = select(images.c.id).where(images.c.collection_id == collection.id).order_by(images.c.id)
        return list(connection.execute(query).scalars())


def events(engine: Engine) -> list[tuple]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(label_events).order_by(label_events.c.id))]


def assert_goes_back_and_forth(engine: Engine, collection: Collection, states: list, state: Callable) -> None:
    """One undo leads from each of `states`, the last of which is now, to the one before; one redo to the next."""
    for before in states[-2::-1]:
        undo(engine, collection)
        assert state() == before
    for after in states[1:]:
        redo(engine, collection)
        assert state() == after


def clustered(count: int, dim: int = 32, seed: int = 0, groups: int = 60) -> np.ndarray:
    """(count, dim) unit vectors in groups, the same groups for every `seed`: as pictures of things are."""
    centres, rng = unit_vectors(groups, dim, seed=99), np.random.default_rng(seed)
    spread = rng.standard_normal((count, dim)).astype(np.float32) * np.float32(0.6 / dim**0.5)
    vectors = centres[rng.integers(0, groups, count)] + spread
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
