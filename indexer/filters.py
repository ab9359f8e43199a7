"""Which images: the one object that lists, searches, labels and removals choose by. `indexer.columns` applies it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, not_, select

from indexer.schema import contents, files, images
from model.errors import BadInput
from model.progress import Line

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


def check_orientation(said: str) -> None:
    if said not in ORIENTATIONS:
        raise BadInput(f"{said!r} is not an orientation: use {', '.join(ORIENTATIONS)}.")


def area(box: str) -> tuple[float, float, float, float]:
    """South, west, north and east of a filter's `within`, degrees."""
    try:
        south, west, north, east = (float(part) for part in box.split(","))
        sound = -90 <= south <= north <= 90 and abs(west) <= 180 and abs(east) <= 180
    except ValueError:
        sound = False
    if not sound:
        words = "{box} is not an area: write south,west,north,east in degrees, as in 47.2,8.4,47.5,8.7."
        raise BadInput(Line("no_area", words, box=repr(box)))
    return south, west, north, east
