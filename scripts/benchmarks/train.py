"""Pretraining in views a second, from previews on disk, beside what the machine can do at best and beside lightly.

    scripts/bench train [--images FOLDER] [--size NAME]... [--device auto|cpu|cuda] [--json] [--quick]

For each size of network and view, in one process, on the same files, at the same batch:

- the ceiling: `Step.learn` on one resident batch of views, so forward, loss, backward and optimiser alone;
- end to end: `pretrain` as it is used, by the clock between the ends of epochs, with all that it does besides;
- lightly's SimCLR, when lightly can be imported (see peer.py);
- where the time goes, each part of a step waited for on its own.

The first and the third run once before the training and once after it, in mirror order, so that a machine that becomes
warm, or busy, slows all three alike. Without --images the pictures are made up (see pictures.py).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from model.errors import Cancelled, LikenessError
from model.learner import in_bfloat16, pick_device, tuned
from model.network import Start, starting_point
from model.pixels import learning_side, load_pixels, native_side
from model.settings import TrainSettings, sensible
from model.step import Step
from model.train import pretrain
from model.train_command import find_files, sides
from scripts.benchmarks import peer
from scripts.benchmarks.clock import Steady, clock
from scripts.benchmarks.pictures import make_pictures
from scripts.benchmarks.table import Row, aim, missing, quick, report, row

EPOCHS = 400  # of the run that is measured and then stopped: what a GPU is given for a small collection
SEED = 0


@dataclass(frozen=True)
class Size:
    """One line of work, and what is asked of it."""

    device: str
    name: str
    backbone: str
    stem: str
    image_size: int  # px, of a view
    batch: int  # pictures
    preview: int  # px, shorter side of the made-up previews
    ceiling: float  # least ratio of end to end to the ceiling
    rate: float | None = None  # least views a second
    lightly: float | None = None  # least ratio to lightly

    @property
    def title(self) -> str:
        return f"{'GPU' if self.device == 'cuda' else 'CPU'}, {self.name}"


SIZES = (
    Size("cuda", "ResNet-18 32 px", "resnet18", "cifar", 32, 512, 32, 0.9, rate=40_000),
    Size("cuda", "ResNet-18 64 px", "resnet18", "standard", 64, 512, 320, 0.9),
    Size("cuda", "ResNet-18 128 px", "resnet18", "standard", 128, 512, 320, 0.9, rate=25_000, lightly=5),
    Size("cuda", "ResNet-50 224 px", "resnet50", "standard", 224, 256, 320, 0.9, rate=3_000),
    Size("cpu", "ResNet-18 64 px", "resnet18", "standard", 64, 128, 320, 0.95, lightly=1.2),
)


@dataclass(frozen=True)
class Effort:
    """How long to measure. Each half of the mirror order does this much."""

    pictures: int  # made up
    warm_steps: int  # before the step alone is timed: compiling, choosing kernels, filling caches
    windows: int  # timed stretches of the step alone; their median counts
    window_steps: int
    warm_epochs: int
    seconds: float  # of training, end to end
    workers: int  # of lightly's loader
    peer_warm: int  # steps
    peer_steps: int


EFFORTS = {
    "cuda": Effort(16_384, 10, 5, 20, 2, 30, workers=16, peer_warm=16, peer_steps=32),
    "cpu": Effort(2_048, 2, 4, 2, 1, 60, workers=2, peer_warm=4, peer_steps=8),
}
QUICK = Effort(24, 1, 2, 1, 1, 0, workers=1, peer_warm=1, peer_steps=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 after one sentence."""
    parser = argparse.ArgumentParser(prog="scripts/bench train")
    parser.add_argument("--images", type=Path, help="folder of pictures to train on, instead of made-up ones")
    parser.add_argument("--size", action="append", choices=sorted({size.name for size in SIZES}), help="only this one")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="show that it runs: a small batch, a few steps")
    options = parser.parse_args(arguments)
    try:
        device = pick_device(options.device)
        chosen = [size for size in SIZES if size.name in (options.size or [size.name])]
        with tempfile.TemporaryDirectory() as temporary:
            rows = measure(chosen, device, options.images, Path(temporary), options.quick)
    except LikenessError as error:
        print(error, file=sys.stderr)
        return 1
    baseline = f"the step alone; {peer.name()}; for a part of the step, the sum of all parts"
    report("train", baseline, quick(rows) if options.quick else rows, options.json, [f"torch {torch.__version__}"])
    return 0


