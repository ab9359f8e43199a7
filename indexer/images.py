"""The images of a collection: list them by a filter, look one up, remove some."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import numpy as np
from sqlalchemy import Engine, bindparam, case, func, select, text

from indexer.catalog import Collection, visible
from indexer.errors import NoSuchImage
from indexer.filters import IS_MISSING
from indexer.home import Home
from indexer.labels import Label, current_labels
from indexer.parts import file_of
from indexer.schema import LEFT, contents, files, images
from indexer.sources import MAX_FILE_BYTES
from model.images import make_rendition
from model.parts import cut_from_slide, cut_out, is_slide

T = TypeVar("T")

SORTS = ("newest", "oldest", "name", "random")


@dataclass(frozen=True)
class Image:
    """One picture in one collection."""

    id: int
    collection_id: int
    sha256: str
    name: str
    folder: str
    added_at: str
    width: int
    height: int
    bytes: int
    format: str
    taken_at: str | None
    camera: str | None
    preview_suffix: str
    latitude: float | None
    longitude: float | None
    missing: bool  # its file was gone when its folder was last imported
    parent_sha256: str | None  # of a tile or a page
    part: dict[str, Any] | None


_COLUMNS = (
    images.c.id,
    images.c.collection_id,
    images.c.sha256,
    images.c.name,
    images.c.folder,
    images.c.added_at,
    contents.c.width,
    contents.c.height,
    contents.c.bytes,
    contents.c.format,
    contents.c.taken_at,
    contents.c.camera,
    contents.c.preview_suffix,
    contents.c.latitude,
    contents.c.longitude,
    IS_MISSING.label("missing"),
    contents.c.parent_sha256,
    contents.c.part,
)
_ROWS = select(*_COLUMNS).join(contents, contents.c.sha256 == images.c.sha256)
_ROWS_OF = _ROWS.where(images.c.id.in_(bindparam("ids", expanding=True)))


def all_ids(engine: Engine, collection: Collection) -> np.ndarray:
    """The ids (N,) int64 of all its images, ascending."""
    return _ids(engine, select(images.c.id).where(visible(collection.id)).order_by(images.c.id))


def ids_by_name(engine: Engine, collection: Collection) -> np.ndarray:
    """The same in the order of their folders and names."""
    order = (images.c.folder, images.c.name, images.c.id)
    return _ids(engine, select(images.c.id).where(visible(collection.id)).order_by(*order))


def missing_ids(engine: Engine, collection: Collection) -> np.ndarray:
    """The ids (M,) of the images whose files were gone when their folders were last imported."""
    query = select(images.c.id).join(contents, contents.c.sha256 == images.c.sha256)
    return _ids(engine, query.where(visible(collection.id), IS_MISSING))


def all_folders(engine: Engine, collection: Collection) -> tuple[np.ndarray, list[str]]:
    """The ids (N,) of the images that lie in a folder, and what each one's is called."""
    query = select(images.c.id, images.c.folder).where(visible(collection.id), images.c.folder != "")
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return np.array([row[0] for row in rows], np.int64), [row[1] for row in rows]


def get_images(engine: Engine, ids: Sequence[int], within: Collection | None = None) -> list[Image]:
    """The images of these ids, in their order; ids that are gone, or not in the collection `within`, are left out."""
    found: dict[int, Image] = {}
    query = _ROWS_OF if within is None else _ROWS_OF.where(visible(within.id))
    with engine.connect() as connection:
        for part in portions([int(i) for i in ids]):
            # The columns stand in the order of the fields: naming them for every row takes as long as the query.
            rows: Any = connection.execute(query, {"ids": part})
            found |= {row[0]: Image(*row) for row in rows}
    return [found[int(i)] for i in ids if int(i) in found]


def get_image(engine: Engine, image_id: int) -> Image:
    with engine.connect() as connection:
        row = connection.execute(_ROWS.where(images.c.id == image_id, images.c.removed_at.is_(None))).first()
    if row is None:
        raise NoSuchImage(f"There is no image {image_id}, or it was removed.")
    return Image(**row._mapping)


def find_by_path(engine: Engine, collection: Collection, paths: Sequence[str]) -> dict[str, int]:
    """Path as a person wrote it → image id: the file itself, else the only image whose folder and name end so."""
    found: dict[str, int] = {}
    with engine.connect() as connection:
        rows = connection.execute(
            select(files.c.path, files.c.image_id)
            .join(images, images.c.id == files.c.image_id)
            .where(visible(collection.id))
        )
        by_path = {bytes(row.path): row.image_id for row in rows}
        by_name: dict[str, list[tuple[str, int]]] = {}
        for row in connection.execute(
            select(images.c.id, images.c.folder, images.c.name).where(visible(collection.id))
        ):
            by_name.setdefault(row.name, []).append((f"/{row.folder}/{row.name}", row.id))
    for path in paths:
        image_id = by_path.get(os.fsencode(os.path.abspath(path)))
        if image_id is None:
            ending = "/" + path.replace("\\", "/").lstrip("./")
            # A page or a tile is called after its place behind "#" in a path, and behind a space in its name.
            place = ending.rpartition("#")[2].startswith(("page=", "box="))
            for written in (ending, " ".join(ending.rsplit("#", 1))) if place else (ending,):
                fits = [i for full, i in by_name.get(written.rpartition("/")[2], []) if full.endswith(written)]
                if fits:
                    break
            image_id = fits[0] if len(fits) == 1 else None
        if image_id is not None:
            found[path] = image_id
    return found


