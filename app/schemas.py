"""The JSON of the API: what requests may hold, with their limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from indexer.filters import Filter
from indexer.parts import LARGEST_TILE, Cutting
from indexer.search import Wish

MAX_ID = 2**63 - 1
LONG = 1000  # characters: longer patterns are an error of SQLite's own
ImageNumber = Annotated[int, Field(ge=1, le=MAX_ID)]
Example = ImageNumber | Annotated[str, Field(max_length=64)]  # an image's id or a query's


def _texts(given: Any) -> Iterator[str]:
    """Every text in a JSON document, names of fields included."""
    if isinstance(given, str):
        yield given
    elif isinstance(given, dict):
        for name, value in given.items():
            yield name
            yield from _texts(value)
    elif isinstance(given, list):
        for value in given:
            yield from _texts(value)


class Strict(BaseModel):
    """A misspelt field is an error, not silence."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _whole_letters(cls, given: Any) -> Any:
        """JSON can spell half a letter ("\\ud800"), which no database keeps and no answer can repeat."""
        if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for text in _texts(given) for letter in text):
            raise ValueError("a text holds half a letter or a zero byte")
        return given


class FilterBody(Strict):
    """Which images; the same object everywhere."""

    class_: str | None = Field(None, alias="class", max_length=LONG)
    predicted: str | None = Field(None, max_length=LONG)
    min_probability: float | None = Field(None, ge=0, le=1)
    folder: str | None = Field(None, max_length=LONG)
    taken_from: str | None = Field(None, max_length=40)
    taken_to: str | None = Field(None, max_length=40)
    camera: str | None = Field(None, max_length=LONG)
    labelled: bool | None = None
    imported_since: str | None = Field(None, max_length=40)
    min_side: int | None = Field(None, ge=0, le=1_000_000)
    text: str | None = Field(None, max_length=200)
    missing: bool | None = None
    orientation: str | None = Field(None, max_length=20)
    within: str | None = Field(None, max_length=200)
    cluster: int | None = Field(None, ge=0, le=100_000)

    def wanted(self) -> Filter:
        return Filter(**self.model_dump())


class NewCollection(Strict):
    name: str
    preset: str = Field("photo", max_length=200)
    multi_label: bool = False


class CollectionChanges(Strict):
    name: str | None = None
    preset: str | None = Field(None, max_length=200)
    active_model: str | None = None
    multi_label: bool | None = None


class Options(Strict):
    """How files become pictures: whole, in squares of `tile` px, or, of TIFFs, page by page."""

    tile: int = Field(0, ge=0, le=LARGEST_TILE)
    pages: Literal["first", "all"] = "first"

    def chosen(self) -> dict[str, Any]:
        """What is not as usual, for a job; raises `BadInput` for tiles that show nothing."""
        Cutting(self.tile, self.pages == "all")
        return self.model_dump(include={"tile", "pages"}, exclude_defaults=True)


class ImportRequest(Options):
    path: str = Field(min_length=1, max_length=4096)
    labels_from_folders: bool = False
    exclude: list[Annotated[str, Field(min_length=1, max_length=LONG)]] = Field([], max_length=100)
    allow_empty: bool = False
    retry: bool = False


class Selection(Strict):
    """Images by id, or all that a filter keeps."""

    image_ids: list[ImageNumber] | None = Field(None, max_length=100_000)
    filter: FilterBody | None = None


class ImageList(Strict):
    """Images to list, in the order to list them in."""

    image_ids: list[ImageNumber] = Field(max_length=500)


class LabelRequest(Selection):
    """Without a class the answer is none_of_these, unsure, or none, which takes every answer away."""

    class_: str | None = Field(None, alias="class", max_length=100)
    answer: Literal["yes", "no", "unsure", "none", "none_of_these"] = "yes"
    source: Literal["hand", "suggestion", "bulk"] = "hand"
    by: str | None = Field(None, min_length=1, max_length=100)
    known: bool = False  # the class is one that the sender was shown: it is not made, and found under another name too
    preview: bool = False  # only say what would change
    as_predicted: bool = False  # instead of a class: each image the one that it is predicted to have
    seen: str | None = Field(None, max_length=64)  # of an acceptance: only what the preview with this `seen` said
    not_image_ids: list[ImageNumber] = Field([], max_length=100_000)  # said not to be of the class, in the same action

    @model_validator(mode="after")
    def _one_way(self) -> LabelRequest:
        if self.not_image_ids and (self.class_ is None or self.answer != "yes" or self.preview or self.as_predicted):
            raise ValueError("not_image_ids are beside images that are given a class (yes), and are not previewed")
        if set(self.not_image_ids) & set(self.image_ids or ()):
            raise ValueError("an image is in image_ids and in not_image_ids: leave one")
        if self.seen is not None and (self.preview or not self.as_predicted):
            raise ValueError(
                "seen comes from a preview of as_predicted, and goes with the same request without preview"
            )
        if self.as_predicted and (self.class_ is not None or self.answer != "yes"):
            raise ValueError("as_predicted gives each picture its own class: leave class and answer out")
        return self


