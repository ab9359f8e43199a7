"""What a training will cost, from a few of its own steps on this machine: seconds a view, memory, bytes on disk.

A batch whose step would take too long is measured in a smaller one: the time of a view hardly depends on the batch, and
the memory of what is kept between the passes grows with it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from model.errors import Cancelled
from model.learner import generator, pick_device, tuned
from model.memory import free_memory, growth, view_in_training
from model.network import Start
from model.progress import Line
from model.settings import TrainSettings
from model.step import Step

SECONDS = 10.0  # of steps
SMALL = 8  # pictures of the first step, which says how many the others can have
STEPS = 3  # at least so many should fit into the time
LOOKED_AT = 16  # pictures sent through whole


@dataclass(frozen=True)
class StepCost:
    """What was measured, of a training on `device`."""

    device: str  # cpu or cuda
    views_per_second: float
    batch: int  # pictures of the steps measured; the training's own, unless that would have taken too long
    steps: int
    whole_seconds: float  # of one picture sent through whole, without gradients, at `encoded_at`
    memory: int  # bytes that the steps of the training take, the pictures' own not counted
    state: int  # bytes of its state on disk
    weights: int  # bytes of the model on disk


def measure_step(
    pixels: Tensor,
    start: Start,
    settings: TrainSettings,
    encoded_at: int,
    seconds: float | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> StepCost:
    """Take steps of the training of some of its pictures (N, 3, side, side) uint8 for about `seconds` (SECONDS).

    Nothing is compiled for it. Leaves the start as it was, and the random numbers of the process.
    """
    device = pick_device(settings.device)
    try:
        return _measured(pixels, start, settings, device, encoded_at, SECONDS if seconds is None else seconds, stop)
    finally:
        if device.type == "cuda":  # whoever searches needs the memory more than a measurement that has ended
            gc.collect()
            torch.cuda.empty_cache()


def _measured(
    pixels: Tensor,
    start: Start,
    settings: TrainSettings,
    device: torch.device,
    encoded_at: int,
    seconds: float,
    stop: Callable[[], bool],
) -> StepCost:
    with torch.random.fork_rng([device] if device.type == "cuda" else []), tuned(device), growth(device) as grown:
        per_picture = _steps(pixels, start, replace(settings, batch_size=SMALL), device, 0.0, stop)[1] / SMALL
        fitting = max(SMALL, int(seconds / (STEPS + 1) / per_picture))
        batch = settings.batch_size if settings.batch_size <= fitting else 2 ** (fitting.bit_length() - 1)
        stepper, each, steps = _steps(pixels, start, replace(settings, batch_size=batch), device, seconds, stop)
        taken = grown()
        some = pixels[: min(LOOKED_AT, len(pixels))].to(device)
        stepper.whole(some, encoded_at)
        began = time.monotonic()
        stepper.whole(some, encoded_at)
        _wait(device)
        whole = (time.monotonic() - began) / len(some)
    learner = stepper.learner
    weights = sum(t.nbytes for t in learner.backbone.state_dict().values())
    trained = sum(p.nbytes for p in learner.parameters())
    slots = 2 if settings.optimizer == "adamw" else 1  # numbers that it remembers of each
    memory = taken
    if batch < settings.batch_size:  # views that were not in these steps; of more than fits a training takes parts
        more = settings.views * (settings.batch_size - batch)
        memory += min(
            round(more * view_in_training(stepper.bytes_per_view(), settings.image_size)), free_memory(device)
        )
    remembered = slots * trained // (2 if device.type == "cuda" else 1)
    return StepCost(
        device.type,
        settings.views * batch / each,
        batch,
        steps,
        whole,
        memory,
        sum(t.nbytes for t in learner.state_dict().values()) + remembered + weights,  # the best weights lie there too
        weights,
    )


def _steps(
    pixels: Tensor,
    start: Start,
    settings: TrainSettings,
    device: torch.device,
    seconds: float,
    stop: Callable[[], bool],
) -> tuple[Step, float, int]:
    """Steps until the time is over, the first of them not counted; the median of a step's seconds, and how many."""
    stepper = Step(start, replace(settings, compile=False), device)
    taken: list[float] = []
    began = time.monotonic()
    while len(taken) < 2 or time.monotonic() - began + median(taken[1:]) < seconds:
        if stop():
            raise Cancelled(Line("not_estimated", "Stopped; nothing was kept of it."))
        one = time.monotonic()
        rows = torch.arange(len(taken) * settings.batch_size, (len(taken) + 1) * settings.batch_size) % len(pixels)
        views = stepper.views(
            pixels[rows].to(device), generator(device, settings.seed, len(taken)), settings.image_size
        )
        stepper.learn(views)
        _wait(device)
        taken.append(time.monotonic() - one)
    return stepper, median(taken[1:]), len(taken) - 1


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
