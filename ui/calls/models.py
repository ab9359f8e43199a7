"""Models: train them, index with them, compare them."""

from __future__ import annotations

from typing import Any

from ui.answers import Job, Model, Pairs
from ui.calls.connection import Connection


class Models(Connection):
    """Encoders, and the indexes made with them."""

    def train(self, collection: str, **settings: Any) -> Job:
        """Learn what "alike" means here. Settings: init, backbone, epochs, batch_size, image_size, preset, adopt."""
        return self._call("POST", self._of(collection, "trainings"), json=settings)

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

    def index(self, collection: str, model: str | None = None) -> Job:
        """Compute the vectors that are missing and publish the index."""
        return self._call("POST", self._of(collection, "indexes"), json={"model": model} if model else {})

    def models(self) -> list[Model]:
        """Every encoder on this machine."""
        return self._call("GET", "/v1/models")["items"]

    def model(self, fingerprint: str) -> Model:
        """One encoder."""
        return self._call("GET", f"/v1/models/{fingerprint}")

    def report(self, fingerprint: str) -> dict[str, Any]:
        """How an encoder compares with the one it started from, on your own pictures."""
        return self._call("GET", f"/v1/models/{fingerprint}/report")
