"""SimCLR (arXiv:2002.05709): two views of every picture, a backbone, a head, and NT-Xent.

    python -m model.train --images DIR --out DIR

All randomness comes from the seed and the number of the step, so a run that goes on from a checkpoint draws what the
uninterrupted run would have drawn; nothing but weights, the optimiser's memory and a few counters need keeping.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.errors import BadInput, Cancelled, TrainingFailed
from model.feed import Feed
from model.learner import (
    generator,
    learning_rate,
    pick_device,
    seed_of,
    spread_and_rank,
    tuned,
    view_size,
)
from model.lookout import Lookout, Watched
from model.network import Backbone, Start
from model.progress import Line
from model.resume import METRICS, RunFolder, identity_of, pack, unpack
from model.settings import TrainSettings, held_out, sensible
from model.step import Step
from model.taught import Taught
from model.world import ALONE, World, any_of, from_first, least, total

__all__ = ["Progress", "TrainSettings", "Trained", "pretrain", "sensible"]

LINE_STEPS = 50  # a line of metrics at least this often, and at the end of every epoch
AGREE_STEPS = 10  # several processes ask each other this often whether to stop
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
    held_out: list[int]  # rows of the pixels that were never trained on


def pretrain(
    pixels: Tensor,
    start: Start,
    settings: TrainSettings,
    run: Path,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    world: World = ALONE,
    taught: Taught | None = None,
    sample: Watched | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train a copy of `start`'s backbone on `pixels` (N, 3, side, side) uint8; keep state and metrics in `run`.

    When `run` holds a state of the same run, goes on from it exactly. `stop` is asked after every step: once it says
    yes, the state is saved and Cancelled raised. A loss that is no number, or a collapse, raises TrainingFailed and
    leaves the last good state where it is. `enough` is asked likewise: once it says yes, the training ends there, with
    the weights whose quality was best so far. A `sample` is looked at whenever quality is measured.

    In a `world` of several processes each brings pictures of its own; the first one writes, and hears of progress.
    Pictures are `taught` with labels by one process only, and by the losses that need them.
    """
    if settings.batch_size % world.size:
        raise BadInput(f"a batch of {settings.batch_size} cannot be shared evenly by {world.size} processes")
    if taught is None:
        settings.require_enough(least(len(pixels), world) * world.size)
    device = pick_device(settings.device, world.local_rank)
    identity = identity_of(pixels, start, settings) if world.rank == 0 else {}
    folder = RunFolder(run, identity | (taught.identity if taught else {}))
    devices = [device] if device.type == "cuda" else []
    state: _Run | None = None
    try:
        with torch.random.fork_rng(devices), tuned(device):
            torch.manual_seed(settings.seed)
            state = _Run(pixels, start, settings, folder, device, world, taught, sample)
            return state.train(progress, stop, enough)
    except torch.OutOfMemoryError as error:
        raise TrainingFailed(
            f"The GPU's memory is full ({settings.batch_size} pictures of {settings.image_size} px a batch, and what "
            "other programs hold); end those, or choose a smaller batch or image size. The last state is kept"
        ) from error
    finally:
        if device.type == "cuda":  # whoever searches meanwhile needs it more than a training that has ended
            if state is not None:
                vars(state).clear()  # an error on its way out still holds the frames that hold it
            gc.collect()
            torch.cuda.empty_cache()


