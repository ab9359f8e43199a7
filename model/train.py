"""SimCLR (arXiv:2002.05709): two views of every picture, a backbone, a head, and NT-Xent.

    python -m model.train --images DIR --out DIR

All randomness comes from the seed and the number of the step, so a run that goes on from a checkpoint draws what the
uninterrupted run would have drawn; nothing but weights, the optimiser's memory and a few counters need keeping.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.augment import PRESETS, UNIFORMS, two_views
from model.errors import Cancelled, TrainingFailed
from model.learner import (
    Learner,
    arithmetic,
    build_optimizer,
    generator,
    learning_rate,
    pick_device,
    place,
    recall_at_1,
    seed_of,
    spread_and_rank,
    take,
)
from model.loss import nt_xent
from model.network import Backbone, Start
from model.progress import duration
from model.resume import RunFolder, identity_of, pack, unpack
from model.settings import TrainSettings, held_out, sensible

__all__ = ["Progress", "TrainSettings", "Trained", "pretrain", "sensible"]

LINE_STEPS = 50  # a line of metrics at least this often, and at the end of every epoch
WATCH_TIMES = 50  # in a long run, the quality figure is taken about this many times
SHUFFLE, AUGMENT, DROPOUT, WATCH = range(4)  # streams of randomness, so that none repeats another
LEAST_SPREAD, LEAST_RANK = 1e-3, 1.2  # of the embeddings of a batch: below, they tell no picture from another


@dataclass(frozen=True)
class Progress:
    done: float  # 0 to 1
    message: str  # with the rate and the time left
    metrics: dict[str, Any] = field(default_factory=dict)  # the latest line of metrics.jsonl


@dataclass(frozen=True)
class Trained:
    """What a training leaves: the backbone, on the CPU and ready to be saved, and how it went."""

    backbone: Backbone
    metrics: dict[str, Any]  # the last line of metrics.jsonl
    record: dict[str, Any]  # settings and figures, for model.json


def pretrain(
    pixels: Tensor,
    start: Start,
    settings: TrainSettings,
    run: Path,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train a copy of `start`'s backbone on `pixels` (N, 3, side, side) uint8; keep state and metrics in `run`.

    When `run` holds a state of the same run, goes on from it exactly. `stop` is asked after every step: once it says
    yes, the state is saved and Cancelled raised. A loss that is no number, or a collapse, raises TrainingFailed and
    leaves the last good state where it is.
    """
    settings.require_enough(len(pixels))
    device = pick_device(settings.device)
    folder = RunFolder(run, identity_of(pixels, start, settings))
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), arithmetic(device):
        torch.manual_seed(settings.seed)
        try:
            return _Run(pixels, start, settings, folder, device).train(progress, stop)
        except torch.OutOfMemoryError as error:
            raise TrainingFailed(
                f"A batch of {settings.batch_size} at {settings.image_size} px does not fit into the GPU's memory; "
                "choose a smaller batch or image size. The last state is kept"
            ) from error


