"""`python -m model.train`: a folder of pictures to a trained model, on a machine with nothing else of Likeness.

Run it again with the same arguments and it goes on where it was, after a signal, a crash or a reboot.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from model.checkpoint import save_model
from model.errors import BadInput, CannotDecode, LikenessError
from model.images import decode
from model.learner import pick_device
from model.network import starting_point, takes_size
from model.pixels import encoding_side, learning_side, load_pixels, native_side
from model.settings import LOSSES, OPTIMIZERS, PRECISIONS, SCALINGS, TrainSettings, choose_stem, sensible
from model.train import pretrain
from model.world import World, join, leave, my_share

SHOWN_REFUSALS = 20
SIZE_SAMPLE = 64  # pictures opened to learn how large the collection's are


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 after one sentence that says what to do."""
    options = _parser().parse_args(arguments)
    try:
        world = join(pick_device(options.device).type)
        try:
            model = _train(options, world)
        finally:
            leave(world)
        if world.rank == 0:
            print(model)
        return 0
    except LikenessError as error:
        print(error, file=sys.stderr)
        return 1


def _train(options: argparse.Namespace, world: World) -> Path:
    """The folder of the new model."""
    stop = Stop()
    device = pick_device(options.device).type
    if world.size > 1 and options.compile is None:
        options.compile = False  # with synchronised batch norm it has not been tried: ask for it to try it
    paths = find_files(options.images)
    if not paths:
        raise BadInput(f"there is no file in {options.images}; give the folder that holds the pictures")
    settings, reason = _settings(options, len(paths), device, options.backbone)
    native = native_side(sides(paths))
    stem = choose_stem(options.stem, native, options.backbone, options.init)
    start = starting_point(
        options.init, options.backbone, settings.image_size, options.out / "models", settings.seed, stem
    )
    if options.stem not in ("auto", start.backbone.stem):
        raise BadInput(f"{options.init} has the {start.backbone.stem} stem; start from random to give it another")
    encoded_at = encoding_side(settings.image_size, native)
    if not takes_size(start.backbone, encoded_at):
        encoded_at = settings.image_size
    mine = my_share(paths, world)
    say = _say if world.rank == 0 else lambda _: None
    refusals: list[CannotDecode] = []
    spill = options.out / f"pixels-{world.rank}"
    try:
        pixels = load_pixels(
            mine,
            learning_side(settings.image_size, native),
            start.preparation.fit,
            lambda done, of: say(f"read {done:,} of {of:,} pictures") if done % 1000 == 0 or done == of else None,
            lambda _, error: refusals.append(error),
            spill,
            world.local_size,
        )
        for error in refusals[:SHOWN_REFUSALS]:
            _say(f"skipped {error}")
        if refusals:
            _say(f"skipped {len(refusals):,} of {len(mine):,} files; the other {len(pixels):,} are trained on")
        readable = len(paths) if world.size > 1 else len(pixels)
        settings, reason = _settings(options, readable, device, start.backbone.name)
        say(f"{reason} {start.backbone.name} with the {start.backbone.stem} stem, from {start.started_from}.")
        trained = pretrain(
            pixels, start, settings, options.out / "run", lambda p: say(f"{p.done:4.0%}  {p.message}"), stop, world
        )
    finally:
        spill.unlink(missing_ok=True)
    if world.rank != 0:
        return options.out
    info = save_model(
        trained.backbone,
        replace(start.preparation, image_size=encoded_at, crop=1.0),
        options.out / "models",
        started_from=start.started_from,
        training=trained.record,
    )
    return options.out / "models" / info.fingerprint


def _settings(options: argparse.Namespace, pictures: int, device: str, backbone: str) -> tuple[TrainSettings, str]:
    chosen = {name: getattr(options, name) for name in _SETTINGS}
    return sensible(pictures, device, backbone, options.scaling, **chosen)


def find_files(folder: Path) -> list[Path]:
    """Every regular file below `folder` in a fixed order, but for hidden ones; links to folders are not followed."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder")
    return sorted(_walk(folder))


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (p for name in names if not name.startswith(".") and (p := Path(parent, name)).is_file())


def sides(paths: Sequence[Path]) -> list[int]:
    """Shorter sides of a few pictures from all over the collection."""
    found = []
    for path in paths[:: max(1, len(paths) // SIZE_SAMPLE)]:
        try:
            found.append(min(decode(path.read_bytes(), str(path)).size))
        except (CannotDecode, OSError):
            continue  # listed with its reason when all are loaded
    if not found:
        raise BadInput("none of the files looked at is a picture that can be read")
    return found


class Stop:
    """Says yes once the minutes, if any, are over, or SIGTERM or SIGINT has come; a second signal ends the process."""

    def __init__(self, minutes: float | None = None) -> None:
        self.until = math.inf if minutes is None else time.monotonic() + 60 * minutes
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(number, signal.SIG_DFL)
        _say("stopping after this step; its state will be saved")

    def __call__(self) -> bool:
        return self.asked or time.monotonic() > self.until


_SETTINGS = {  # of TrainSettings; what is not given is chosen for the collection and the machine
    "epochs": int,
    "batch_size": int,
    "image_size": int,
    "views": int,
    "grow_from": int,
    "loss": str,
    "temperature": float,
    "learning_rate": float,
    "weight_decay": float,
    "warmup_epochs": float,
    "head_hidden": int,
    "head_out": int,
    "seed": int,
    "checkpoint_minutes": float,
    "preset": str,
    "optimizer": str,
    "compile": bool,
    "precision": str,
    "chunk": int,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model.train", description="Train a backbone on a folder of pictures."
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures, with all its subfolders")
    parser.add_argument("--out", type=Path, required=True, help="folder for the run's state, its metrics and the model")
    parser.add_argument(
        "--init", default="default", help="default, random, timm:NAME[=FILE], or a fingerprint in OUT/models"
    )
    parser.add_argument("--backbone", default="resnet18", help="any name timm knows (default: %(default)s)")
    parser.add_argument("--stem", default="auto", choices=("auto", "standard", "cifar"))
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--scaling", default="linear", choices=SCALINGS, help="of the learning rate with the batch")
    choices = {"optimizer": OPTIMIZERS, "loss": LOSSES, "precision": PRECISIONS}
    for name, kind in _SETTINGS.items():
        flag = f"--{name.replace('_', '-')}"
        if kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None)
        else:
            parser.add_argument(flag, type=kind, choices=choices.get(name), help="chosen for you when not given")
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
