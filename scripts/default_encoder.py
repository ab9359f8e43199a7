"""What scripts/train_default does: photographs to model/default, in as many calls as it takes.

All that decides the result is below: the recipe, the seed, and the pictures in the order of their names.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from model import shipped
from model.checkpoint import save_model
from model.errors import BadInput, LikenessError
from model.files import create_folder_atomically, write_atomically
from model.info import FITS, INFO, WEIGHTS, ModelInfo, read_info
from model.learner import pick_device
from model.network import starting_point
from model.pixels import learning_side, load_pixels
from model.settings import sensible
from model.train import pretrain
from model.train_command import Stop
from scripts.benchmarks.calls import Teller, say

BACKBONE, SEED = "resnet18", 0
NATIVE = 128  # px, shorter side of the photographs
LARGEST_FILE = 25_000_000  # bytes: what a repository can carry as one file
CARD = Path(__file__).parent / "model_card.md"


@dataclass(frozen=True)
class Recipe:
    """How it is trained on one kind of device; what is not said is what every training gets there."""

    encode_at: int  # px, the side at which it encodes pictures; `scripts/bench encoder` prints the trade
    chosen: dict[str, Any] = field(default_factory=dict)  # of TrainSettings
    provisional: str = ""  # why it is not the last word


RECIPES = {
    # Batch 512 and SGD, the recipe of published long runs on collections of this size; views of three quarters of the
    # size in the first epochs save a fifth of the time.
    "cuda": Recipe(128, {"epochs": 400, "batch_size": 512, "image_size": 128, "grow_from": 96}),
    "cpu": Recipe(
        96,
        {"epochs": 26, "batch_size": 256, "image_size": 64, "grow_from": 40},
        "trained on two CPU cores for 26 epochs of small views, where published recipes train for hundreds on a GPU",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """0; or 1 after one sentence, also when there is more to train and the command is to be run again."""
    options = _parser().parse_args(arguments)
    try:
        if options.photos:
            info = train(options)
        elif options.figures and (options.out / INFO).exists():
            info = read_info(options.out)
        else:
            raise BadInput("name the photographs: --photos ARCHIVE_OR_FOLDER...")
        figures = json.loads(options.figures.read_text()) if options.figures else None
        write_atomically(options.out / shipped.CARD, card(info, figures).encode())
    except (LikenessError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.out}: model {info.fingerprint}")
    return 0


def train(options: argparse.Namespace) -> ModelInfo:
    """Train, or go on training, and replace what is in `options.out`. Raises Cancelled when the minutes are over."""
    stop = Stop(options.minutes)
    device = pick_device(options.device).type
    recipe = RECIPES[device]
    photos = read(options.photos)
    chosen = {**recipe.chosen, "seed": SEED, "checkpoint_minutes": 2}
    if options.epochs:
        chosen["epochs"] = options.epochs
    settings, reason = sensible(len(photos), device, BACKBONE, **chosen)
    say(reason)
    start = starting_point("random", BACKBONE, settings.image_size, options.work / "models", SEED)
    spill = options.work / "pixels"
    try:
        side = learning_side(settings.image_size, NATIVE)
        pixels = load_pixels(photos, side, start.preparation.fit, spill=spill)
        trained = pretrain(pixels, start, settings, options.work / "run", Teller(), stop)
    finally:
        spill.unlink(missing_ok=True)
    encode_at, fit = options.encode_at or recipe.encode_at, options.fit or start.preparation.fit
    made = save_model(
        trained.backbone,
        replace(start.preparation, image_size=encode_at, fit=fit),
        options.work / "models",
        started_from=start.started_from,
        training={**trained.record, "provisional": recipe.provisional},
        half=True,
    )
    return put(options.work / "models" / made.fingerprint, options.out)


def read(sources: Sequence[Path]) -> list[Path] | list[bytes]:
    """The pictures of folders and archives, in the order of their names, whichever way they come."""
    found: dict[str, Path | bytes] = {}
    for source in sources:
        if source.is_dir():
            paths = [path for path in source.rglob("*") if path.is_file() and not path.name.startswith(".")]
            found |= {path.name: path for path in paths}
        else:
            with tarfile.open(source) as archive:
                for member in archive:
                    if member.isfile() and (file := archive.extractfile(member)):
                        found[PurePath(member.name).name] = file.read()
    if not found:
        raise BadInput("there is no picture in what --photos names")
    return [found[name] for name in sorted(found)]  # type: ignore[return-value]


def put(made: Path, out: Path) -> ModelInfo:
    """Replace the folder `out` by the model in `made`, whole."""
    size = (made / WEIGHTS).stat().st_size
    if size > LARGEST_FILE:
        raise BadInput(f"the weights take {size / 1e6:.1f} MB, more than {LARGEST_FILE / 1e6:.0f}: too much to ship")

    def fill(partial: Path) -> None:
        for name in (WEIGHTS, INFO):
            shutil.copyfile(made / name, partial / name)

    create_folder_atomically(out, fill)
    return read_info(out)


def card(info: ModelInfo, figures: dict[str, Any] | None) -> str:
    """The model card, with the rows that `scripts/bench encoder --json` printed."""
    training = info.training
    settings, preparation = training["settings"], info.preparation
    recipe = {
        "method": f"SimCLR ({settings['loss']}, temperature {settings['temperature']:g}, {settings['views']} views)",
        "backbone": f"{info.backbone}, {info.stem} stem, from {info.started_from} weights",
        "vector": f"{info.dim} numbers",
        "pictures": f"{training['pictures']:,}, shorter side {NATIVE} px",
        "epochs": f"{settings['epochs']} of batches of {settings['batch_size']}",
        "views": f"{settings['image_size']} px (at first {settings['grow_from']}), preset {settings['preset']}",
        "optimiser": f"{settings['optimizer']}, learning rate {settings['learning_rate']:g}, "
        f"weight decay {settings['weight_decay']:g}",
        "time": f"{training['seconds'] / 60:,.0f} minutes",
        "encodes": f"at {preparation.image_size} px, fit {preparation.fit}, {preparation.interpolation}",
        "stored": "kernels and matrices as float16, all else as float32; it computes in float32",
    }
    provisional = training.get("provisional")
    return CARD.read_text().format(
        fingerprint=info.fingerprint,
        provisional=f"**PROVISIONAL**: {provisional}. A GPU run will replace it.\n\n" if provisional else "",
        recipe="\n".join(f"| {name} | {said} |" for name, said in recipe.items()),
        figures=_figures(figures) if figures else "Not measured yet.",
    )


def _figures(figures: dict[str, Any]) -> str:
    lines = [f"{figures['date']}, {figures['hardware']}.", "", *figures.get("notes", []), ""]
    lines += ["| metric | value | unit | untrained | target | met |", "|---|---|---|---|---|---|"]
    for row in figures["rows"]:
        value, baseline = ("" if x is None else f"{x:g}" for x in (row["value"], row["baseline"]))
        met = {None: "", True: "yes", False: "no"}[row["met"]]
        value = value or row["status"]
        lines.append(f"| {row['metric']} | {value} | {row['unit']} | {baseline} | {row['target']} | {met} |")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/train_default")
    parser.add_argument("--photos", type=Path, nargs="+", help="archives or folders of photographs")
    parser.add_argument("--minutes", type=float, help="stop after so many, state saved; run again to go on")
    parser.add_argument("--work", type=Path, default=Path("build/default-encoder"), help="folder for the run's state")
    parser.add_argument("--out", type=Path, default=shipped.FOLDER, help="folder of the finished model")
    parser.add_argument("--figures", type=Path, help="what scripts/bench encoder --json printed, for the card")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--encode-at", type=int, help="px, instead of the recipe's")
    parser.add_argument("--fit", choices=FITS, help="how pictures that are not square are prepared")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
