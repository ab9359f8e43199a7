"""Import, index, label and train, killed at random moments again and again, and looked at after each."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, func, select

from indexer import embed, importer
from indexer.catalog import Collection, collection_named, ensure_collection, open_catalog
from indexer.columns import select_ids
from indexer.errors import NoIndex
from indexer.filters import Filter
from indexer.home import Home
from indexer.images import contents_of, get_images, read_preview
from indexer.importer import import_sources
from indexer.index import open_index
from indexer.labels import current_labels, label
from indexer.refresh import refresh_index
from indexer.schema import actions
from indexer.sources import scan
from indexer.vectors import VectorStore
from scripts.soaking.forked import Say, Tally, killed_after
from tests.indexer.helpers import tree
from tests.pictures import NAMES, write_folders

SUBJECTS, EACH = NAMES[:4], 12
TOTAL = len(SUBJECTS) * EACH


def pictures(folder: Path) -> Path:
    """Forty-eight pictures to import."""
    if not folder.exists():
        write_folders(folder, SUBJECTS, EACH, size=48)
    return folder


def kill_imports(work: Path, chance: random.Random, tally: Tally) -> None:
    """After every kill each image is there once, with its preview, and none that was there before is gone."""
    importer.BATCH = 4
    folder = pictures(work / "pictures")
    before, home, known = tree(folder), Home(work / "import"), 0

    def run(say: Say) -> None:
        engine = open_catalog(home)
        photos = ensure_collection(engine, "photos")
        found = scan([folder])
        import_sources(engine, home, photos, found, workers=1, progress=lambda _, message: say(message))

    while tally.goes_on():
        ended = killed_after(chance.uniform(0, 2.5), run)
        tally.tries += ended.killed
        tally.check(not ended.failed, ended.failed)
        engine, photos = _opened(home)
        found = get_images(engine, select_ids(engine, photos, Filter()).tolist())
        acknowledged = max(
            (int(line.split(" of ")[0].replace(",", "")) for line in ended.said if " of " in line), default=0
        )
        tally.check(len(found) >= max(acknowledged, known), f"{len(found)} images, {acknowledged} were acknowledged")
        tally.check(len({image.sha256 for image in found}) == len(found), "an image is there twice")
        tally.check(all(read_preview(home, image) for image in found), "a preview is missing")
        known = len(found)
        engine.dispose()
        if not ended.killed:
            tally.check(known == TOTAL, f"{known} of {TOTAL} images after a whole run")
            shutil.rmtree(home.root)
            known = 0
    tally.check(tree(folder) == before, "the folder of pictures was changed")


def kill_indexing(work: Path, chance: random.Random, tally: Tally, model: Path) -> None:
    """After every kill the index is none, or whole; every vector is the very one of an undisturbed run."""
    from model.encoder import open_encoder

    embed.BATCH = 4
    sound, home = Home(work / "sound"), Home(work / "index")
    _bring(sound, pictures(work / "pictures"))
    fingerprint = model.name

    def run(say: Say, home: Home, budget_ms: float) -> None:
        engine, photos = _opened(home)
        encoder = open_encoder(model, "cpu", threads=1)
        refresh_index(engine, home, photos, encoder, budget_ms=budget_ms, progress=lambda _, message: say(message))

    shutil.rmtree(home.root, ignore_errors=True)
    shutil.copytree(sound.root, home.root)
    first = killed_after(600, lambda say: run(say, sound, 5.0))
    tally.check(not first.failed, first.failed)
    engine, photos = _opened(sound)
    rows = contents_of(engine, photos)
    engine.dispose()
    shas, dim = [sha256 for _, sha256, _ in rows], json.loads((model / "model.json").read_text())["dim"]
    right = VectorStore(sound.vectors(fingerprint), dim).get(shas)[1]
    while tally.goes_on():
        budget_ms = chance.choice([5.0, 1e-9])  # one file, or several
        ended = killed_after(chance.uniform(0, 0.8), lambda say, budget=budget_ms: run(say, home, budget))  # type: ignore[misc]
        tally.tries += ended.killed
        tally.check(not ended.failed, ended.failed)
        positions, vectors = VectorStore(home.vectors(fingerprint), dim).get(shas)
        tally.check(np.array_equal(vectors, right[positions]), "a vector is another than in an undisturbed run")
        try:
            index = open_index(home.index(photos.id, fingerprint))
        except NoIndex:
            tally.check(ended.killed, "there is no index after a whole run")
        else:
            tally.check(len(index.ids) == TOTAL and np.array_equal(index.vectors, right), "the index is not whole")
        if not ended.killed:
            shutil.rmtree(home.root)
            shutil.copytree(sound.root, home.root, ignore=shutil.ignore_patterns("vectors", "indexes"))


def kill_labelling(work: Path, chance: random.Random, tally: Tally) -> None:
    """After every kill each answer that was acknowledged is in the journal, at most one more is, and none is lost."""
    home = Home(work / "label")
    _bring(home, pictures(work / "pictures"))
    engine, photos = _opened(home)
    ids = select_ids(engine, photos, Filter()).tolist()
    engine.dispose()
    count = 0

    def run(say: Say) -> None:
        engine, photos = _opened(home)
        for number in range(100_000):
            image_id, name = chance.choice(ids), chance.choice(["cat", "dog", "none of both"])
            label(engine, photos, [image_id], name, "yes", "hand")
            say(f"{number}\t{image_id}\t{name}")

    while tally.goes_on():
        ended = killed_after(chance.uniform(0.05, 0.5), run)
        tally.tries += ended.killed
        tally.check(not ended.failed, ended.failed)
        engine, photos = _opened(home)
        with engine.connect() as connection:
            now = int(connection.execute(select(func.count()).select_from(actions)).scalar_one())
        stands = {item.image_id: item.class_name for item in current_labels(engine, photos)}
        engine.dispose()
        acknowledged = len(ended.said)
        # An answer that changes nothing is acknowledged without an entry; so at most as many, and the last one stands.
        tally.check(count <= now <= count + acknowledged + 1, f"{now - count} entries, {acknowledged} acknowledged")
        latest = dict(line.split("\t")[1:] for line in ended.said)
        wrong = [i for i, name in latest.items() if stands.get(int(i)) != name]
        tally.check(len(wrong) <= 1, f"images {wrong} do not have the answer that was acknowledged last")
        count = now


def kill_training(work: Path, chance: random.Random, tally: Tally) -> None:
    """Killed and gone on with as often as it takes, a training ends with the very weights of an undisturbed one."""
    import torch

    from model.resume import read_state
    from model.train import pretrain
    from tests.model.runs import TINY, lines, tiny_pixels, tiny_start

    torch.set_num_threads(1)
    pixels, settings = tiny_pixels(), replace(TINY, checkpoint_minutes=0)  # a checkpoint after every step
    start = tiny_start(work / "models")
    whole, run = work / "whole", work / "run"

    def train(say: Say, folder: Path) -> None:
        torch.set_num_threads(1)
        pretrain(pixels, start, settings, folder, lambda progress: say(progress.message))

    first = killed_after(600, lambda say: train(say, whole))
    tally.check(not first.failed, first.failed)
    right = read_state(whole)
    while tally.goes_on():
        ended = killed_after(chance.uniform(0, 1.5), lambda say: train(say, run))
        tally.tries += ended.killed
        tally.check(not ended.failed, ended.failed)
        if not ended.killed:
            state = read_state(run)
            tally.check(
                state.keys() == right.keys() and all(torch.equal(state[name], right[name]) for name in right),
                "the weights are others than in an undisturbed run",
            )
            tally.check(lines(run) == lines(whole), "the metrics are others than in an undisturbed run")
            shutil.rmtree(run)


def _opened(home: Home) -> tuple[Engine, Collection]:
    engine = open_catalog(home)
    return engine, ensure_collection(engine, "photos")


def _bring(home: Home, folder: Path) -> None:
    engine = open_catalog(home)
    ensure_collection(engine, "photos")
    import_sources(engine, home, collection_named(engine, "photos"), scan([folder]), workers=1)
    engine.dispose()


Loop = Callable[[Path, random.Random, Tally], None]


def loops(work: Path) -> dict[str, Loop]:
    """What is killed → how. Training comes last: it imports torch, and the others fork without it."""
    from tests.homes.make import __file__ as homes

    model: list[Path] = []

    def indexing(folder: Path, chance: random.Random, tally: Tally) -> None:
        if not model:
            model.append(_exported(Path(homes).parent / "0.1.0" / "models", work / "models of old"))
        kill_indexing(folder, chance, tally, model[0])

    return {
        "kill -9 while importing": kill_imports,
        "kill -9 while indexing": indexing,
        "kill -9 while labelling": kill_labelling,
        "kill -9 while training": kill_training,
    }


def _exported(models: Path, copied: Path) -> Path:
    """The small model of the first version's home with its graph, which is made by a child: that needs torch."""
    from model.encoder import open_encoder

    shutil.copytree(models, copied, dirs_exist_ok=True)
    [folder] = copied.iterdir()

    def export(say: Callable[[Any], None]) -> None:
        open_encoder(folder, "cpu", threads=1)

    ended = killed_after(600, export)
    if ended.failed:
        raise RuntimeError(ended.failed)
    return folder
