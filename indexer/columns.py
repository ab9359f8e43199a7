"""What filters ask of every image of a collection, as arrays: a filter is a mask over a million rows in milliseconds.

The catalog is the truth. Whoever holds columns has them brought up to date when the collection's revision has grown,
by reading only what came, changed or went.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, bindparam, select

from indexer.catalog import Collection
from indexer.filters import Filter, area, check_orientation
from indexer.images import SORTS, gone_ids, ids_by_name, missing_ids
from indexer.labelbook import LabelBook
from indexer.schema import contents, images
from model.errors import BadInput

AT_ONCE = 20_000  # rows that are Python's objects at the same time

_SAID = (
    images.c.id,
    images.c.folder,
    images.c.name,
    images.c.added_at,
    contents.c.taken_at,
    contents.c.camera,
    contents.c.width,
    contents.c.height,
    contents.c.latitude,
    contents.c.longitude,
)
# "+ 0" as in `contents_of`: what is new is found by its id.
_SINCE = (
    select(*_SAID)
    .join(contents, contents.c.sha256 == images.c.sha256)
    .where(images.c.collection_id + 0 == bindparam("collection"), images.c.id > bindparam("last"))
    .order_by(images.c.id)
)
_CHANGED = (
    select(*_SAID)
    .join(contents, contents.c.sha256 == images.c.sha256)
    .where(images.c.collection_id == bindparam("collection"), images.c.changed > bindparam("revision"))
    .where(images.c.id <= bindparam("last"))
    .order_by(images.c.id)
)


@dataclass(frozen=True)
class Columns:
    """One collection's images, a row each. Never changes; `read_columns` makes the next one."""

    revision: int  # of the collection, at least
    ids: np.ndarray  # (N,) int64, ascending
    here: np.ndarray  # (N,) bool: not removed, and not replaced by another picture
    folders: tuple[str, ...]  # each one once; `folder` (N,) int32 says which
    folder: np.ndarray
    cameras: tuple[str | None, ...]
    camera: np.ndarray
    names: bytes  # every file name in small letters, UTF-8, with a NUL behind it
    added: np.ndarray  # (N,) bytes, ISO 8601
    taken: np.ndarray  # (N,) bytes, ISO 8601; empty where no camera said
    width: np.ndarray  # (N,) int32, px
    height: np.ndarray
    latitude: np.ndarray  # (N,) float64, degrees; NaN where no camera said
    longitude: np.ndarray

    def keeps(self, wanted: Filter, labels: LabelBook, missing: Callable[[], np.ndarray]) -> np.ndarray:
        """(N,) bool: the rows that a filter keeps, but for predictions and clusters, which others know.

        `missing` gives the ids of images whose files are gone.
        """
        keep = self.here.copy()
        if wanted.folder is not None:
            below = wanted.folder + "/"
            keep &= _of(self.folder, self.folders, lambda said: said == wanted.folder or said.startswith(below))
        if wanted.camera is not None:
            keep &= _of(self.camera, self.cameras, lambda said: said == wanted.camera)
        if wanted.taken_from is not None:
            keep &= (self.taken >= _letters(wanted.taken_from)) & (self.taken != b"")
        if wanted.taken_to is not None:  # "2024-05" or "2024-05-31" includes all of that month or day
            until = _letters(wanted.taken_to)
            keep &= (self.taken.astype(f"S{min(len(until), self.taken.itemsize) or 1}") <= until) & (self.taken != b"")
        if wanted.imported_since is not None:
            keep &= self.added >= _letters(wanted.imported_since)
        if wanted.min_side is not None:
            keep &= (self.width >= wanted.min_side) & (self.height >= wanted.min_side)
        if wanted.orientation is not None:
            check_orientation(wanted.orientation)
            signs = {"landscape": 1, "portrait": -1, "square": 0}
            keep &= np.sign(self.width - self.height) == signs[wanted.orientation]
        if wanted.within is not None:
            keep &= self._taken_within(*area(wanted.within))
        if wanted.missing is not None:
            keep &= self.marked(missing()) == wanted.missing
        if wanted.class_ is not None:
            keep &= self.marked(labels.ids_of(lambda name: name == wanted.class_))
        if wanted.labelled is not None:
            keep &= self.marked(labels.answered()) == wanted.labelled
        for word in (wanted.text or "").lower().split():  # every word, in the file name, the folder or the class
            keep &= self._said(word, labels)
        return keep

    def marked(self, ids: np.ndarray) -> np.ndarray:
        """(N,) bool: the rows of these ids (M,), of which the collection need not know all."""
        marks = np.full(len(self.ids), False)
        if len(self.ids):
            rows = np.searchsorted(self.ids, ids).clip(0, len(self.ids) - 1)
            marks[rows[self.ids[rows] == ids]] = True
        return marks

    def _taken_within(self, south: float, west: float, north: float, east: float) -> np.ndarray:
        among = (self.longitude >= west) & (self.longitude <= east)
        if west > east:  # across the 180th meridian
            among = (self.longitude >= west) | (self.longitude <= east)
        return (self.latitude >= south) & (self.latitude <= north) & among

    def _said(self, word: str, labels: LabelBook) -> np.ndarray:
        found = _of(self.folder, self.folders, lambda said: word in said.lower())
        found |= self.marked(labels.ids_of(lambda name: word in name.lower()))
        if "\0" not in word:
            # To the end of the name, so that each name is found once.
            places = re.finditer(re.escape(_letters(word)) + rb"[^\0]*", self.names)
            ends = np.flatnonzero(np.frombuffer(self.names, np.uint8) == 0)
            found[np.searchsorted(ends, np.fromiter((place.start() for place in places), np.int64))] = True
        return found


