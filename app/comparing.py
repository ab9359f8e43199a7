"""Comparing two models blind: what each finds for one picture, among the pictures that both know."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.engine import Engine
from indexer.catalog import Collection
from indexer.comparisons import Comparison, Tally, answered, asked, begin, tally
from indexer.errors import NoSuchImage
from indexer.search import search
from model.errors import TooFewImages

TRIES = 20  # pictures drawn until the two models find different ones


@dataclass(frozen=True)
class SideBySide:
    """A comparison, and the ids that stand on its two sides, best first."""

    comparison: Comparison
    left: list[int]
    right: list[int]
    compared: int  # images that both models have an index of


def compare_blind(
    engine: Engine, collection: Collection, models: tuple[str, str], image_id: int | None, limit: int
) -> SideBySide:
    """Begin a comparison: of `image_id`, or of a picture drawn by lot that was not asked about yet.

    A picture for which both find the same, in the same order, is passed over where another can be drawn. Raises
    NoIndex, NoSuchImage, TooFewImages.
    """
    earlier = answered(engine.workspace.engine, collection)
    tally(earlier, models)  # two different ones
    first, second = (engine.index_under(collection, model) for model in models)
    gone = engine.gone(collection, first)
    both = np.setdiff1d(np.intersect1d(first.ids, second.ids, assume_unique=True), gone, assume_unique=True)
    if image_id is not None and image_id not in both:
        raise NoSuchImage(f"Image {image_id} is not in the index of both models: make their indexes anew.")
    left_to_ask = np.setdiff1d(both, np.array(list(asked(earlier, models)), np.int64), assume_unique=True)
    if len(both) < 2 or (image_id is None and not len(left_to_ask)):
        raise TooFewImages("There is no picture left that these two models could be asked about.")
    drawn = np.random.default_rng().permutation(left_to_ask)[:TRIES].tolist() if image_id is None else [image_id]
    for one in drawn:
        found = [
            search(
                index,
                index.vectors_of(np.array([one]))[1],
                np.zeros((0, index.vectors.shape[1]), np.float32),
                limit=limit,
                among=None if len(both) == len(index.ids) else both,
                exclude=np.append(gone, one),
            ).ids.tolist()
            for index in (first, second)
        ]
        if found[0] != found[1]:
            break
    comparison = begin(engine.workspace.engine, collection, one, models)
    sides = dict(zip(models, found, strict=True))
    return SideBySide(comparison, sides[comparison.left], sides[comparison.right], len(both))


def result(engine: Engine, collection: Collection, models: tuple[str, str]) -> dict[str, Any]:
    """What the answers so far say about two models."""
    return said(tally(answered(engine.workspace.engine, collection), models))


def results(engine: Engine, collection: Collection) -> list[dict[str, Any]]:
    """The same of every two models that were compared, those with the newest answer first."""
    found = answered(engine.workspace.engine, collection)
    pairs = dict.fromkeys(tuple(sorted((one.left, one.right))) for one in reversed(found))
    return [said(tally(found, (first, second))) for first, second in pairs]


def said(counted: Tally) -> dict[str, Any]:
    """A tally as JSON, with a sentence."""
    first, second = (model[:8] for model in counted.models)
    words = f"{counted.votes} answers: {counted.wins[0]} for {first}, {counted.wins[1]} for {second}, "
    words += f"{counted.same} the same."
    if counted.share is not None and counted.interval is not None:
        low, high = counted.interval
        words += f" Where they differ, {first} is preferred in {counted.share:.0%} "
        words += f"(95 % interval {low:.0%} to {high:.0%}): "
        words += f"{counted.better[:8]} is better." if counted.better else "no difference that can be told yet."
    return {**asdict(counted), "votes": counted.votes, "sentence": words}
