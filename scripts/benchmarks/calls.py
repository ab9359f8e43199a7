"""Long work in calls of some minutes each: how long all calls took, and what is said meanwhile."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports torch, which counts as memory where memory is measured
    from model.train import Progress

TOLD_SECONDS = 15


class Calls:
    """The time that every call spent in training, kept beside the run, for a run may take several."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "calls.jsonl"

    def __enter__(self) -> Calls:
        self.began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps({"seconds": round(time.monotonic() - self.began, 1)}) + "\n")

    def minutes(self) -> float:
        return sum(json.loads(line)["seconds"] for line in self.path.read_text().splitlines()) / 60


class Teller:
    """A line of progress now and then, and whenever there is a new quality figure."""

    def __init__(self) -> None:
        self.told = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self.told > TOLD_SECONDS or progress.done == 1:
            quality = progress.metrics.get("quality")
            say(f"{progress.done:4.0%}  {progress.message}{'' if quality is None else f', quality {quality:.3f}'}")
            self.told = now


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
