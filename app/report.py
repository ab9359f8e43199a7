"""The report of a training: both models measured on the collection's own pictures, as JSON and as one HTML file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from app.report_page import render
from app.workspace import Workspace
from indexer.catalog import Collection
from indexer.errors import NoSuchImage
from indexer.images import Image as Row
from indexer.images import contents_of, get_images, read_preview
from indexer.labels import current_labels
from model.compare import HELD_OUT, compare, side_by_side
from model.encoder import open_encoder
from model.errors import Cancelled, CannotDecode
from model.files import write_atomically
from model.images import decode
from model.info import ModelInfo
from model.measure import Measured, measure
from model.progress import Line

GALLERY = 2000  # pictures that both models see; a model's vectors of more would say the same and take longer
JSON, HTML = "report.json", "report.html"


def write_report(
    workspace: Workspace,
    collection: Collection,
    before: ModelInfo,
    after: ModelInfo,
    held_out: Sequence[int],
    metrics: bytes,
    progress: Callable[[float, str], None],
    stop: Callable[[], bool],
    decide: Callable[[Measured, Measured, Sequence[int]], tuple[dict[str, Any], str]] | None = None,
) -> dict[str, Any]:
    """Compare `after` with `before`, write both files beside its weights, and return what the JSON holds.

    `held_out` are the ids of images that the training never saw; `metrics` are its lines, for the curves.
    `decide`, where given, measures what the verdict rests on, from both models' vectors of images, and says it.
    """
    home, settings = workspace.home, workspace.settings
    labels = {x.image_id: x.class_name for x in current_labels(workspace.engine, collection) if x.answer == "yes"}
    kept_out = set(held_out)
    chosen = gallery([image_id for image_id, _, _ in contents_of(workspace.engine, collection)], kept_out, set(labels))
    enough = len(kept_out & set(chosen)) >= HELD_OUT
    rows: list[Row] = []  # of those that could be read

    def pictures() -> Iterator[tuple[Image.Image, bool]]:
        for row in get_images(workspace.engine, chosen):
            try:
                picture = _preview(workspace, row)
            except (NoSuchImage, CannotDecode):
                continue  # `likeness index` lists it
            rows.append(row)
            yield picture, not enough or row.id in kept_out

    def watch(done: int) -> None:
        english = "comparing with the model it started from: {done:,} of {total:,} pictures"
        progress(done / len(chosen), Line("reporting", english, done=done, total=len(chosen)))
        if stop():
            english = "Stopped before the report was written; start it again with the same settings to go on."
            raise Cancelled(Line("report_stopped", english))

    encoders = [open_encoder(home.model(m.fingerprint), settings.device, settings.threads) for m in (before, after)]
    old, new = measure(encoders, pictures(), watch=watch)
    compared = compare(
        old,
        new,
        [row.folder for row in rows],
        [labels.get(row.id) for row in rows],
        np.array([row.id in kept_out for row in rows]),
    )
    if decide is not None:
        deciding, sentence = decide(old, new, [row.id for row in rows])
        compared |= {
            "verdict": deciding["verdict"], "sentence": sentence, "decided_by": deciding["name"],
            "measures": [deciding, *compared["measures"]],
        }  # fmt: skip
    queries = [
        {"image": rows[q["query"]].id, **{side: [rows[i].id for i in q[side]] for side in ("before", "after")}}
        for q in side_by_side(old, new)
    ]
    report = {
        **compared,
        "before": before.fingerprint,
        "after": after.fingerprint,
        "collection": collection.name,
        "queries": queries,
    }
    shown = {i for query in queries for i in (query["image"], *query["before"], *query["after"])}
    images = {row.id: row for row in rows if row.id in shown}
    page = render(
        report,
        after.training,
        [json.loads(line) for line in metrics.splitlines()],
        {i: _preview(workspace, row) for i, row in images.items()},
        {i: (f"{row.folder}/{row.name}".lstrip("/"), labels.get(i, row.folder)) for i, row in images.items()},
    )
    folder = home.model(after.fingerprint)
    write_atomically(folder / HTML, page.encode())
    write_atomically(folder / JSON, json.dumps(report, indent=2, ensure_ascii=False).encode())
    return report


def gallery(ids: Sequence[int], held_out: set[int], labelled: set[int]) -> list[int]:
    """At most GALLERY of the images, in their order: all held out, then labelled ones, then others, drawn by lot."""
    mixed = np.random.default_rng(0).permutation(np.array(ids, np.int64)).tolist()
    mixed.sort(key=lambda i: (i not in held_out, i not in labelled))
    return sorted(mixed[:GALLERY])


def _preview(workspace: Workspace, row: Row) -> Image.Image:
    return decode(read_preview(workspace.home, row), row.sha256)