def read_columns(engine: Engine, collection: Collection, held: Columns | None = None) -> Columns:
    """The columns as the catalog is now; of what is in `held`, only what changed since is read again."""
    held = held or _EMPTY
    last = int(held.ids[-1]) if len(held.ids) else 0
    # A code for each text, in the order in which they came; new ones are added while rows are read.
    folders = {said: code for code, said in enumerate(held.folders)}
    cameras = {said: code for code, said in enumerate(held.cameras)}
    parts: dict[str, list[np.ndarray]] = {name: [getattr(held, name)] for name in _GROWING}
    names = [held.names]
    with engine.connect() as connection:
        for rows in _pages(connection, {"collection": collection.id, "last": last}):
            fresh = _arrays(rows, folders, cameras)
            for name in _GROWING:
                parts[name].append(fresh[name])
            names.append(_lines(row[2] for row in rows))
        where = {"collection": collection.id, "revision": held.revision, "last": last}
        changed = connection.execute(_CHANGED, where).all() if last else []
    grown = {name: np.concatenate(some) for name, some in parts.items()}
    text = b"".join(names)
    if changed:
        fresh = _arrays(changed, folders, cameras)
        at = np.searchsorted(grown["ids"], fresh["ids"])
        for name in _GROWING:
            widest = np.promote_types(grown[name].dtype, fresh[name].dtype)  # a date longer than there were
            grown[name] = grown[name].astype(widest, copy=False)
            grown[name][at] = fresh[name]
        lines = text.split(b"\0")
        for place, row in zip(at.tolist(), changed, strict=True):
            lines[place] = _lines([row[2]])[:-1]
        text = b"\0".join(lines)
    here = ~np.isin(grown["ids"], gone_ids(engine, collection), assume_unique=True)
    return Columns(collection.revision, here=here, folders=tuple(folders), cameras=tuple(cameras), names=text, **grown)


def select_ids(engine: Engine, collection: Collection, wanted: Filter, sort: str = "oldest") -> np.ndarray:
    """The ids (N,) int64 of the images that a filter keeps, but for predictions and clusters. For who asks once."""
    found = read_columns(engine, collection)
    book = LabelBook().read(engine, collection)
    kept = found.keeps(wanted, book, lambda: missing_ids(engine, collection))
    return in_order(engine, collection, found, kept, sort)


def in_order(engine: Engine, collection: Collection, columns: Columns, kept: np.ndarray, sort: str) -> np.ndarray:
    """The ids (M,) of the rows that are `kept` (N,), in the order of `sort`."""
    if sort not in SORTS:
        raise BadInput(f"{sort!r} is not an order: use {', '.join(SORTS)}.")
    ids = columns.ids[kept]
    match sort:
        case "newest":
            return ids[::-1]
        case "random":  # the same order every time, so that pages fit together
            return ids[np.lexsort((ids, (ids * 7919) % 100_003))]
        case "name":
            ordered = ids_by_name(engine, collection)
            rows = np.searchsorted(columns.ids, ordered).clip(0, max(len(columns.ids) - 1, 0))
            return ordered[kept[rows] & (columns.ids[rows] == ordered)] if len(ids) else ids
    return ids


_GROWING = ("ids", "folder", "camera", "added", "taken", "width", "height", "latitude", "longitude")


def _arrays(rows: Sequence[Any], folders: dict[str, int], cameras: dict[str | None, int]) -> Mapping[str, np.ndarray]:
    ids, in_folder, _, added, taken, camera, width, height, latitude, longitude = zip(*rows, strict=True)
    return {
        "ids": np.array(ids, np.int64),
        "folder": np.array([folders.setdefault(said, len(folders)) for said in in_folder], np.int32),
        "camera": np.array([cameras.setdefault(said, len(cameras)) for said in camera], np.int32),
        "added": np.array([said.encode() for said in added]),
        "taken": np.array([(said or "").encode() for said in taken]),
        "width": np.array(width, np.int32),
        "height": np.array(height, np.int32),
        "latitude": np.array(latitude, np.float64),  # None becomes NaN
        "longitude": np.array(longitude, np.float64),
    }


def _pages(connection: Connection, where: dict[str, int]) -> Iterator[Sequence[Any]]:
    yield from connection.execution_options(yield_per=AT_ONCE).execute(_SINCE, where).partitions()


def _lines(names: Any) -> bytes:
    return b"".join(_letters(name.replace("\0", " ").lower()) + b"\0" for name in names)


def _letters(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _of(codes: np.ndarray, texts: Sequence[Any], holds: Callable[[Any], bool]) -> np.ndarray:
    """(N,) bool: whether the text of each row holds; each text is asked once."""
    return np.fromiter(map(holds, texts), bool, len(texts))[codes] if len(texts) else np.full(len(codes), False)


_EMPTY = Columns(
    -1, np.zeros(0, np.int64), np.zeros(0, bool), (), np.zeros(0, np.int32), (), np.zeros(0, np.int32), b"",
    np.zeros(0, "S1"), np.zeros(0, "S1"), np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0), np.zeros(0),
)  # fmt: skip