class _Run:
    """One training: `train` is the loop, and what it calls comes after it in the order it is called."""

    def __init__(
        self,
        pixels: Tensor,
        start: Start,
        settings: TrainSettings,
        folder: RunFolder,
        device: torch.device,
        world: World,
        taught: Taught | None,
        sample: Watched | None,
    ) -> None:
        self.settings, self.folder, self.device, self.world = settings, folder, device, world
        shuffled = torch.randperm(len(pixels), generator=self._random(SHUFFLE, 0, "cpu"))
        self.held_out, self.trained = shuffled.split([held_out(len(pixels)), len(pixels) - held_out(len(pixels))])
        self.classes = taught.classes if taught else None  # (N,)
        if taught:
            self.held_out, self.trained = taught.rows
        self.pictures = total(len(pixels), world)
        self.feed = Feed(pixels, device)
        self.stepper = Step(start, settings, device, world, taught)
        self.lookout = Lookout(self.stepper, self.feed, self.held_out, sample, folder, lambda: self._random(WATCH, 0))
        self.epoch_steps = least(len(self.trained) // self.stepper.batch, world)
        if not self.epoch_steps:
            raise BadInput(f"a batch of {settings.batch_size} is more than {world.size} processes have pictures for")
        self.steps = self.epoch_steps * settings.epochs
        self.step = 0
        self.seconds = 0.0  # of training, over all parts of the run
        self.loss_sum = torch.zeros((), device=device)  # since the last line; on the device, so that no step waits
        self.loss_steps = 0
        self.line: dict[str, Any] = {}

    def train(
        self, progress: Callable[[Progress], None], stop: Callable[[], bool], enough: Callable[[], bool]
    ) -> Trained:
        self._resume()
        if self.step == 0 and self.world.rank == 0:
            self.lookout.look_at_pins(0, 0.0)
        self.began = self.since_line = saved = told = time.monotonic()
        self.began_at, self.line_at = self.step, self.step
        for pixels, classes in self._batches():
            z = self._learn(pixels, classes)
            position = self.step % self.epoch_steps  # 0 when the epoch is complete
            ending = self.world.size == 1 and enough()
            if position % LINE_STEPS == 0 or ending:
                self._add_line(z, ending)
            asked = self._asked_to(stop)  # by every process after every step, whatever its own clock says
            now = time.monotonic()
            done = self.step == self.steps
            if done or asked or ending or now - saved > 60 * self.settings.checkpoint_minutes:
                self._save()
                saved = now
            if asked and not done:
                english = "Stopped in {where}; start it again with the same settings to go on from there"
                raise Cancelled(Line("stopped_in", english, where=self._where()))
            if now - told > 1 or self.step == self.steps or position == 0:
                if self.world.rank == 0:
                    progress(Progress(self.step / self.steps, self._message(now), self.line))
                told = now
            if ending:
                break
        return self._trained()

    def _resume(self) -> None:
        state = from_first(self.folder.load() if self.world.rank == 0 else None, self.world)
        if state is None:
            return
        tensors, counters = state
        self.loss_sum = tensors.pop("loss_sum").to(self.device)
        self.step, self.seconds = counters["step"], counters["seconds"]
        self.loss_steps, self.line = counters["loss_steps"], counters["line"]
        self.lookout.restore(tensors, counters.get("best"))
        unpack(tensors, self.stepper.learner, self.stepper.optimizer)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The pictures of every step that is left, and their classes (N,) if taught.

        The last, incomplete batch of an epoch is left out.
        """
        for epoch in range(self.step // self.epoch_steps, self.settings.epochs):
            order = self.trained[torch.randperm(len(self.trained), generator=self._random(SHUFFLE, 1 + epoch, "cpu"))]
            order = order[: self.epoch_steps * self.stepper.batch]
            first, size = self.step % self.epoch_steps, self.stepper.batch
            for number, pixels in enumerate(self.feed.batches(order, size, first), first):
                rows = order[number * size : (number + 1) * size]
                yield pixels, None if self.classes is None else self.classes[rows].to(self.device)

    def _learn(self, pixels: Tensor, classes: Tensor | None) -> Tensor:
        """One step. Returns the batch's embeddings (V N, P)."""
        size = view_size(self.step // self.epoch_steps, self.settings)
        views = self.stepper.views(pixels, self._random(AUGMENT, self.step), size)
        warmup = round(self.settings.warmup_epochs * self.epoch_steps)
        for group in self.stepper.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.steps, warmup, self.settings.learning_rate)
        torch.manual_seed(seed_of(self.settings.seed, DROPOUT, self.step, self.world.rank))  # for networks that drop
        loss, z = self.stepper.learn(views, classes)
        self.loss_sum += loss
        self.loss_steps += 1
        self.step += 1
        return z

    def _asked_to(self, stop: Callable[[], bool]) -> bool:
        """Several processes agree now and then, because to ask is to wait for each other."""
        return stop() if self.world.size == 1 else self.step % AGREE_STEPS == 0 and any_of(stop(), self.world)

    def _add_line(self, z: Tensor, look: bool) -> None:
        """One line of metrics, with a look at the quality if it is time for one, or asked for.

        The only place that reads from the device, and so waits for it.
        """
        loss = float(self.loss_sum) / self.loss_steps
        now = time.monotonic()
        self.seconds += now - self.since_line
        if not math.isfinite(loss):
            raise self._failed("the loss is no longer a number")
        spread, rank = spread_and_rank(z)
        if not (spread >= LEAST_SPREAD and rank >= LEAST_RANK):
            raise self._failed("the network gives every picture the same embedding")
        rate = (self.step - self.line_at) * self._views_per_step / max(now - self.since_line, 1e-9)
        self.line = {
            "epoch": round(self.step / self.epoch_steps, 4),
            "step": self.step,
            "loss": loss,
            "learning_rate": self.stepper.optimizer.param_groups[0]["lr"],
            "views_per_s": round(rate, 1),
            "spread": spread,
            "effective_rank": rank,
        }
        every = math.ceil(self.settings.epochs / WATCH_TIMES)
        if self.world.rank == 0:
            if look or self.step % (every * self.epoch_steps) == 0 or self.step == self.steps:
                self.lookout.look(self.line)
            self.folder.add(METRICS, self.line)
        self.loss_sum, self.loss_steps = torch.zeros_like(self.loss_sum), 0
        self.since_line, self.line_at = time.monotonic(), self.step

    def _save(self) -> None:
        """Never over a good state with a bad one."""
        if self.world.rank != 0:
            return
        learner = self.stepper.learner
        if not bool(torch.stack([p.isfinite().all() for p in learner.parameters()]).all()):
            raise self._failed("a weight is no longer a number")
        counters = {"step": self.step, "seconds": self.seconds, "loss_steps": self.loss_steps, "line": self.line}
        counters["best"] = self.lookout.best
        # A run on a CPU goes on bit for bit; on CUDA no two runs are the same, and half the size is worth more.
        tensors = pack(learner, self.stepper.optimizer, compact=self.device.type == "cuda")
        self.folder.save({**tensors, **self.lookout.state(), "loss_sum": self.loss_sum}, counters)

    def _trained(self) -> Trained:
        figures, ended = self.line, {}
        if self.step < self.steps:  # whoever had enough gets the best so far
            figures = self.lookout.take_best()
            ended = {"stopped_in_epoch": self.line["epoch"], "kept_epoch": figures["epoch"]}
        self.stepper.learner.backbone._compiled_call_impl = None  # compiled for this device and batch
        backbone = self.stepper.learner.backbone.cpu().to(memory_format=torch.contiguous_format).eval()
        record = {
            "settings": {**asdict(self.settings), "precision": self.stepper.precision},
            "pictures": self.pictures,
            "seconds": round(self.seconds, 1),
            "figures": figures,
            **ended,
        }
        return Trained(backbone, figures, record, self.held_out.tolist())

    def _failed(self, what: str) -> TrainingFailed:
        return TrainingFailed(
            f"In {self._where()} {what}; the last good state is kept. Try a lower learning rate than "
            f"{self.settings.learning_rate:g}, a longer warm-up, or check that the pictures are not all alike"
        )

    def _where(self) -> Line:
        epoch = math.ceil(self.step / self.epoch_steps)
        return Line("epoch", "epoch {epoch} of {epochs}", epoch=epoch, epochs=self.settings.epochs)

    def _message(self, now: float) -> Line:
        rate = (self.step - self.began_at) / max(now - self.began, 1e-9)  # steps per second, over this part of the run
        left = (self.steps - self.step) / max(rate, 1e-9)
        about = {"where": self._where(), "rate": round(rate * self._views_per_step), "left": round(left, 3)}
        if not self.line:
            return Line("learning", "{where}, {rate:,} views/s, {left} left", **about)
        english = "{where}, {rate:,} views/s, loss {loss:.3f}, {left} left"
        return Line("learning_with_loss", english, loss=round(self.line["loss"], 3), **about)

    @property
    def _views_per_step(self) -> int:
        return self.settings.views * self.settings.batch_size

    def _random(self, stream: int, number: int, device: str | None = None) -> torch.Generator:
        """Each process draws numbers of its own; one alone draws what the first of several would."""
        key = (self.settings.seed, stream, number, *([self.world.rank] if self.world.rank else []))
        return generator(torch.device(device) if device else self.device, *key)


if __name__ == "__main__":
    from model.train_command import main

    raise SystemExit(main())
