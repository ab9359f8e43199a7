"""What a training would look at, before a minute is spent on it: real positive pairs, and whether the preset suits.

Nothing here loads a network, so the API can say it too.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage

from app.workspace import Workspace, find_model, float32_of
from indexer.catalog import Collection, count_images
from indexer.images import Image, contents_of, median_side
from model import shipped
from model.encoder import has_cuda
from model.errors import BadInput, CannotDecode
from model.files import write_atomically
from model.images import decode, decode_square
from model.info import Preparation, read_info
from model.progress import Line
from model.settings import choose_stem, sensible
from model.suits import misfits

# px. The standard stem leaves a 32 px view one position at the end: small pictures are enlarged for it, as for search.
SMALLEST_VIEW = {"cifar": 32, "standard": 64}
LARGEST_VIEW = {"cuda": 128, "cpu": 64}  # px, of a training's views unless a person says otherwise
LOOKED_AT = 64  # pictures that the check of a preset decodes
SHOWN = 12  # pairs on a sheet
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}  # of a sheet, by the end of its name


@dataclass(frozen=True)
class Sight:
    """How a training would see the pictures of a collection."""

    preset: str
    image_size: int  # px, of a view
    side: int  # px, of the square that views are cut from
    fit: str  # how a picture becomes that square
    seed: int


def view_size(native: int, device: str, stem: str) -> int:
    """Side of a training's views, px, for pictures whose shorter side is `native`."""
    return max(SMALLEST_VIEW[stem], min(native, LARGEST_VIEW[device]))


def sight(workspace: Workspace, collection: Collection, chosen: dict[str, Any]) -> Sight:
    """What `training.train` would choose, given the same. Raises TooFewImages where it would."""
    from model.pixels import learning_side

    chosen = dict(chosen)
    init = chosen.pop("init", None) or "default"
    backbone = chosen.pop("backbone", None) or "resnet18"
    chosen.pop("adopt", None)
    device = chosen.pop("device", None) or workspace.settings.device
    if device == "auto":
        device = "cuda" if has_cuda() else "cpu"
    native = median_side(workspace.engine, collection)
    if init == "default" and shipped.suits(backbone):
        info = read_info(shipped.FOLDER)
        stem, fit = info.stem, info.preparation.fit
    elif init in ("default", "random") or init.startswith("timm:"):
        stem, fit = choose_stem("auto", native, backbone, init), Preparation.fit
    else:
        info = float32_of(workspace.home, find_model(workspace.home, init))
        stem, fit = info.stem, info.preparation.fit
    chosen["preset"] = chosen.get("preset") or collection.preset
    chosen["image_size"] = chosen.get("image_size") or view_size(native, device, stem)
    settings, _ = sensible(count_images(workspace.engine, collection), device, backbone, **chosen)
    side = learning_side(settings.image_size, native)
    return Sight(settings.preset, settings.image_size, side, fit, settings.seed)


def disagreements(workspace: Workspace, collection: Collection, preset: str) -> list[Line]:
    """Where a preset disagrees with a sample of the pictures, a sentence each; none is best."""
    pictures = []
    for _, preview in _shuffled(workspace, collection, 0):
        try:
            pictures.append(np.asarray(decode(preview.read_bytes(), preview.name)))
        except (FileNotFoundError, CannotDecode):
            continue
        if len(pictures) == LOOKED_AT:
            break
    return misfits(pictures, preset)


def shown(workspace: Workspace, collection: Collection, seed: int, count: int) -> list[int]:
    """The ids of `count` pictures to show pairs of, others for another seed."""
    there = (image_id for image_id, preview in _shuffled(workspace, collection, seed) if preview.exists())
    return list(islice(there, count))


def view_of(preview: bytes, image: Image, seen: Sight, number: int) -> bytes:
    """View `number` of a picture, as PNG; the same numbers always give the same view."""
    from model.pairs import view

    square = decode_square(preview, image.name, seen.side, seen.fit)
    return _saved(PILImage.fromarray(view(square, seen.preset, seen.image_size, (seen.seed, image.id, number))), "PNG")


def write_sheet(workspace: Workspace, collection: Collection, chosen: dict[str, Any], file: Path) -> dict[str, Any]:
    """Show positive pairs of a collection in one picture, PNG or JPEG by the end of its name."""
    if file.suffix.lower() not in FORMATS:
        raise BadInput(f"{file.name!r} does not end in one of {', '.join(FORMATS)}: name the picture so.")
    if not file.parent.is_dir():
        raise BadInput(f"There is no folder {file.parent} for {file.name!r}: make it, or name another.")
    seen = sight(workspace, collection, chosen)
    from model.pairs import sheet, view

    pairs = []
    for image_id, preview in _shuffled(workspace, collection, seen.seed):
        try:
            original = decode_square(preview.read_bytes(), preview.name, seen.side, seen.fit)
        except (FileNotFoundError, CannotDecode):
            continue
        keys = [(seen.seed, image_id, number) for number in range(2)]
        pairs.append([original, *(view(original, seen.preset, seen.image_size, key) for key in keys)])
        if len(pairs) == SHOWN:
            break
    if not pairs:
        raise BadInput(f"The previews of {collection.name!r} are missing: import its folders again.")
    title = f"Preset {seen.preset}: a picture and two views of {seen.image_size} px, which count as the same"
    write_atomically(file, _saved(sheet(pairs, title), FORMATS[file.suffix.lower()]))
    return {
        "pairs": str(file),
        "preset": seen.preset,
        "warnings": disagreements(workspace, collection, seen.preset),
    }


def _shuffled(workspace: Workspace, collection: Collection, seed: int) -> Iterator[tuple[int, Path]]:
    """Id and preview of every picture, in an order that the seed decides."""
    rows = contents_of(workspace.engine, collection)
    for place in np.random.default_rng(seed).permutation(len(rows)):
        image_id, sha256, suffix = rows[place]
        yield image_id, workspace.home.preview(sha256, suffix)


def _saved(picture: PILImage.Image, format_name: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, quality=92)
    return buffer.getvalue()
