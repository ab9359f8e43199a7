"""What is looked at while a model learns: its quality without labels, k-NN on labels, and pinned pictures' nearest.

Quality is Recall@1 between two views, always the same, of pictures kept out of training: it needs no label, and grows.
The weights that reached the highest are kept, for whoever stops a training early.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from model.evaluate import knn_accuracy
from model.feed import Feed
from model.learner import recall_at_1
from model.resume import PINNED, RunFolder
from model.step import Step

PINS, NEAREST = 4, 10  # pictures that can be pinned; how many of each one's nearest are shown
SAMPLE, LABELLED = 400, 200  # pictures among which the nearest are looked for; of these, with a label
LEAST_LABELS, NEIGHBOURS = 10, 10  # fewer labels say nothing; k of the k-NN
BEST = "best."  # what the names of the best weights begin with in a state


@dataclass(frozen=True)
class Watched:
    """A sample of the pictures, looked at whole at every evaluation."""

    rows: Tensor  # (S,) int64, of the pixels
    ids: list[int]  # (S,) the images there
    pins: list[int]  # places in the sample of those that are pinned
    labels: list[str | None]  # (S,)
    size: int  # px, at which they are encoded


def watched(ids: Sequence[int], pins: Sequence[int], labels: Mapping[int, str], size: int) -> Watched | None:
    """A sample of the images `ids`, one a row of the pixels, always the same: what is pinned, labelled ones, others.

    None where nothing is pinned and labels are too few. Pins that are not among the images are left out.
    """
    place = {image_id: row for row, image_id in enumerate(ids)}
    pinned = [place[i] for i in dict.fromkeys(pins) if i in place][:PINS]
    mixed = np.random.default_rng(0).permutation(len(ids)).tolist()
    labelled = [row for row in mixed if ids[row] in labels][:LABELLED]
    names = Counter(labels[ids[row]] for row in labelled)
    if len(labelled) < LEAST_LABELS or len(names) < 2:
        labelled = []
    if not pinned and not labelled:
        return None
    chosen = list(dict.fromkeys([*pinned, *labelled, *(mixed if pinned else ())]))[: SAMPLE if pinned else LABELLED]
    known = set(labelled)
    return Watched(
        torch.tensor(chosen),
        [ids[row] for row in chosen],
        list(range(len(pinned))),
        [labels[ids[row]] if row in known else None for row in chosen],
        size,
    )


class Lookout:
    """Takes the figures of what a `stepper` trains, and remembers the best weights: `best` is their line of metrics."""

    def __init__(
        self,
        stepper: Step,
        feed: Feed,
        held_out: Tensor,
        sample: Watched | None,
        folder: RunFolder,
        random: Callable[[], Generator],
    ) -> None:
        """`held_out` are rows that are not trained on; `random` gives the same numbers every time."""
        self.stepper, self.feed, self.held_out, self.sample = stepper, feed, held_out, sample
        self.folder, self.random = folder, random
        self.best: dict[str, Any] | None = None
        self._weights: dict[str, Tensor] = {}

    def look(self, line: dict[str, Any]) -> None:
        """Add quality, and k-NN where labels allow it, to a line of metrics; keep the weights if none were better."""
        line["quality"] = self._quality()
        vectors = self.look_at_pins(line["step"], line["epoch"])
        if vectors is not None:
            line |= self._neighbours(vectors)
        if self.best is None or line["quality"] >= self.best["quality"]:
            self.best = dict(line)
            backbone = self.stepper.learner.backbone.state_dict()
            self._weights = {name: tensor.detach().to("cpu", copy=True) for name, tensor in backbone.items()}

    def look_at_pins(self, step: int, epoch: float) -> np.ndarray | None:
        """Write down the nearest of every pinned picture; the vectors (S, D) of the sample, where there is one."""
        if self.sample is None:
            return None
        pixels = self.feed.rows(self.sample.rows)
        vectors = F.normalize(self.stepper.whole(pixels, self.sample.size), dim=1).cpu().numpy()
        if self.sample.pins:
            queries = [self._nearest(vectors, place) for place in self.sample.pins]
            self.folder.add(PINNED, {"step": step, "epoch": epoch, "sample": len(vectors), "queries": queries})
        return vectors

    def _nearest(self, vectors: np.ndarray, place: int) -> dict[str, Any]:
        assert self.sample is not None
        cosines = vectors @ vectors[place]
        order = [i for i in np.argsort(-cosines, kind="stable").tolist() if i != place][:NEAREST]
        near = [{"image": self.sample.ids[i], "cosine": round(float(cosines[i]), 4)} for i in order]
        return {"image": self.sample.ids[place], "nearest": near}

    def _neighbours(self, vectors: np.ndarray) -> dict[str, Any]:
        """How often the nearest others with a label have a picture's own label."""
        assert self.sample is not None
        rows = [i for i, label in enumerate(self.sample.labels) if label is not None]
        if not rows:
            return {}
        names = [str(self.sample.labels[i]) for i in rows]
        return {"knn": knn_accuracy(vectors[rows], names, min(NEIGHBOURS, len(rows) - 1)), "knn_labels": len(rows)}

    def _quality(self) -> float:
        views = self.stepper.pair(self.feed.rows(self.held_out), self.random(), self.stepper.settings.image_size)
        one, other = self.stepper.features(views).chunk(2)
        return recall_at_1(one, other)

    def state(self) -> dict[str, Tensor]:
        """The best weights, for a state; `best` goes with its counters."""
        return {f"{BEST}{name}": tensor for name, tensor in self._weights.items()}

    def restore(self, tensors: dict[str, Tensor], best: dict[str, Any] | None) -> None:
        """The inverse; takes the best weights out of a state's `tensors`."""
        self.best = best
        self._weights = {name.removeprefix(BEST): tensors.pop(name) for name in list(tensors) if name.startswith(BEST)}

    def take_best(self) -> dict[str, Any]:
        """Give the trained network its best weights back; the line of metrics they were measured in."""
        assert self.best is not None
        self.stepper.learner.backbone.load_state_dict(self._weights)
        return self.best
