"""The long work itself: import and index. A worker does it for a job, the command line for itself.

Each function takes the lock of its kind on the collection, can be stopped at any batch, and goes on when called again.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.views import view_size
from app.workspace import Workspace, all_models, find_model
from indexer.catalog import Collection, collection_with_id, has_images, update_collection
from indexer.embed import Embedder
from indexer.errors import Busy, NoIndex
from indexer.images import median_side
from indexer.importer import import_sources
from indexer.parts import WHOLE, Cutting
from indexer.published import read_published
from indexer.refresh import refresh_index
from indexer.sources import Scan
from model import shipped
from model.encoder import Encoder, has_cuda, open_encoder
from model.errors import Cancelled, LikenessError, TooFewImages
from model.info import ModelInfo
from model.progress import Line, Progress
from model.settings import choose_stem

Stop = Callable[[], bool]

log = logging.getLogger("likeness.work")


def silent(share: float, message: str) -> None:
    """Progress nobody watches."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


def import_found(
    workspace: Workspace,
    collection: Collection,
    found: Scan,
    labels_from_folders: bool = False,
    progress: Progress = silent,
    stop: Stop = never,
    allow_empty: bool = False,
    cutting: Cutting = WHOLE,
    committed: Callable[[int, Callable[[], None]], None] = lambda images, flush: None,
    retry: bool = False,
) -> dict[str, Any]:
    """Bring the pictures that a scan found into a collection.

    `committed` hears how many have come in so far, and is given what waits until those are encoded.
    """
    with workspace.home.lock(collection.id, collection.name, "import"), _embedder(workspace, collection) as embedder:
        result = import_sources(
            workspace.engine,
            workspace.home,
            collection,
            found,
            labels_from_folders=labels_from_folders,
            allow_empty=allow_empty,
            cutting=cutting,
            retry=retry,
            progress=progress,
            stop=stop,
            committed=lambda images: committed(images, embedder.flush if embedder is not None else lambda: None),
            embedder=embedder,
        )
    result.encoded = embedder.encoded if embedder is not None else 0
    return asdict(result)


def _embedder(workspace: Workspace, collection: Collection) -> AbstractContextManager[Embedder | None]:
    """What encodes pictures while they come in, by the model that they will be indexed with, if there is one yet."""
    home, settings = workspace.home, workspace.settings
    try:
        info = _model_at_hand(workspace, collection_with_id(workspace.engine, collection.id))
    except (LikenessError, OSError) as error:  # the index that follows says it to the person
        log.info("pictures are not encoded while they come in: %s", error)
        return nullcontext()
    if info is None:
        return nullcontext()
    return Embedder(
        workspace.engine,
        home,
        info,
        lambda: _encoder(home.model(info.fingerprint), settings.device, threads=1),
        threads=settings.threads or os.cpu_count() or 1,
    )


def index(
    workspace: Workspace,
    collection: Collection,
    fingerprint: str | None = None,
    progress: Progress = silent,
    stop: Stop = never,
    activate: bool = True,
) -> dict[str, Any]:
    """Embed what is missing, publish the index, and make its model the active one if so asked."""
    started = time.monotonic()
    home = workspace.home
    with home.lock(collection.id, collection.name, "index"):
        collection = collection_with_id(workspace.engine, collection.id)
        if not has_images(workspace.engine, collection):
            raise TooFewImages(f"{collection.name!r} holds no pictures yet: import some first.")
        info = find_model(home, fingerprint) if fingerprint else _model_for(workspace, collection, progress)
        progress(0.0, Line("opening", "opening the model"))
        settings = workspace.settings
        encoder = _encoder(home.model(info.fingerprint), settings.device, settings.threads)
        refreshed = refresh_index(
            workspace.engine,
            home,
            collection,
            encoder,
            budget_ms=settings.search_ms,
            threads=settings.threads,
            progress=progress,
            stop=stop,
        )
        embedded, published = refreshed.embedded, refreshed.published
        now = collection_with_id(workspace.engine, collection.id)
        # A person may have made another model the active one meanwhile: only what was asked for by name replaces it.
        if (fingerprint and activate) or now.active_model is None:
            update_collection(workspace.engine, collection, {"active_model": info.fingerprint})
    return {
        "model": info.fingerprint,
        "encoded": embedded.encoded,
        "unreadable": len(embedded.unreadable),
        "indexed": published.count,
        "index": published.described(),
        "images_per_second": round(embedded.encoded / embedded.seconds, 1) if embedded.encoded else None,
        "seconds": round(time.monotonic() - started, 2),
    }


def _encoder(folder: Path, device: str, threads: int) -> Encoder:
    """Kept by a worker between jobs: opening takes longer than encoding the ten pictures that came in."""
    on_cuda = device == "cuda" or (device == "auto" and has_cuda())
    return _kept_encoder(folder, device, 0 if on_cuda else threads)  # on a GPU threads make no other encoder


_kept_encoder = functools.lru_cache(maxsize=2)(open_encoder)


def activate(workspace: Workspace, collection: Collection, fingerprint: str) -> Collection:
    """Make another model the active one: one write. Its index must be there, so that search goes on."""
    info = find_model(workspace.home, fingerprint)
    try:
        read_published(workspace.home.index(collection.id, info.fingerprint))
    except NoIndex as error:
        raise NoIndex(
            f"{collection.name!r} has no index under model {info.fingerprint} yet: "
            f"run `likeness index --collection {collection.name} --model {info.fingerprint}`."
        ) from error
    return update_collection(workspace.engine, collection, {"active_model": info.fingerprint})


def index_when_free(workspace: Workspace, collection: Collection, fingerprint: str, stop: Stop) -> None:
    """Index with a new model; wait while another process indexes, for a finished training must not fail by that."""
    while True:
        try:
            index(workspace, collection, fingerprint, stop=stop)
            return
        except Busy:
            if stop():
                english = "Stopped before the new model was indexed; start again to go on."
                raise Cancelled(Line("new_stopped", english)) from None
            time.sleep(1)


def _model_at_hand(workspace: Workspace, collection: Collection) -> ModelInfo | None:
    """The model to index with when none is named: the active one, else the newest trained here, else ours."""
    if collection.active_model:
        return find_model(workspace.home, collection.active_model)
    trained = [
        info
        for info in all_models(workspace.home)
        if info.training.get("collection_id") == collection.id and info.arithmetic == "float32"
    ]
    return trained[-1] if trained else shipped.bring_into(workspace.home.models)


def _model_for(workspace: Workspace, collection: Collection, progress: Progress) -> ModelInfo:
    """The model at hand, or a first one."""
    if (info := _model_at_hand(workspace, collection)) is not None:
        return info
    progress(0.0, Line("first_model", "making a first, untrained model"))
    from model.checkpoint import save_model
    from model.learner import pick_device
    from model.network import starting_point
    from model.pixels import encoding_side

    native = median_side(workspace.engine, collection)
    stem = choose_stem("auto", native, "resnet18")
    # The very model that a training with default settings starts from, so that its report compares with it.
    size = encoding_side(view_size(native, pick_device(workspace.settings.device).type, stem), native)
    start = starting_point("random", "resnet18", size, workspace.home.models, 0, stem)
    return save_model(start.backbone, start.preparation, workspace.home.models, started_from=start.started_from)