def read_preview(home: Home, image: Image) -> bytes:
    try:
        return home.preview(image.sha256, image.preview_suffix).read_bytes()
    except FileNotFoundError as error:
        raise NoSuchImage(f"The preview of image {image.id} is missing: import its folder again.") from error


def read_original(engine: Engine, home: Home, image: Image) -> bytes:
    """The bytes of the picture: the stored upload, or the file where it was last seen. A part is cut out as PNG."""
    with _opened(engine, home, image) as file:
        if image.part is None:
            return file.read()
        if "box" in image.part and is_slide(file, image.name, MAX_FILE_BYTES):
            return cut_from_slide(file, image.name, image.part)
        file.seek(0)
        return cut_out(file.read(), image.name, image.part)


def _opened(engine: Engine, home: Home, image: Image) -> BinaryIO:
    stored = home.original(image.parent_sha256 or image.sha256)
    if stored.exists():
        return open(stored, "rb")
    with engine.connect() as connection:
        paths = connection.execute(select(files.c.path).where(files.c.image_id == image.id)).scalars().all()
    for path in paths:
        try:
            return open(file_of(bytes(path), image.part), "rb")
        except OSError:
            continue
    raise NoSuchImage(f"The file of {image.name!r} is not where it was: import the folder it is in now.")


def read_rendition(engine: Engine, home: Home, image: Image) -> bytes:
    return make_rendition(read_original(engine, home, image), image.name)


def path_of(engine: Engine, image: Image) -> bytes | None:
    """Where the picture was last seen, when it came from a folder."""
    with engine.connect() as connection:
        query = select(files.c.path).where(files.c.image_id == image.id).order_by(files.c.id.desc()).limit(1)
        path = connection.execute(query).scalar()
    return bytes(path) if path is not None else None


def gone_ids(engine: Engine, collection: Collection) -> np.ndarray:
    """The ids (G,) of images that left the collection. Quick: a million that stayed are not looked at."""
    left = text(f"({LEFT.text})")  # SQLAlchemy puts no parentheses around a text, and "or" would let others' in
    return np.sort(_ids(engine, select(images.c.id).where(images.c.collection_id == collection.id, left)))


def count_up_to(engine: Engine, collection: Collection, image_id: int) -> int:
    """How many images with an id up to `image_id` the collection ever had, those that left it too."""
    query = select(func.count()).where(images.c.collection_id == collection.id, images.c.id <= image_id)
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def contents_of(engine: Engine, collection: Collection, after: int = 0) -> list[tuple[int, str, str]]:
    """(image id, sha256, preview suffix) of every image in the collection whose id is beyond `after`, by id."""
    columns = (images.c.id, images.c.sha256, contents.c.preview_suffix)
    query = select(*columns).join(contents, contents.c.sha256 == images.c.sha256).order_by(images.c.id)
    if after:  # found by the id: for "+ 0" SQLite leaves alone its index of all images of the collection
        here = (images.c.collection_id + 0 == collection.id) & images.c.removed_at.is_(None)
        query = query.where(images.c.id > after, here, images.c.absent_at.is_(None))
    else:
        query = query.where(visible(collection.id))
    with engine.connect() as connection:
        return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def median_side(engine: Engine, collection: Collection) -> int:
    """The median shorter side of the originals, px; 0 when there are none."""
    side = case((contents.c.width < contents.c.height, contents.c.width), else_=contents.c.height)
    query = select(side).join(images, images.c.sha256 == contents.c.sha256).where(visible(collection.id))
    with engine.connect() as connection:
        sides = connection.execute(query).scalars().all()
    return int(np.median(sides)) if sides else 0


def labels_of(engine: Engine, collection: Collection, ids: Sequence[int]) -> dict[int, Label]:
    """Image id → the answer to show for it: its class, else the newest other answer."""
    shown: dict[int, Label] = {}
    for item in current_labels(engine, collection, ids):
        if item.image_id not in shown or item.answer == "yes":
            shown[item.image_id] = item
    return shown


def answers_about(engine: Engine, collection: Collection, ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Image id → class → what was said of it (yes, no, unsure), by name."""
    found: dict[int, dict[str, str]] = {}
    for item in sorted(current_labels(engine, collection, ids), key=lambda item: item.class_name):
        if item.class_name:
            found.setdefault(item.image_id, {})[item.class_name] = item.answer
    return found


def portions(values: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Few enough values at a time for the limits of SQL."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _ids(engine: Engine, query: Any) -> np.ndarray:
    with engine.connect() as connection:
        return np.fromiter((row[0] for row in connection.execute(query)), np.int64)
