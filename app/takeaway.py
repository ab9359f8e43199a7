"""What leaves a collection as files: the classifier, COCO's JSON, folders of pictures by class."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.engine import Engine
from app.exporting import rows, to_csv
from app.judgement import judgement
from indexer.bundle import Progress, bundle
from indexer.catalog import Collection
from indexer.errors import DamagedIndex
from indexer.images import get_images, read_original
from model.errors import BadInput, TooFewLabels
from model.files import PARTIAL, create_folder_atomically

UNNAMED = "without a class"


def classifier(engine: Engine, collection: Collection, name: str) -> dict[str, bytes]:
    """The files of the collection's classifier as its labels are now."""
    from model.classifier import export_classifier

    fitted = engine.probes.fitted(collection)
    folder = engine.workspace.home.model(collection.active_model or "")
    return export_classifier(folder, fitted.probe, name, fitted.lines)


def zipped(files: dict[str, bytes], name: str) -> bytes:
    """The files in a folder `name` of a zip, stored as they are: weights do not compress."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file, data in files.items():
            archive.writestr(f"{name}/{file}", data)
    return packed.getvalue()


def bundled(
    engine: Engine, collection: Collection, originals: bool, progress: Progress = lambda share, message: None
) -> Iterator[bytes]:
    """The bytes of the collection's bundle: all that it is, for `likeness restore`, with labels and report to read."""
    extra = {"labels.csv": to_csv(rows(engine, collection)).encode()}
    try:
        fitted = engine.probes.fitted(collection)
        engine.probes.store(collection, fitted)
        said = judgement(engine, collection, fitted, engine.probes.checked(collection))
        extra["report.json"] = json.dumps(said, indent=2, ensure_ascii=False).encode()
    except (TooFewLabels, DamagedIndex):
        pass  # there is nothing to report yet
    return bundle(engine.workspace.engine, engine.workspace.home, collection, extra, originals, progress)


def write_bundle(file: Path, parts: Iterator[bytes]) -> int:
    """A bundle as the new file `file`, all of it or none; returns its size in bytes."""
    if file.exists() or not file.absolute().parent.is_dir():
        raise BadInput(f"{file} exists already, or its folder does not: name another file with --out.")
    partial = file.with_name(f"{PARTIAL}{file.name}")
    try:
        with open(partial, "wb") as target:
            for part in parts:
                target.write(part)
            target.flush()
            os.fsync(target.fileno())
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
    return file.stat().st_size


def coco(engine: Engine, collection: Collection) -> dict[str, Any]:
    """COCO's JSON for classification: an annotation without a box for every label.

    Where images may have several classes, `neg_category_ids` are those they were said not to be of, as LVIS has it.
    """
    found = rows(engine, collection)
    sizes = {
        image.id: image
        for at in range(0, len(found), 500)
        for image in get_images(engine.workspace.engine, [row["id"] for row in found[at : at + 500]])
    }
    names = sorted({name for row in found for name in (*_labels(row), *row.get("answers", ()))})
    numbers = {name: number for number, name in enumerate(names, 1)}
    labelled = [(row["id"], name) for row in found for name in _labels(row)]
    return {
        "info": {"description": collection.name, "version": collection.active_model or ""},
        "images": [
            {"id": row["id"], "file_name": row["path"] or row["name"],
             "width": sizes[row["id"]].width, "height": sizes[row["id"]].height, **_refused(row, numbers)}
            for row in found
        ],
        "categories": [{"id": number, "name": name, "supercategory": ""} for name, number in numbers.items()],
        "annotations": [
            {"id": number, "image_id": image_id, "category_id": numbers[name]}
            for number, (image_id, name) in enumerate(labelled, 1)
        ],
    }  # fmt: skip


def _labels(row: dict[str, Any]) -> list[str]:
    """The classes of a row: one at most, or several."""
    found: list[str] = row["classes"] if "classes" in row else [row["class"]]
    return [name for name in found if name]


def _refused(row: dict[str, Any], numbers: dict[str, int]) -> dict[str, Any]:
    if "answers" not in row:
        return {}
    return {"neg_category_ids": [numbers[name] for name, answer in row["answers"].items() if answer == "no"]}


def _folders(row: dict[str, Any]) -> list[str]:
    """The folders that a picture is put into: its classes, else what is predicted."""
    predicted: list[str] = row["predicted"] if "classes" in row else [row["predicted"]]
    names = _labels(row) or [name for name in predicted if name] or [UNNAMED]
    return list(dict.fromkeys(map(_file_name, names)))


def write_folders(engine: Engine, collection: Collection, out: Path, copies: bool) -> dict[str, int]:
    """The new folder `out` with a folder a class, labelled or else predicted: links to the pictures, or copies.

    A picture of several classes is in the folder of each.
    Uploads, tiles and pages have no file of their own to link to and are copied.
    Returns how many pictures each folder has.
    """
    if out.exists():
        raise BadInput(f"{out} exists already: name another folder with --out.")
    counts: dict[str, int] = {}

    def fill(partial: Path) -> None:
        for row in rows(engine, collection):
            for folder in _folders(row):
                counts[folder] = counts.get(folder, 0) + 1
                target = partial / folder / f"{row['id']}-{_file_name(row['name'])}"
                target.parent.mkdir(exist_ok=True)
                _put(engine, row, target, copies)

    create_folder_atomically(out.absolute(), fill)
    return counts


def _put(engine: Engine, row: dict[str, Any], target: Path, copies: bool) -> None:
    source = Path(os.fsdecode(row["path"])) if row["path"] else None
    if source is not None and source.is_file() and not copies:
        target.symlink_to(source.absolute())
    elif source is not None and source.is_file():
        shutil.copy2(source, target)
    else:
        [image] = get_images(engine.workspace.engine, [row["id"]])
        if image.part is not None:  # a tile or a page is cut out of its file as PNG
            target = target.with_name(f"{target.name}.png")
        target.write_bytes(read_original(engine.workspace.engine, engine.workspace.home, image))


def _file_name(name: str) -> str:
    """`name` as one part of a path on any system."""
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).strip(". ")[:120] or "_"
