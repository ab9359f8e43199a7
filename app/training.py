"""Pretraining on a collection: SimCLR, the report beside the model it started from, and who is adopted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from app.plan import planned
from app.report import write_report
from app.views import disagreements
from app.work import Progress, Stop, index_when_free, never, silent
from app.workspace import Workspace
from indexer.catalog import Collection
from indexer.labels import current_labels
from model.errors import BadInput
from model.files import write_atomically
from model.progress import Line

METRICS, PINNED = "metrics.jsonl", "pinned.jsonl"  # what a run writes while it learns, kept beside its model


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


def training_runs(collection: Collection) -> str:
    """What the names of a collection's run folders begin with."""
    return f"training-{collection.id}-"
