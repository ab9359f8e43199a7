"""How long things take on a device that works while we go on, and in a training that first has to warm up."""

from __future__ import annotations

import time

import torch

from model.train import Progress


def clock(device: torch.device) -> float:
    """Seconds, after everything asked of `device` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Steady:
    """Hears how a training goes, notes when each epoch ended, and says when that is enough."""

    def __init__(self, warm_epochs: int, seconds: float) -> None:
        self.warm_epochs, self.seconds = warm_epochs, seconds
        self.marks: list[tuple[int, float]] = []  # (step, seconds); at an epoch's end the device has been waited for

    def hear(self, progress: Progress) -> None:
        line = progress.metrics
        ended = line and float(line["epoch"]).is_integer() and (not self.marks or line["step"] > self.marks[-1][0])
        if ended:
            self.marks.append((line["step"], time.perf_counter()))

    def is_enough(self) -> bool:
        later = self.marks[self.warm_epochs :]
        return bool(later) and later[-1][1] - self.marks[self.warm_epochs - 1][1] >= self.seconds

    def rate(self) -> float:
        """Steps a second after the warm-up, with everything that `pretrain` does."""
        (first, began), (last, ended) = self.marks[self.warm_epochs - 1], self.marks[-1]
        return (last - first) / (ended - began)
