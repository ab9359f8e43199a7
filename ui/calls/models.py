"""Models: train them, index with them, compare them."""

from __future__ import annotations

from typing import Any

from ui.answers import Job, Model, Pairs
from ui.calls.connection import Connection


class Models(Connection):
    """Encoders, and the indexes made with them."""

    def train(self, collection: str, **settings: Any) -> Job:
        """Learn what "alike" means here. Settings: init, backbone, epochs, image_size, preset, adopt, pins, …"""
        return self._call("POST", self._of(collection, "trainings"), json=settings)

    def estimate(self, collection: str, **settings: Any) -> Job:
        """Measure what such a training would cost: the job's result has seconds, memory_mb, disk_mb and a sentence."""
        return self._call("POST", self._of(collection, "trainings/estimate"), json=settings)

    def finetune(self, collection: str, **settings: Any) -> Job:
        """Let the encoder learn from the labels, a hundred or more. Settings: loss, epochs, image_size, adopt, …"""
        return self._call("POST", self._of(collection, "finetunings"), json=settings)

    def int8(self, collection: str) -> Job:
        """Make an int8 copy of the active model, which encodes faster on a CPU; active where it is as good."""
        return self._call("POST", self._of(collection, "int8"))

    def pairs(self, collection: str, preset: str | None = None, seed: int = 0, count: int = 12) -> Pairs:
        """Pictures with two views of each: what training with this preset would call the same."""
        body = {"seed": seed, "count": count, **({"preset": preset} if preset else {})}
        return self._call("POST", self._of(collection, "pairs"), json=body)

    def index(self, collection: str, model: str | None = None, activate: bool = True) -> Job:
        """Compute the vectors that are missing and publish the index; a model that is named becomes the active one."""
        body = {"model": model, "activate": activate} if model else {}
        return self._call("POST", self._of(collection, "indexes"), json=body)

    def compare(self, collection: str, first: str, second: str, image: int | None = None) -> dict[str, Any]:
        """One picture and what two models find for it, {id, image, left, right, result}; which is which is not said."""
        body = {"models": [first, second], **({"image_id": image} if image is not None else {})}
        return self._call("POST", self._of(collection, "comparisons"), json=body)

    def vote(self, collection: str, comparison: int, answer: str) -> dict[str, Any]:
        """Say which side is better: left, right or same; answers with which model stood where, and the result."""
        return self._call("POST", self._of(collection, f"comparisons/{comparison}/vote"), json={"answer": answer})

    def draw_map(self, collection: str, again: bool = False) -> Job:
        """Lay the pictures out on the 2-D map, or put those on it that came since; `again` lays all out anew."""
        return self._call("POST", self._of(collection, "maps"), json={"again": again})

    def map(self, collection: str) -> dict[str, Any]:
        """The map as columns: ids, x, y, cluster; and its clusters and outliers."""
        return self._call("GET", self._of(collection, "map"))

    def models(self) -> list[Model]:
        """Every encoder on this machine."""
        return self._call("GET", "/v1/models")["items"]

    def model(self, fingerprint: str) -> Model:
        """One encoder."""
        return self._call("GET", f"/v1/models/{fingerprint}")

    def report(self, fingerprint: str) -> dict[str, Any]:
        """How an encoder compares with the one it started from, on your own pictures."""
        return self._call("GET", f"/v1/models/{fingerprint}/report")
