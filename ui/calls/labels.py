"""Labels, and what they teach."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from ui.answers import Class, Probe
from ui.calls.connection import Connection

Answer = Literal["yes", "no", "unsure", "none"]


class Labels(Connection):
    """Classes, labels, and the classifier they make."""

    def classes(self, collection: str) -> list[Class]:
        """The classes, with how many pictures carry each and how many are predicted to."""
        return self._call("GET", self._of(collection, "classes"))["items"]

    def label(self, collection: str, images: Sequence[int], class_: str, answer: Answer = "yes") -> dict[str, int]:
        """Answer "is it `class_`?" for pictures; an unknown class is created, "none" takes the answer away."""
        body = {"image_ids": list(images), "class": class_, "answer": answer}
        return self._call("POST", self._of(collection, "labels"), json=body)

    def undo(self, collection: str) -> dict[str, Any]:
        """Take back the last labelling action, whole."""
        return self._call("POST", self._of(collection, "labels/undo"))

    def redo(self, collection: str) -> dict[str, Any]:
        """Do again what was undone."""
        return self._call("POST", self._of(collection, "labels/redo"))

    def suggestions(self, collection: str, limit: int = 20) -> list[dict[str, Any]]:
        """The pictures whose label would teach most, each with the reason."""
        return self._call("GET", self._of(collection, "suggestions"), params={"limit": limit})["items"]

    def probe(self, collection: str) -> Probe:
        """How well the labels predict; ApiError "TooFewLabels" says what is missing."""
        return self._call("GET", self._of(collection, "probe"))

    def predictions(
        self, collection: str, class_: str | None = None, offset: int = 0, limit: int = 100, min_probability: float = 0
    ) -> dict[str, Any]:
        """The predicted class of every picture, surest first; only those of `class_` when given."""
        params: dict[str, Any] = {"offset": offset, "limit": limit, "min_probability": min_probability}
        if class_ is not None:
            params["class"] = class_
        return self._call("GET", self._of(collection, "predictions"), params=params)

    def predict(self, collection: str, paths: Iterable[str | Path]) -> list[dict[str, Any]]:
        """Classify pictures of your own, without adding them: name, class, probability, probabilities."""
        with contextlib.ExitStack() as files:
            parts = [("files", (Path(path).name, files.enter_context(open(path, "rb")))) for path in paths]
            return self._call("POST", self._of(collection, "predict"), files=parts)["predictions"]