class _Run:
    """One training: `train` is the loop, and what it calls comes after it in the order it is called."""

    def __init__(
        self, pixels: Tensor, start: Start, settings: TrainSettings, folder: RunFolder, device: torch.device
    ) -> None:
        self.settings, self.folder, self.device = settings, folder, device
        shuffled = torch.randperm(len(pixels), generator=self._random(SHUFFLE, 0, "cpu"))
        self.watched, self.trained = shuffled.split([held_out(len(pixels)), len(pixels) - held_out(len(pixels))])
        self.pixels = place(pixels, device)
        self.mean = torch.tensor(start.preparation.mean, device=device).view(3, 1, 1)
        self.std = torch.tensor(start.preparation.std, device=device).view(3, 1, 1)
        learner = Learner(copy.deepcopy(start.backbone), settings)
        # Channels last is what tensor cores read, and on a CPU makes the step a third faster.
        self.learner = learner.to(device).to(memory_format=torch.channels_last).train()
        self.optimizer = build_optimizer(self.learner, settings, device)
        self.views: Callable[..., Tensor] = torch.compile(two_views) if settings.compile else two_views
        self.project: Callable[[Tensor], Tensor] = torch.compile(self.learner) if settings.compile else self.learner
        self.epoch_steps = len(self.trained) // settings.batch_size
        self.steps = self.epoch_steps * settings.epochs
        self.step = 0
        self.seconds = 0.0  # of training, over all parts of the run
        self.loss_sum = torch.zeros((), device=device)  # since the last line; on the device, so that no step waits
        self.loss_steps = 0
        self.line: dict[str, Any] = {}

    def train(self, progress: Callable[[Progress], None], stop: Callable[[], bool]) -> Trained:
        self._resume()
        self.began = self.since_line = saved = told = time.monotonic()
        self.began_at, self.line_at = self.step, self.step
        epoch = -1
        while self.step < self.steps:
            if self.step // self.epoch_steps != epoch:
                epoch = self.step // self.epoch_steps
                order = self._order(epoch)
            z = self._learn(order)
            position = self.step % self.epoch_steps  # 0 when the epoch is complete
            if position % LINE_STEPS == 0:
                self._add_line(z)
            now = time.monotonic()
            if self.step == self.steps or now - saved > 60 * self.settings.checkpoint_minutes:
                self._save()
                saved = now
            elif stop():
                self._save()
                raise Cancelled(
                    f"Stopped in {self._where()}; start it again with the same settings to go on from there"
                )
            if now - told > 1 or self.step == self.steps or position == 0:
                progress(Progress(self.step / self.steps, self._message(now), self.line))
                told = now
        return self._trained()

    def _resume(self) -> None:
        if (state := self.folder.load()) is None:
            return
        tensors, counters = state
        self.loss_sum = tensors.pop("loss_sum").to(self.device)
        self.step, self.seconds = counters["step"], counters["seconds"]
        self.loss_steps, self.line = counters["loss_steps"], counters["line"]
        unpack(tensors, self.learner, self.optimizer)

    def _order(self, epoch: int) -> Tensor:
        """The training pictures as this epoch goes through them; the last, incomplete batch is left out."""
        order = self.trained[torch.randperm(len(self.trained), generator=self._random(SHUFFLE, 1 + epoch, "cpu"))]
        return order.to(self.pixels.device)

    def _learn(self, order: Tensor) -> Tensor:
        """One step. Returns the batch's embeddings (2N, P)."""
        size = self.settings.batch_size
        position = self.step % self.epoch_steps
        pixels = take(self.pixels, order[position * size : (position + 1) * size], self.device)
        views = self._views(self.views, pixels, self._random(AUGMENT, self.step))
        warmup = round(self.settings.warmup_epochs * self.epoch_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.steps, warmup, self.settings.learning_rate)
        torch.manual_seed(seed_of(self.settings.seed, DROPOUT, self.step))  # for backbones that drop units
        with self._autocast():
            z = self.project(views)  # (2N, P)
        loss = nt_xent(z, self.settings.temperature)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.loss_sum += loss.detach()
        self.loss_steps += 1
        self.step += 1
        return z.detach()

    def _views(self, draw: Callable[..., Tensor], pixels: Tensor, random: torch.Generator) -> Tensor:
        """Pictures (N, 3, side, side) uint8 to normalised views (2N, 3, S, S), channels last."""
        uniforms = torch.rand(2 * len(pixels), UNIFORMS, generator=random, device=self.device)
        views = draw(pixels, uniforms, PRESETS[self.settings.preset], self.settings.image_size)
        return ((views - self.mean) / self.std).to(memory_format=torch.channels_last)

    def _add_line(self, z: Tensor) -> None:
        """One line of metrics. The only place that reads from the device, and so waits for it."""
        loss = float(self.loss_sum) / self.loss_steps
        now = time.monotonic()
        self.seconds += now - self.since_line
        if not math.isfinite(loss):
            raise self._failed("the loss is no longer a number")
        spread, rank = spread_and_rank(z)
        if not (spread >= LEAST_SPREAD and rank >= LEAST_RANK):
            raise self._failed("the network gives every picture the same embedding")
        rate = (self.step - self.line_at) * 2 * self.settings.batch_size / max(now - self.since_line, 1e-9)
        self.line = {
            "epoch": round(self.step / self.epoch_steps, 4),
            "step": self.step,
            "loss": loss,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "views_per_s": round(rate, 1),
            "spread": spread,
            "effective_rank": rank,
        }
        every = math.ceil(self.settings.epochs / WATCH_TIMES)
        if self.step % (every * self.epoch_steps) == 0 or self.step == self.steps:
            self.line["quality"] = self._quality()
        self.folder.add_metrics(self.line)
        self.loss_sum, self.loss_steps = torch.zeros_like(self.loss_sum), 0
        self.since_line, self.line_at = time.monotonic(), self.step

    @torch.no_grad()
    def _quality(self) -> float:
        """Recall@1 between two views, always the same, of pictures kept out of training: needs no label, and grows."""
        pixels = take(self.pixels, self.watched.to(self.pixels.device), self.device)
        views = self._views(two_views, pixels, self._random(WATCH, 0))
        self.learner.eval()
        with self._autocast():
            features = torch.cat([self.learner.backbone(part) for part in views.split(128)]).float()
        self.learner.train()
        one, other = features.chunk(2)
        return recall_at_1(one, other)

    def _save(self) -> None:
        """Never over a good state with a bad one."""
        if not bool(torch.stack([p.isfinite().all() for p in self.learner.parameters()]).all()):
            raise self._failed("a weight is no longer a number")
        counters = {"step": self.step, "seconds": self.seconds, "loss_steps": self.loss_steps, "line": self.line}
        self.folder.save({**pack(self.learner, self.optimizer), "loss_sum": self.loss_sum}, counters)

    def _trained(self) -> Trained:
        backbone = self.learner.backbone.cpu().to(memory_format=torch.contiguous_format).eval()
        record = {
            "settings": asdict(self.settings),
            "pictures": len(self.pixels),
            "seconds": round(self.seconds, 1),
            "figures": self.line,
        }
        return Trained(backbone, self.line, record)

    def _failed(self, what: str) -> TrainingFailed:
        return TrainingFailed(
            f"In {self._where()} {what}; the last good state is kept. Try a lower learning rate than "
            f"{self.settings.learning_rate:g}, a longer warm-up, or check that the pictures are not all alike"
        )

    def _where(self) -> str:
        return f"epoch {math.ceil(self.step / self.epoch_steps)} of {self.settings.epochs}"

    def _message(self, now: float) -> str:
        rate = (self.step - self.began_at) / max(now - self.began, 1e-9)  # steps per second, over this part of the run
        left = (self.steps - self.step) / max(rate, 1e-9)
        loss = f", loss {self.line['loss']:.3f}" if self.line else ""
        return f"{self._where()}, {rate * 2 * self.settings.batch_size:,.0f} views/s{loss}, {duration(left)} left"

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda")

    def _random(self, stream: int, number: int, device: str | None = None) -> torch.Generator:
        return generator(torch.device(device) if device else self.device, self.settings.seed, stream, number)


if __name__ == "__main__":
    from model.train_command import main

    raise SystemExit(main())