def measure(sizes: list[Size], device: torch.device, images: Path | None, scratch: Path, is_quick: bool) -> list[Row]:
    """The rows of all `sizes`, those of another kind of device as not measured."""
    effort = QUICK if is_quick else EFFORTS[device.type]
    rows = []
    for size in sizes:
        if size.device != device.type:
            rows += not_here(size)
            continue
        if is_quick:
            size = replace(size, batch=8, preview=min(size.preview, 96))
        folder = images or scratch / f"previews-{size.preview}"
        if not folder.exists():
            say(f"making {effort.pictures:,} pictures of {size.preview} px")
            make_pictures(folder, effort.pictures, size.preview, SEED)
        rows += Bench(size, effort, device, folder, scratch / size.name.replace(" ", "-")).rows()
    return rows


def not_here(size: Size) -> list[Row]:
    """What the rows with a target would be, had this machine the device for them."""
    ours = aim(missing(f"{size.title}: end to end", "views/s"), size.rate, ratio_at_least=size.ceiling)
    return [ours, aim(missing(f"{size.title}: end to end beside lightly", "views/s"), ratio_at_least=size.lightly)]


class Bench:
    """One size on one device."""

    def __init__(self, size: Size, effort: Effort, device: torch.device, folder: Path, scratch: Path) -> None:
        self.size, self.effort, self.device, self.folder, self.scratch = size, effort, device, folder, scratch
        self.files = find_files(folder)
        began = time.perf_counter()
        self.pixels = load_pixels(self.files, learning_side(size.image_size, native_side(sides(self.files))))
        self.decoded = len(self.files) / (time.perf_counter() - began)  # pictures a second
        self.start: Start = starting_point("random", size.backbone, size.image_size, scratch, SEED, size.stem)
        self.settings = self._settings()

    def _settings(self) -> TrainSettings:
        """What a user of this device would get, but for the size of the work."""
        size = self.size
        settings, _ = sensible(
            *(len(self.pixels), self.device.type, size.backbone),
            batch_size=size.batch,
            image_size=size.image_size,
            epochs=EPOCHS,
            seed=SEED,
        )
        return settings

    def rows(self) -> list[Row]:
        views = self.settings.views * self.size.batch  # a step
        with tuned(self.device):
            step = Step(self.start, self.settings, self.device)
            batch = self.pixels[: self.size.batch].to(self.device)
            resident = step.views(batch, torch.Generator(self.device).manual_seed(SEED), self.size.image_size)
            windows = self.step_alone(step, resident)
            compared = [self.lightly()]
            rate, said = self.end_to_end(views)
            compared.append(self.lightly())
            windows += self.step_alone(step, resident)
            parts = self.parts(step, batch)
        title, whole = self.size.title, sum(parts.values())
        ceiling = views / median(windows)
        ours = row(f"{title}: end to end", rate, "views/s", ceiling)
        rows = [
            row(f"{title}: the step alone", ceiling, "views/s"),
            aim(ours, self.size.rate, ratio_at_least=self.size.ceiling),
            row(f"{title}: end to end, training steps only", said, "views/s", ceiling),
            self.beside(rate, compared),
            row(f"{title}: previews decoded, once", self.decoded, "images/s"),
        ]
        return rows + [row(f"{title}: {name}, a step", ms, "ms", whole) for name, ms in parts.items()]

    def step_alone(self, step: Step, views: Tensor) -> list[float]:
        """Seconds a step, one figure a window."""
        say(f"{self.size.title}: the step alone")
        for _ in range(self.effort.warm_steps):
            step.learn(views)
        seconds = []
        for _ in range(self.effort.windows):
            began = clock(self.device)
            for _ in range(self.effort.window_steps):
                step.learn(views)
            seconds.append((clock(self.device) - began) / self.effort.window_steps)
        self._give_memory_back()
        return seconds

    def end_to_end(self, views: int) -> tuple[float, float]:
        """Views a second of `pretrain` once it runs steadily: by our clock, and by its own metrics."""
        say(f"{self.size.title}: end to end")
        steady = Steady(self.effort.warm_epochs, self.effort.seconds)
        try:
            pretrain(self.pixels, self.start, self.settings, self.scratch, steady.hear, steady.is_enough)
        except Cancelled:  # as asked for
            self._give_memory_back()
        lines = [json.loads(line) for line in (self.scratch / "metrics.jsonl").read_text().splitlines()]
        first = steady.marks[self.effort.warm_epochs - 1][0]
        steps = {after["step"]: after["step"] - before["step"] for before, after in pairwise(lines)}
        later = [(steps[line["step"]], line["views_per_s"]) for line in lines if line["step"] > first]
        seconds = sum(count * views / rate for count, rate in later)
        return steady.rate() * views, sum(count for count, _ in later) * views / seconds

    def lightly(self) -> float | str:
        """Seconds a step, or why there is no such figure."""
        if not peer.is_here():
            return "no lightly"
        say(f"{self.size.title}: lightly")
        try:
            return peer.seconds_per_step(
                *(self.folder, self.start.backbone, self.size.image_size, self.size.batch, self.device),
                *(self.effort.workers, self.effort.peer_warm, self.effort.peer_steps),
                bfloat16=in_bfloat16(self.settings.precision, self.device),
            )
        except RuntimeError as error:  # a loader out of shared memory must not cost us our own figures
            say(f"lightly failed: {error}")
            return "lightly failed"
        finally:
            self._give_memory_back()

    def beside(self, rate: float, compared: list[float | str]) -> Row:
        metric = f"{self.size.title}: end to end beside lightly"
        seconds = [each for each in compared if isinstance(each, float)]
        if len(seconds) < len(compared):
            why = next(each for each in compared if isinstance(each, str))
            return aim(missing(metric, "views/s", why), ratio_at_least=self.size.lightly)
        theirs = 2 * self.size.batch / (sum(seconds) / len(seconds))
        return aim(row(metric, rate, "views/s", theirs), ratio_at_least=self.size.lightly)

    def parts(self, step: Step, batch: Tensor) -> dict[str, float]:
        """Milliseconds of each part of a step, the median; waiting for each costs a little that a step saves."""
        say(f"{self.size.title}: the parts of a step")
        random = torch.Generator(self.device).manual_seed(SEED)
        made: dict[str, Tensor] = {}

        def backward() -> None:
            step.optimizer.zero_grad(set_to_none=True)
            made["loss"].backward()

        todo: dict[str, Callable[[], object]] = {
            "augment": lambda: made.update(views=step.views(batch, random, self.size.image_size)),
            "forward": lambda: made.update(z=step.embed(made["views"])),
            "loss": lambda: made.update(loss=step.loss(made["z"])),
            "backward": backward,
            "optimiser": step.optimizer.step,
        }
        took: dict[str, list[float]] = {name: [] for name in todo}
        for _ in range(self.effort.warm_steps + self.effort.windows):
            for name, do in todo.items():
                began = clock(self.device)
                do()
                took[name].append(1000 * (clock(self.device) - began))
        return {name: median(each[self.effort.warm_steps :]) for name, each in took.items()}

    def _give_memory_back(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
