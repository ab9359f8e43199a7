"""Fine-tuning: the active encoder learns from the labels, and is judged against the probe on labels it never saw.

A fifth of the labels is kept out, with bursts, folders and near-duplicates whole. Both encoders then get a probe from
the same other labels, and both probes answer about the same pictures that were kept out.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.report import write_report
from app.together import groups_of
from app.training import training_runs
from app.views import view_size
from app.work import Progress, Stop, index_when_free, never, silent
from app.workspace import Workspace, active_model, find_model, float32_of
from indexer.catalog import Collection
from indexer.images import contents_of, median_side
from indexer.index import open_index
from indexer.labels import current_labels
from model.compare import verdict_line
from model.errors import BadInput, DamagedModel, TooFewLabels
from model.files import write_atomically
from model.info import ModelInfo, read_info
from model.measure import Measured
from model.paired import paired
from model.probe import Probe, fit_probe
from model.progress import Line
from model.quality import near_duplicates
from model.settings import SUPERVISED
from model.softmax import split_evenly

PARTS = 5  # of the labels; one is kept out
LEAST = 100  # labels: of fewer a fifth says nothing about a difference
EPOCHS = 10
LEARNING_RATE = 3e-4  # a seventh of a training's: most of what the encoder knows is to stay
MEASURE = "probe_on_labels_kept_out"
LEARNT = "learnt_labels"  # in the record of a model: ids of the images whose labels it was trained with


@dataclass(frozen=True)
class Lesson:
    """Labelled images, and which of them are learnt from and which are kept out."""

    ids: np.ndarray  # (n,)
    names: np.ndarray  # (n,) their classes
    groups: np.ndarray  # (n,) those of one number show the same thing, or were taken together
    learnt: np.ndarray  # places among the n
    kept_out: np.ndarray
    probe: Probe  # of the encoder as it is, from the labels that are learnt from


def finetune(
    workspace: Workspace, collection: Collection, chosen: dict[str, Any], progress: Progress = silent,
    stop: Stop = never,
) -> dict[str, Any]:  # fmt: skip
    """Fine-tune the active encoder with the labels, report against its probe, and adopt it if it is better.

    `chosen` may hold adopt (better, always, never) and fields of `TrainSettings`. Called again after an interruption it
    goes on. Raises NoIndex, TooFewLabels, BadInput.
    """
    import torch

    from model.checkpoint import save_model
    from model.learner import pick_device
    from model.network import require_size, starting_point
    from model.pixels import learning_side, load_pixels
    from model.taught import Taught
    from model.train import pretrain, sensible

    home, chosen = workspace.home, {name: value for name, value in chosen.items() if value is not None}
    adopt = chosen.pop("adopt", "better")
    if adopt not in ("better", "always", "never"):
        raise BadInput(f"--adopt is better, always or never, not {adopt!r}.")
    if chosen.setdefault("loss", SUPERVISED[0]) not in SUPERVISED:
        raise BadInput(f"--loss is {' or '.join(SUPERVISED)}, not {chosen['loss']!r}.")
    with home.lock(collection.id, collection.name, "training"):
        before = _active(workspace, collection)
        lesson = lesson_of(workspace, collection)
        device = pick_device(chosen.pop("device", None) or workspace.settings.device)
        native = median_side(workspace.engine, collection)
        chosen = {
            "preset": collection.preset, "image_size": view_size(native, device.type, before.stem), "epochs": EPOCHS,
            "learning_rate": LEARNING_RATE, "optimizer": "adamw", **chosen,
        }  # fmt: skip
        start = starting_point(before.fingerprint, before.backbone, None, home.models, chosen.get("seed", 0))
        settings, reason = sensible(len(lesson.learnt), device.type, start.backbone.name, **chosen)
        require_size(start.backbone, settings.image_size)
        progress(0.0, reason)
        pictures = {
            image_id: (sha256, suffix) for image_id, sha256, suffix in contents_of(workspace.engine, collection)
        }
        deciding = repr(
            (before.fingerprint, settings, lesson.ids.tolist(), lesson.names.tolist(), lesson.groups.tolist())
        )
        run = home.run(f"{training_runs(collection)}{hashlib.sha256(deciding.encode()).hexdigest()[:12]}")
        spill = run / "pixels"
        refused: list[int] = []
        try:
            pixels = load_pixels(
                [home.preview(*pictures[i]) for i in lesson.ids.tolist()],
                learning_side(settings.image_size, native),
                start.preparation.fit,
                refused=lambda position, _: refused.append(position),  # its preview went missing
                spill=spill,
            )
            rows = np.delete(np.arange(len(lesson.ids)), refused)  # whose picture is each row of pixels
            taught = Taught(
                torch.from_numpy(np.searchsorted(lesson.probe.classes, lesson.names[rows])),
                torch.from_numpy(np.flatnonzero(np.isin(rows, lesson.kept_out))),
                lesson.probe.weights,
                lesson.probe.bias,
            )
            trained = pretrain(
                pixels, start, settings, run, lambda p: progress(p.done * 0.9, p.message), stop, taught=taught
            )
        finally:
            spill.unlink(missing_ok=True)
        learnt = set(lesson.ids[lesson.learnt].tolist()) | learnt_labels(workspace, collection)
        record = {"collection": collection.name, "collection_id": collection.id, "reason": reason}
        after = save_model(
            trained.backbone, start.preparation, home.models, started_from=before.fingerprint,
            training={**trained.record, **record, LEARNT: sorted(learnt)},
        )  # fmt: skip
        metrics = (run / "metrics.jsonl").read_bytes()
        write_atomically(home.model(after.fingerprint) / "metrics.jsonl", metrics)
        report = write_report(
            workspace, collection, before, after, lesson.ids[lesson.kept_out].tolist(), metrics,
            lambda share, message: progress(0.9 + 0.08 * share, message), stop,
            decide=lambda old, new, ids: judged(lesson, old, new, ids),
        )  # fmt: skip
    adopted = adopt == "always" or (adopt == "better" and report["verdict"] == "better")
    if adopted:
        progress(0.98, Line("indexing_tuned", "indexing with the fine-tuned model"))
        index_when_free(workspace, collection, after.fingerprint, stop)
    shutil.rmtree(run, ignore_errors=True)  # only now: interrupted while adopting, the training is found here
    return {
        "model": after.fingerprint, "started_from": before.fingerprint, "verdict": report["verdict"],
        "sentence": report["sentence"], "adopted": adopted, "settings": asdict(settings),
        "labels": {"learnt": len(lesson.learnt), "kept_out": len(lesson.kept_out)}, "metrics": trained.metrics,
        "report": report,
    }  # fmt: skip


def lesson_of(workspace: Workspace, collection: Collection) -> Lesson:
    """The collection's labels, split. Images of several classes, or of none, teach no single one and are left out.

    Raises BadInput where images may have several classes, TooFewLabels.
    """
    if collection.multi_label:
        words = (
            "Pictures of {of} may have several classes, and fine-tuning learns one of each: it is for collections "
            "whose pictures have one."
        )
        raise BadInput(Line("several_not_tuned", words, of=repr(collection.name)))
    by_image: dict[int, set[str]] = {}
    for label in current_labels(workspace.engine, collection):
        if label.answer == "yes":
            by_image.setdefault(label.image_id, set()).add(label.class_name)
    single = sorted(image_id for image_id, names in by_image.items() if len(names) == 1)
    index = open_index(workspace.index_folder(collection))
    ids, vectors = index.vectors_of(np.array(single, np.int64))
    names = np.array([min(by_image[i]) for i in ids.tolist()], dtype=str)
    counts = Counter(names.tolist())
    if len(names) < LEAST or len(counts) < 2:
        raise TooFewLabels(
            f"Fine-tuning needs {LEAST} labels of at least two classes, so that a fifth of them can judge it: "
            f"{len(names)} of {len(counts)} are there. The probe does more with few."
        )
    groups = near_duplicates(vectors, groups_of(workspace.engine, ids.tolist(), names.tolist()))
    classes, y = np.unique(names, return_inverse=True)

    def off(split: tuple[np.ndarray, np.ndarray]) -> tuple[int, int, float]:
        """Classes not learnt, classes not judged, and how far from a fifth: one group may be larger than that."""
        known, hidden = (len(set(names[rows])) for rows in split)
        return len(classes) - known, len(classes) - hidden, abs(len(split[1]) - len(names) / PARTS)

    learnt, kept_out = min(split_evenly(y, PARTS, 0, groups), key=off)
    if missing := set(classes) - set(names[learnt]):
        raise TooFewLabels(
            f"All pictures labelled {min(missing)!r} show the same thing: label others, or unlabel them."
        )
    probe = fit_probe(vectors[learnt], names[learnt].tolist())
    return Lesson(ids, names, groups, learnt, kept_out, probe)


def judged(lesson: Lesson, old: Measured, new: Measured, ids: Sequence[int]) -> tuple[dict[str, Any], Line]:
    """A probe of each encoder on the labels kept out, compared picture by picture; and the same in words."""
    place = {image_id: row for row, image_id in enumerate(ids)}
    measured = np.array([i in place for i in lesson.ids.tolist()])
    learnt, kept_out = (rows[measured[rows]] for rows in (lesson.learnt, lesson.kept_out))
    right, sure = [], []
    for model in (old, new):
        known, asked = (model.vectors[[place[i] for i in lesson.ids[rows].tolist()]] for rows in (learnt, kept_out))
        probe = fit_probe(known, lesson.names[learnt].tolist())
        p = probe.probabilities(asked)
        right.append((np.array(probe.classes)[p.argmax(axis=1)] == lesson.names[kept_out]).astype(float)[np.newaxis])
        sure.append(float(p.max(axis=1).mean()))
    groups = np.unique(lesson.groups[kept_out], return_inverse=True)[1]
    measure = paired(MEASURE, right[0], right[1], groups=groups)
    low, high = (100 * bound for bound in measure["interval"])
    sentence = Line(
        "tuned",
        "{verdict}: with the fine-tuned encoder a probe is right for {after:.1f} of 100 pictures whose "
        "labels were kept out, with the encoder before for {before:.1f} "
        "(difference {difference} points, 95 % interval {low} to {high}; "
        "{pictures:,} pictures, {groups:,} where those taken together count once).",
        verdict=verdict_line(measure["verdict"]), after=round(100 * measure["after"], 1),
        before=round(100 * measure["before"], 1), difference=f"{100 * measure['difference']:+.1f}",
        low=f"{low:+.1f}", high=f"{high:+.1f}", pictures=len(kept_out), groups=int(groups.max()) + 1,
    )  # fmt: skip
    return {**measure, "said": sure, "trained_on": False}, sentence


def learnt_labels(workspace: Workspace, collection: Collection) -> set[int]:
    """The images of the collection whose labels its active model, or one that it comes from, was trained with."""
    try:
        record = read_info(workspace.home.model(collection.active_model or "")).training
    except DamagedModel:  # /ready says so; the index works without it
        return set()
    return set(record.get(LEARNT, ())) if record.get("collection_id") == collection.id else set()


def _active(workspace: Workspace, collection: Collection) -> ModelInfo:
    return float32_of(workspace.home, find_model(workspace.home, active_model(collection)))