class MergeRequest(Strict):
    into: str = Field(max_length=100)
    preview: bool = False


class TrainingRequest(Strict):
    """What is left out is chosen from the collection's size and the hardware."""

    init: str | None = None
    backbone: str | None = None
    adopt: Literal["better", "always", "never"] | None = None
    preset: str | None = Field(None, max_length=200)
    epochs: int | None = Field(None, ge=1, le=100_000)
    batch_size: int | None = Field(None, ge=4, le=65_536)
    image_size: int | None = Field(None, ge=16, le=1024)
    learning_rate: float | None = Field(None, gt=0, le=10)
    optimizer: Literal["sgd", "lars", "adamw"] | None = None
    scaling: Literal["linear", "sqrt"] | None = None
    temperature: float | None = Field(None, ge=0.01, le=10)
    loss: Literal["nt-xent", "decoupled"] | None = None
    views: int | None = Field(None, ge=2, le=8)
    grow_from: int | None = Field(None, ge=16, le=1024)
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    seed: int | None = Field(None, ge=0, le=2**31 - 1)
    pins: list[ImageNumber] | None = Field(None, max_length=4)  # pictures whose nearest are looked at as it learns


class FinetuningRequest(Strict):
    """What is left out is chosen from the number of labels and the hardware."""

    adopt: Literal["better", "always", "never"] | None = None
    loss: Literal["supervised", "cross-entropy"] | None = None
    epochs: int | None = Field(None, ge=1, le=1000)
    batch_size: int | None = Field(None, ge=4, le=65_536)
    image_size: int | None = Field(None, ge=16, le=1024)
    preset: str | None = Field(None, max_length=200)
    learning_rate: float | None = Field(None, gt=0, le=10)
    temperature: float | None = Field(None, ge=0.01, le=10)
    seed: int | None = Field(None, ge=0, le=2**31 - 1)


class PairsRequest(Strict):
    """What a training would be given, and which pictures to show: others for another seed."""

    init: str | None = None
    preset: str | None = Field(None, max_length=200)
    image_size: int | None = Field(None, ge=16, le=1024)
    seed: int = Field(0, ge=0, le=2**31 - 1)
    count: int = Field(12, ge=1, le=48)


class MapRequest(Strict):
    again: bool = False  # lay everything out anew, and not only what came since


class IndexRequest(Strict):
    model: str | None = None
    activate: bool = True  # make the model that is named the active one


class WhatToSearch(Strict):
    positive: list[Example] = Field(min_length=1, max_length=100)
    negative: list[Example] = Field([], max_length=100)
    filter: FilterBody = FilterBody()
    min_score: float | None = Field(None, ge=-1, le=1)
    group: float | None = Field(None, ge=0.5, le=1)
    variety: float = Field(0, ge=0, le=1)

    def wish(self) -> Wish:
        return Wish(self.min_score, self.group, self.variety)


class SearchRequest(WhatToSearch):
    model: str | None = Field(None, max_length=64)  # the active one unless named
    limit: int = Field(60, ge=1, le=500)
    offset: int = Field(0, ge=0, le=1_000_000)


class ComparisonRequest(Strict):
    """Two models, and a picture to search with: one drawn by lot unless named."""

    models: tuple[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=64)]]
    image_id: ImageNumber | None = None
    limit: int = Field(12, ge=1, le=48)


class VoteRequest(Strict):
    answer: Literal["left", "right", "same"]


class SavedSearchRequest(WhatToSearch):
    name: str = Field(min_length=1, max_length=100)


class BoxQuery(Strict):
    image_id: ImageNumber
    box: tuple[float, float, float, float] = (0, 0, 1, 1)


class NewClass(Strict):
    name: str
    colour: str | None = Field(None, pattern="^#[0-9a-fA-F]{6}$")


class ClassChanges(Strict):
    name: str | None = None
    colour: str | None = Field(None, pattern="^#[0-9a-fA-F]{6}$")
    line: float | None = Field(None, ge=0, le=1)
    key: str | None = Field(None, pattern="^[1-9]$")


class Page(BaseModel):
    """A page of a list."""

    items: list[dict[str, Any]]
    total: int
    offset: int
    limit: int
