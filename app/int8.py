"""An int8 copy of the active model, made from the collection's own pictures, and chosen only where it is as good."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.evaluation import knn_on_folder
from app.work import Progress, Stop, index_when_free, never, silent
from app.workspace import Workspace, active_model, all_models, find_model, float32_of
from indexer.catalog import Collection, all_collections, collection_with_id
from indexer.embed import embed_missing
from indexer.images import contents_of
from indexer.labels import current_labels
from indexer.vectors import VectorStore
from model.encoder import Encoder, has_cuda, open_encoder
from model.errors import BadInput, CannotDecode, TooFewImages
from model.evaluate import knn_accuracy, nearest_kept
from model.info import ModelInfo
from model.int8 import save_int8
from model.progress import Line

CALIBRATED_ON = 256  # pictures, drawn by lot
LEAST = 20  # pictures of a collection: among fewer, the ten nearest are most of them
AMONG, ASKED = 100_000, 1000  # pictures that are compared, and those whose ten nearest are
NEAREST, KEPT = 10, 0.95  # the share of so many nearest that must stay
NEIGHBOURS, LOST = 20, 0.005  # of the k-NN, and how much less often it may be right
LABELS = 200  # of fewer, one picture is worth more than what may be lost

Rows = Sequence[tuple[int, str, str]]  # (image id, SHA-256, preview suffix)


def make_int8(
    workspace: Workspace,
    collection: Collection,
    images: Path | None = None,
    progress: Progress = silent,
    stop: Stop = never,
) -> dict[str, Any]:
    """Make it, measure it beside its float32 model, and index with it if it is as good; else it is not kept.

    Judged by the ten nearest on this collection, and by k-NN where that has labels, or on class folders in `images`.
    Called again after an interruption it goes on. Raises NoIndex, TooFewImages, BadInput.
    """
    home, threads = workspace.home, workspace.settings.threads
    with home.lock(collection.id, collection.name, "int8"):
        collection = collection_with_id(workspace.engine, collection.id)
        before = require_use(workspace, collection)
        rows = contents_of(workspace.engine, collection)
        exact = open_encoder(home.model(before.fingerprint), "cpu", threads)
        progress(0.0, Line("ranges", "finding the range of every layer on the collection's pictures"))
        squares = _squares(workspace, exact, rows)
        record = {"collection": collection.name, "collection_id": collection.id, "pictures": len(squares)}
        after = save_int8(home.model(before.fingerprint), home.models, squares, record)
        integers = open_encoder(home.model(after.fingerprint), "cpu", threads)
        speeds = {"float32": _speed(exact, squares), "int8": _speed(integers, squares)}
        # The vectors stay: if the copy is chosen, its index is built of them in a moment.
        for encoder, start, share in ((exact, 0.1, 0.1), (integers, 0.2, 0.6)):
            embed_missing(
                workspace.engine,
                home,
                collection,
                encoder,
                rows=rows,
                progress=_part(progress, start, share),
                stop=stop,
            )
        measured = _measure(workspace, collection, rows, before, after, knn=images is None)
        if images is not None:
            folders = ((exact, 0.8), (integers, 0.88))
            knn = [knn_on_folder(encoder, images, _part(progress, start, 0.08), stop) for encoder, start in folders]
            measured |= {"knn": {"float32": knn[0], "int8": knn[1], "of": str(images)}}
        chosen, sentence = verdict(measured, speeds["int8"] / speeds["float32"])
        _remove_unused(workspace, collection, before, after.fingerprint if chosen else None)
    goes_on = after if chosen else before
    if goes_on.fingerprint != collection.active_model:
        progress(0.96, Line("indexing_with", "indexing with model {model}", model=goes_on.fingerprint))
        index_when_free(workspace, collection, goes_on.fingerprint, stop)
    return {
        "model": goes_on.fingerprint,
        "float32": before.fingerprint,
        "chosen": chosen,
        "sentence": sentence,
        **measured,
        "calibrated_on": len(squares),
        "images_per_second": {name: round(speed, 1) for name, speed in speeds.items()},
    }


def require_use(workspace: Workspace, collection: Collection) -> ModelInfo:
    """The float32 model to copy. Raises NoIndex, TooFewImages, and BadInput where int8 would be of no use."""
    before = float32_of(workspace.home, find_model(workspace.home, active_model(collection)))
    if len(contents_of(workspace.engine, collection)) < LEAST:
        raise TooFewImages(f"An int8 model is judged on {LEAST} pictures or more: import some first.")
    device = workspace.settings.device
    if device == "cuda" or (device == "auto" and has_cuda()):
        words = "Here a GPU encodes, faster than an int8 model on the CPU would: keep the model as it is."
        raise BadInput(Line("int8_no_use", words))
    return before


def verdict(measured: dict[str, Any], faster: float) -> tuple[bool, Line]:
    """Whether the int8 model is as good, and that in a sentence. `faster`: pictures a second, beside float32."""
    kept, knn = measured["nearest_kept"], measured["knn"]
    same = kept >= KEPT
    english = "{kept:.1f} of 100 of the {nearest} nearest are the same ({asked:.0f} are asked for)"
    found = Line("int8_nearest", english, kept=round(100 * kept, 1), nearest=NEAREST, asked=round(100 * KEPT))
    if knn is None:
        english = "k-NN was not judged: that takes {labels} labelled pictures, or --images"
        right, said = True, Line("int8_not_judged", english, labels=LABELS)
    else:
        right = knn["int8"] >= knn["float32"] - LOST
        english = "k-NN is right for {int8:.1f} of 100 pictures (float32: {float32:.1f})"
        said = Line("int8_judged", english, **{name: round(100 * knn[name], 1) for name in ("int8", "float32")})
    if not (same and right):
        english = "Not chosen: {found}; {knn}; so the float32 model stays."
        return False, Line("int8_not_chosen", english, found=found, knn=said)
    english = "Chosen: {found}; {knn}; it encodes {faster:.1f} times as many pictures a second."
    return True, Line("int8_chosen", english, found=found, knn=said, faster=round(faster, 1))


def _squares(workspace: Workspace, encoder: Encoder, rows: Rows) -> np.ndarray:
    """(N, S, S, 3) of pictures drawn by lot, as the encoder sees them."""
    lot = np.random.default_rng(0).permutation(len(rows))
    squares: list[np.ndarray] = []
    for row in lot.tolist():
        _, sha256, suffix = rows[row]
        try:
            squares.append(encoder.square(workspace.home.preview(sha256, suffix).read_bytes(), sha256))
        except (OSError, CannotDecode):  # `likeness index` lists it
            continue
        if len(squares) == CALIBRATED_ON:
            break
    if len(squares) < LEAST:
        raise TooFewImages("Too many previews are missing or damaged: import their folders again.")
    return np.stack(squares)


def _speed(encoder: Encoder, squares: np.ndarray) -> float:
    """Pictures a second from squares in memory, at the best of two."""
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        encoder.encode(squares)
        seconds.append(time.perf_counter() - started)
    return len(squares) / min(seconds)


def _measure(
    workspace: Workspace, collection: Collection, rows: Rows, before: ModelInfo, after: ModelInfo, knn: bool
) -> dict[str, Any]:
    """{pictures, nearest_kept, knn} of both models' vectors, as they are searched."""
    rng = np.random.default_rng(0)
    chosen = [rows[i] for i in np.sort(rng.permutation(len(rows))[:AMONG])]
    shas = [sha256 for _, sha256, _ in chosen]
    (there, old), (also, new) = (
        VectorStore(workspace.home.vectors(info.fingerprint), info.dim).get(shas) for info in (before, after)
    )
    both = np.intersect1d(there, also)
    old, new = old[np.isin(there, both)], new[np.isin(also, both)]
    asked = rng.permutation(len(both))[:ASKED]
    measured: dict[str, Any] = {
        "pictures": len(both), "nearest_kept": nearest_kept(old, new, asked, NEAREST), "knn": None,
    }  # fmt: skip
    single = _single_labels(workspace, collection)
    labelled = [row for row, i in enumerate(both.tolist()) if chosen[i][0] in single]
    names = [single[chosen[both[row]][0]] for row in labelled]
    if knn and len(labelled) >= LABELS and len(set(names)) > 1:
        right = [knn_accuracy(vectors[labelled], names, NEIGHBOURS) for vectors in (old, new)]
        measured["knn"] = {"float32": right[0], "int8": right[1], "of": f"{len(labelled)} labelled pictures"}
    return measured


