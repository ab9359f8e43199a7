"""What leaves a collection as files: the classifier, COCO's JSON, folders of pictures by class."""

from __future__ import annotations

import io
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

from app.engine import Engine
from app.exporting import rows
from indexer.catalog import Collection
from indexer.images import get_images, read_original
from model.errors import BadInput
from model.files import create_folder_atomically

UNNAMED = "without a class"


def classifier(engine: Engine, collection: Collection, name: str) -> dict[str, bytes]:
    """The files of the collection's classifier as its labels are now."""
    from model.classifier import export_classifier

    fitted = engine.probes.fitted(collection)
    return export_classifier(engine.workspace.home.model(collection.active_model or ""), fitted.probe, name)


def zipped(files: dict[str, bytes], name: str) -> bytes:
    """The files in a folder `name` of a zip, stored as they are: weights do not compress."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file, data in files.items():
            archive.writestr(f"{name}/{file}", data)
    return packed.getvalue()


def coco(engine: Engine, collection: Collection) -> dict[str, Any]:
    """COCO's JSON for classification: an annotation without a box for every labelled image."""
    found = rows(engine, collection)
    sizes = {
        image.id: image
        for at in range(0, len(found), 500)
        for image in get_images(engine.workspace.engine, [row["id"] for row in found[at : at + 500]])
    }
    names = sorted({row["class"] for row in found if row["class"]})
    numbers = {name: number for number, name in enumerate(names, 1)}
    labelled = [row for row in found if row["class"]]
    return {
        "info": {"description": collection.name, "version": collection.active_model or ""},
        "images": [
            {"id": row["id"], "file_name": row["path"] or row["name"],
             "width": sizes[row["id"]].width, "height": sizes[row["id"]].height}
            for row in found
        ],
        "categories": [{"id": number, "name": name, "supercategory": ""} for name, number in numbers.items()],
        "annotations": [
            {"id": number, "image_id": row["id"], "category_id": numbers[row["class"]]}
            for number, row in enumerate(labelled, 1)
        ],
    }  # fmt: skip


def write_folders(engine: Engine, collection: Collection, out: Path, copies: bool) -> dict[str, int]:
    """The new folder `out` with a folder a class, labelled or else predicted: links to the pictures, or copies.

    Uploads have no file of their own to link to and are copied. Returns how many pictures each folder has.
    """
    if out.exists():
        raise BadInput(f"{out} exists already: name another folder with --out.")
    counts: dict[str, int] = {}

    def fill(partial: Path) -> None:
        for row in rows(engine, collection):
            folder = _file_name(row["class"] or row["predicted"] or UNNAMED)
            counts[folder] = counts.get(folder, 0) + 1
            target = partial / folder / f"{row['id']}-{_file_name(row['name'])}"
            target.parent.mkdir(exist_ok=True)
            source = Path(os.fsdecode(row["path"])) if row["path"] else None
            if source is not None and source.is_file() and not copies:
                target.symlink_to(source.absolute())
            elif source is not None and source.is_file():
                shutil.copy2(source, target)
            else:
                [image] = get_images(engine.workspace.engine, [row["id"]])
                target.write_bytes(read_original(engine.workspace.engine, engine.workspace.home, image))

    create_folder_atomically(out.absolute(), fill)
    return counts


def _file_name(name: str) -> str:
    """`name` as one part of a path on any system."""
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).strip(". ")[:120] or "_"
