"""Which images: the one object that lists, searches, labels and removals choose by, and what it means in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, select

from indexer.schema import contents, files, images
from model.errors import BadInput

ORIENTATIONS = ("landscape", "portrait", "square")


@dataclass(frozen=True)
class Filter:
    """Which images: the same object in lists, searches, labels and removals. An empty field does not filter."""

    class_: str | None = None
    predicted: str | None = None
    min_probability: float | None = None
    folder: str | None = None
    taken_from: str | None = None
    taken_to: str | None = None
    camera: str | None = None
    labelled: bool | None = None  # whether it has a class, or is said to be none of these or unsure
    imported_since: str | None = None
    min_side: int | None = None
    text: str | None = None
    missing: bool | None = None  # whether its file was gone when its folder was last imported
    orientation: str | None = None  # landscape, portrait or square
    within: str | None = None  # "south,west,north,east" in degrees: where the picture was taken
    cluster: int | None = None  # of the collection's map

    @property
    def empty(self) -> bool:
        return self == Filter()

    @property
    def needs_predictions(self) -> bool:
        return self.predicted is not None or self.min_probability is not None


_FILES = select(files.c.id).where(files.c.image_id == images.c.id).correlate(images)
# An upload has no file row and is kept by us; what came from a folder is missing once every file that showed it is.
IS_MISSING: ColumnElement[bool] = and_(
    contents.c.stored == 0, exists(_FILES), not_(exists(_FILES.where(files.c.missing_at.is_(None))))
)


def conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    """What images joined with contents must fulfil; words, labels and predictions are the caller's."""
    found: list[ColumnElement[bool]] = []
    if wanted.folder is not None:
        below = images.c.folder.startswith(wanted.folder + "/", autoescape=True)
        found.append(or_(images.c.folder == wanted.folder, below))
    for column, value, compare in (
        (contents.c.taken_at, wanted.taken_from, "__ge__"),
        (contents.c.camera, wanted.camera, "__eq__"),
        (images.c.added_at, wanted.imported_since, "__ge__"),
        (contents.c.width, wanted.min_side, "__ge__"),
        (contents.c.height, wanted.min_side, "__ge__"),
    ):
        if value is not None:
            found.append(getattr(column, compare)(value))
    if wanted.taken_to is not None:  # "2024-05" or "2024-05-31" includes all of that month or day
        found.append(func.substr(contents.c.taken_at, 1, len(wanted.taken_to)) <= wanted.taken_to)
    if wanted.missing is not None:
        found.append(IS_MISSING if wanted.missing else not_(IS_MISSING))
    if wanted.orientation is not None:
        found.append(_held(wanted.orientation))
    if wanted.within is not None:
        found.append(_taken_within(wanted.within))
    return found


def _held(orientation: str) -> ColumnElement[bool]:
    choices: dict[str, Any] = {
        "landscape": contents.c.width > contents.c.height,
        "portrait": contents.c.width < contents.c.height,
        "square": contents.c.width == contents.c.height,
    }
    if orientation not in choices:
        raise BadInput(f"{orientation!r} is not an orientation: use {', '.join(ORIENTATIONS)}.")
    return choices[orientation]


def _taken_within(box: str) -> ColumnElement[bool]:
    try:
        south, west, north, east = (float(part) for part in box.split(","))
        sound = -90 <= south <= north <= 90 and abs(west) <= 180 and abs(east) <= 180
    except ValueError:
        sound = False
    if not sound:
        raise BadInput(f"{box!r} is not an area: write south,west,north,east in degrees, as in 47.2,8.4,47.5,8.7.")
    latitude = contents.c.latitude.between(south, north)
    longitude = contents.c.longitude
    if west <= east:
        return and_(latitude, longitude.between(west, east))
    return and_(latitude, or_(longitude >= west, longitude <= east))  # across the 180th meridian