def _single_labels(workspace: Workspace, collection: Collection) -> dict[int, str]:
    """Image → class, of the images in exactly one class."""
    answers = [x for x in current_labels(workspace.engine, collection) if x.answer == "yes"]
    counts = Counter(x.image_id for x in answers)
    return {x.image_id: x.class_name for x in answers if counts[x.image_id] == 1}


def _part(progress: Progress, start: float, share: float) -> Progress:
    return lambda done, message: progress(start + share * done, message)


def _remove_unused(workspace: Workspace, collection: Collection, before: ModelInfo, kept: str | None) -> None:
    """Remove the int8 copies of a model that were made for the collection, and that nothing is indexed with.

    These are what was not chosen just now, and what a run that was killed has left behind.
    """
    home = workspace.home
    everywhere = [found.id for found in all_collections(workspace.engine)]
    for info in all_models(home):
        made_for = info.training.get("int8", {}).get("collection_id")
        if info.arithmetic != "int8" or (info.started_from, made_for) != (before.fingerprint, collection.id):
            continue
        if info.fingerprint == kept or any(home.index(i, info.fingerprint).exists() for i in everywhere):
            continue
        shutil.rmtree(home.model(info.fingerprint))
        for path in home.vectors(info.fingerprint).parent.glob(f"{info.fingerprint}.db*"):
            path.unlink()
