"""What the API answers, as types: the JSON of `/v1` with its keys named. Nothing is converted."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypedDict, TypeVar

Item = TypeVar("Item")


class Collection(TypedDict):
    """A named set of pictures with its own classes, labels, active model and indexes."""

    name: str
    preset: str
    images: int
    labelled: int
    classes: int
    active_model: str | None
    indexed: int  # vectors in the published index
    index: dict[str, Any] | None  # its kind, measured recall, and a sentence that says both, also by name and values
    created_at: str
    next_step: str  # one sentence: what to do next
    next_step_said: dict[str, Any]  # its name and values, for other languages


# Written as calls, because `class` is a word Python keeps for itself.
Prediction = TypedDict("Prediction", {"class": str, "probability": float})
Image = TypedDict(
    "Image",
    {
        "id": int,
        "name": str,
        "folder": str,
        "width": int,  # of the original
        "height": int,
        "bytes": int,
        "format": str,
        "added_at": str,
        "taken_at": str | None,
        "camera": str | None,
        "latitude": float | None,  # degrees, north and east positive
        "longitude": float | None,
        "missing": bool,  # its file was gone when its folder was last imported
        "part": dict[str, Any] | None,  # of a page or a tile: where in its file
        "class": str | None,  # the current label
        "answer": str | None,
        "predicted": Prediction | None,
        "preview": str,
    },
)


class Page(TypedDict, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    total: int
    offset: int
    limit: int


class Job(TypedDict):
    """Long work: import, index or training."""

    id: int
    kind: str
    collection: str
    state: Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
    progress: float  # 0..1
    message: str
    result: dict[str, Any] | None
    error: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    params: dict[str, Any]


class Hit(TypedDict):
    """A picture that was found; the list is sorted by `score`, `cosine` is the similarity to the nearest positive."""

    image: Image
    score: float
    cosine: float


class Found(TypedDict):
    """The answer of a search, best first."""

    hits: list[Hit]
    total: int
    took_ms: float
    model: str


class Class(TypedDict):
    """A class of a collection, with the key (1 to 9) that gives it on the page."""

    name: str
    colour: str
    key: str | None
    labels: int
    predicted: int | None


class Probe(TypedDict):
    """What the labels teach so far. `confusion[i][j]` counts those labelled class i and predicted class j."""

    classes: list[str]
    labels: int
    accuracy: float | None
    interval: tuple[float, float] | None
    confusion: list[list[int]] | None
    folds: int
    strength: float
    note: str | None


class Pair(TypedDict):
    """A picture and two views of it, by their addresses."""

    image_id: int
    preview: str
    views: list[str]


class Pairs(TypedDict):
    """What a training would call the same, and where that disagrees with the pictures."""

    preset: str
    image_size: int  # px, of a view
    side: int  # px, of the square that views are cut from
    fit: str
    seed: int
    pairs: list[Pair]
    warnings: list[str]  # one sentence each, with what to do
    warnings_said: list[dict[str, Any]]  # their names and values, for other languages


class Model(TypedDict):
    """An encoder, known by its fingerprint."""

    fingerprint: str
    backbone: str
    image_size: int
    dim: int
    started_from: str
    arithmetic: str  # float32 or int8
    created_at: str
    collections: list[str]  # where it is the active one
    training: dict[str, Any]
    has_report: bool  # at /v1/models/{fingerprint}/report, and ?format=html to read
