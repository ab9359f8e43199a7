"""A training small enough for a test, and what is asked of its folder."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from model.network import Start, starting_point
from model.resume import METRICS, STATE, read_state
from model.settings import TrainSettings
from tests.pictures import NAMES, labelled_views

ROOT = Path(__file__).parents[2]
TINY = TrainSettings(
    epochs=3,
    batch_size=8,
    image_size=32,
    optimizer="adamw",
    learning_rate=1e-3,
    head_hidden=32,
    head_out=16,
    device="cpu",
)  # 4 steps an epoch with the pictures below


def tiny_pixels() -> torch.Tensor:
    """(36, 3, 40, 40) uint8: six cuts of each of six photographs."""
    return as_pixels(labelled_views(NAMES[:6], 6, size=40)[0])


def tiny_start(models: Path) -> Start:
    return starting_point("random", "test_resnet", 32, models, seed=0)


def as_pixels(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def lines(run: Path) -> list[dict]:
    """The metrics of a run, without how fast it was."""
    read = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "views_per_s"} for line in read]


def after(steps: int) -> Callable[[], bool]:
    """A `stop` that says yes when asked for the `steps`-th time."""
    left = [steps]

    def stop() -> bool:
        left[0] -= 1
        return left[0] <= 0

    return stop


def assert_same_run(run: Path, other: Path) -> None:
    ours, theirs = read_state(run), read_state(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    assert lines(run) == lines(other)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def parts_of(folder: Path) -> set[str]:
    """The parts that the state names."""
    groups = json.loads((folder / STATE).read_bytes())["tensors"].values()
    return {f"state-{digest}.part" for group in groups for digest in group["parts"]}
