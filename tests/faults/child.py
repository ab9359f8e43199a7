"""What the children of the kill harness do. Each prints a line when, and only when, something is finished for good."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from indexer.home import Home


def say(message: object) -> None:
    print(message, flush=True)


def open_home(root: str) -> None:
    from indexer.catalog import all_collections, open_catalog

    say("ready")
    sys.stdin.readline()
    say(len(all_collections(open_catalog(Home(Path(root))))))


def import_folder(root: str, folder: str) -> None:
    from indexer import importer
    from indexer.catalog import ensure_collection, open_catalog
    from indexer.sources import scan

    importer.BATCH = 4
    home = Home(Path(root))
    engine = open_catalog(home)
    collection = ensure_collection(engine, "photos")
    found = scan([Path(folder)])
    importer.import_sources(engine, home, collection, found, workers=2, progress=lambda _, message: say(message))


def embed(root: str, model: str) -> None:
    from indexer import embed
    from indexer.catalog import collection_named, open_catalog
    from model.encoder import open_encoder

    embed.BATCH = 4
    home = Home(Path(root))
    engine = open_catalog(home)
    encoder = open_encoder(Path(model), "cpu", threads=1)
    photos = collection_named(engine, "photos")
    embed.embed_missing(engine, home, photos, encoder, progress=lambda _, message: say(message))


def publish(folder: str, seed: str, nth: str) -> None:
    """Publish an index, and die just before the `nth` step that reaches the disk."""
    from indexer.publish import publish
    from tests.indexer.helpers import unit_vectors

    _die_before(int(nth))
    publish(Path(folder), np.arange(50), unit_vectors(50, seed=int(seed)))
    say("published")


def publish_large(folder: str, seed: str, nth: str) -> None:
    """The same with an index of several files."""
    from indexer.publish import publish
    from tests.indexer.helpers import unit_vectors

    _die_before(int(nth))
    publish(Path(folder), np.arange(50), unit_vectors(50, seed=int(seed)), budget_ms=1e-9)
    say("published")


def append(folder: str, seed: str, nth: str) -> None:
    """Append to an index, and die just before the `nth` step that reaches the disk."""
    from indexer.publish import append
    from indexer.published import read_published
    from tests.indexer.helpers import unit_vectors

    _die_before(int(nth))
    append(Path(folder), read_published(Path(folder)), np.arange(50, 100), unit_vectors(50, seed=int(seed)))
    say("published")


def _die_before(nth: int) -> None:
    """Die just before the `nth` step that reaches the disk."""
    steps = 0

    def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        return step

    os.replace, os.fsync, os.unlink = deadly(os.replace), deadly(os.fsync), deadly(os.unlink)


def label(root: str, class_name: str, *image_ids: str) -> None:
    from indexer.catalog import collection_named, open_catalog
    from indexer.labels import label

    engine = open_catalog(Home(Path(root)))
    photos = collection_named(engine, "photos")
    say("ready")
    sys.stdin.readline()
    for image_id in map(int, image_ids):
        label(engine, photos, [image_id], class_name, "yes", "hand")
        say(image_id)


def answer(root: str, *image_ids: str) -> None:
    """Say of each image, as one action, that it is a cat and a pet, and no dog."""
    from indexer.catalog import collection_named, open_catalog
    from indexer.labels import answer_each

    engine = open_catalog(Home(Path(root)))
    photos = collection_named(engine, "photos")
    say("ready")
    sys.stdin.readline()
    for image_id in map(int, image_ids):
        answer_each(engine, photos, {image_id: {"cat": "yes", "pet": "yes", "dog": "no"}}, "hand")
        say(image_id)


def change_class(root: str, what: str, nth: str) -> None:
    """Rename "cat", or merge it into "dog", and die just before the `nth` statement or commit."""
    from sqlalchemy import event

    from indexer.catalog import collection_named, open_catalog
    from indexer.classes import merge_class, update_class

    engine = open_catalog(Home(Path(root)))
    photos = collection_named(engine, "photos")
    steps = 0

    def step(*_: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(engine, "before_cursor_execute", step)
    event.listen(engine, "commit", step)
    if what == "rename":
        update_class(engine, photos, "cat", "kitten", None)
    else:
        merge_class(engine, photos, "cat", "dog")
    say("done")
    os.kill(os.getpid(), signal.SIGKILL)  # at once after it was acknowledged


def hold(root: str, kind: str) -> None:
    with Home(Path(root)).lock(1, "photos", kind):
        say(os.getpid())
        time.sleep(600)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
