"""The long work itself: import, index, training. A worker does it for a job, the command line for itself.

Each function takes the lock of its kind on the collection, can be stopped at any batch, and goes on when called again.
"""

from __future__ import annotations

import functools
import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.plan import planned
from app.report import write_report
from app.views import disagreements, view_size
from app.workspace import Workspace, all_models, find_model
from indexer.catalog import Collection, collection_with_id, has_images, update_collection
from indexer.embed import Embedder
from indexer.errors import Busy, NoIndex
from indexer.images import median_side
from indexer.importer import import_sources
from indexer.labels import current_labels
from indexer.parts import WHOLE, Cutting
from indexer.published import read_published
from indexer.refresh import refresh_index
from indexer.sources import Scan, scan_upload
from model import shipped
from model.encoder import Encoder, has_cuda, open_encoder
from model.errors import BadInput, Cancelled, LikenessError, TooFewImages
from model.files import write_atomically
from model.info import ModelInfo
from model.progress import Line, Progress
from model.settings import choose_stem

METRICS, PINNED = "metrics.jsonl", "pinned.jsonl"  # what a run writes while it learns, kept beside its model
Stop = Callable[[], bool]

log = logging.getLogger("likeness.work")


def silent(share: float, message: str) -> None:
    """Progress nobody watches."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


def import_upload(
    workspace: Workspace, collection: Collection, batch: str, progress: Progress = silent, stop: Stop = never
) -> dict[str, Any]:
    """Bring the files that arrived over HTTP into a collection. Their waiting copies are the caller's to drop."""
    return import_found(workspace, collection, scan_upload(workspace.home.upload(batch)), False, progress, stop)


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


def train(
    workspace: Workspace,
    collection: Collection,
    chosen: dict[str, Any],
    progress: Progress = silent,
    stop: Stop = never,
    remark: Callable[[str], None] = lambda sentence: None,
    enough: Stop = never,
) -> dict[str, Any]:
    """Pretrain on the collection, report against the model it started from, and adopt the new one if so asked.

    `chosen` may hold init, backbone, adopt (better, always, never), pins (ids of images whose nearest are looked at as
    it learns) and any field of `TrainSettings`; what it leaves out is chosen from the collection's size and the
    hardware. Called again after an interruption it goes on. Once `enough` says yes it ends with the best so far.
    `remark` hears at once where preset and pictures disagree; the result's `warnings` say it again.
    """
    from model.checkpoint import save_model
    from model.lookout import watched
    from model.pixels import load_pixels
    from model.train import pretrain

    home, chosen = workspace.home, dict(chosen)
    adopt = chosen.pop("adopt", None) or "never"
    if adopt not in ("better", "always", "never"):
        raise BadInput(f"--adopt is better, always or never, not {adopt!r}.")
    pins = chosen.pop("pins", None) or []
    with home.lock(collection.id, collection.name, "training"):
        plan = planned(workspace, collection, chosen)
        start, settings = plan.start, plan.settings
        progress(0.0, plan.reason)
        warnings = disagreements(workspace, collection, settings.preset)
        for sentence in warnings:
            remark(sentence)
        # The same training of the same pictures goes on where it was; any other starts in a folder of its own.
        run = home.run(f"{training_runs(collection)}{plan.named}")
        spill = run / "pixels"
        refused: list[int] = []
        try:
            pixels = load_pixels(
                plan.previews,
                plan.side,
                start.preparation.fit,
                lambda done, of: progress(0.0, _reading(done, of)) if done % 500 == 0 else None,
                lambda position, error: refused.append(position),  # its preview went missing; `likeness index` lists it
                spill,
            )
            kept = np.delete([image_id for image_id, _, _ in plan.rows], refused)  # whose picture is each row of pixels
            labels = {
                x.image_id: x.class_name for x in current_labels(workspace.engine, collection) if x.answer == "yes"
            }
            trained = pretrain(
                pixels,
                start,
                settings,
                run,
                lambda p: progress(p.done * 0.95, p.message),
                stop,
                sample=watched(kept.tolist(), pins, labels, plan.encoded_at),
                enough=enough,
            )
        finally:
            spill.unlink(missing_ok=True)
        learnt = replace(start.preparation, image_size=plan.encoded_at, crop=1.0)
        known = learnt if start.started_from == "random" else start.preparation
        before = plan.earlier or save_model(start.backbone, known, home.models, started_from=start.started_from)
        after = save_model(
            trained.backbone,
            learnt,
            home.models,
            started_from=before.fingerprint,
            training={
                **trained.record,
                "collection": collection.name,
                "collection_id": collection.id,
                "reason": plan.reason,
            },
        )
        for name in (METRICS, PINNED):
            if (run / name).exists():
                write_atomically(home.model(after.fingerprint) / name, (run / name).read_bytes())
        report = write_report(
            workspace,
            collection,
            before,
            after,
            kept[trained.held_out].tolist(),
            (run / METRICS).read_bytes(),
            lambda share, message: progress(0.95 + 0.03 * share, message),
            stop,
        )
    adopted = adopt == "always" or (adopt == "better" and report["verdict"] == "better")
    if adopted:
        progress(0.98, Line("indexing_new", "indexing with the new model"))
        index_when_free(workspace, collection, after.fingerprint, stop)
    # Only now: interrupted while adopting, the finished training is found here and not begun again.
    shutil.rmtree(run, ignore_errors=True)
    return {
        "model": after.fingerprint,
        "started_from": before.fingerprint,
        "verdict": report["verdict"],
        "sentence": report["sentence"],
        "adopted": adopted,
        "settings": asdict(settings),
        "stopped": _stopped(trained.record),
        "warnings": warnings,
        "metrics": trained.metrics,
        "report": report,
    }


def _reading(done: int, total: int) -> Line:
    return Line("reading", "reading previews: {done:,} of {total:,}", done=done, total=total)


def _stopped(record: dict[str, Any]) -> dict[str, Any] | None:
    """Of a training that was ended early: in which epoch, of how many, and which one's weights were kept for what."""
    if "kept_epoch" not in record:
        return None
    return {
        "in_epoch": record["stopped_in_epoch"],
        "of": record["settings"]["epochs"],
        "kept_epoch": record["kept_epoch"],
        "quality": record["figures"]["quality"],
    }


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


def training_runs(collection: Collection) -> str:
    """What the names of a collection's run folders begin with."""
    return f"training-{collection.id}-"


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
