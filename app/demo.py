"""The demo collection: 600 views of 15 real photographs that travel inside wheels we need anyway, or a public data set.

Each photograph is cut at another place, scale and angle, in another light: brightness, contrast, white balance and hue
differ from view to view, and a third has no colour at all. So colour alone says little about what a view shows, and a
colour histogram finds few of the others (see SETTINGS); shapes and textures still tell, and are what there is to learn.
It is a demonstration on 15 scenes whose views overlap; it says nothing about pictures of other scenes.
"""

import io
import shutil
import urllib.error
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model.errors import BadInput, DatasetUnavailable
from model.files import create_folder_atomically, write_atomically

VIEWS, SIDE = 40, 128  # per subject; pixels

SUBJECTS = {  # name: (package, file inside it)
    "astronaut": ("skimage", "data/astronaut.png"),
    "brick": ("skimage", "data/brick.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "coins": ("skimage", "data/coins.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "moon": ("skimage", "data/moon.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "temple": ("sklearn", "datasets/images/china.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
}

# For model.train.TrainSettings. Views differ in hue and a third is grey, so the preset is the one that relies least on
# colour. In so short a run steps count for more than negatives, hence small batches. `likeness demo` prints what it
# brings beside a colour histogram.
SETTINGS: dict[str, Any] = {
    "epochs": 14,
    "batch_size": 32,
    "image_size": 48,
    "preset": "drawing",
    "optimizer": "adamw",
    "learning_rate": 0.001,
    "weight_decay": 0.0001,
}

DATASETS = {"eurosat": "EuroSAT", "flowers102": "Flowers102", "oxfordiiitpet": "OxfordIIITPet", "cifar10": "CIFAR10"}
_PARTS: dict[str, list[dict[str, Any]]] = {  # what a whole data set consists of
    "EuroSAT": [{}],
    "Flowers102": [{"split": "train"}, {"split": "val"}, {"split": "test"}],
    "OxfordIIITPet": [{"split": "trainval"}, {"split": "test"}],
    "CIFAR10": [{"train": True}, {"train": False}],
}


def write_demo(folder: Path, seed: int = 0) -> list[Path]:
    """Write `folder/<subject>/<number>.jpg`, the same for the same seed, and return the paths. Files there are kept."""
    paths = []
    for number, (subject, place) in enumerate(sorted(SUBJECTS.items())):
        (folder / subject).mkdir(parents=True, exist_ok=True)
        files = [folder / subject / f"{subject}-{i:02}.jpg" for i in range(VIEWS)]
        paths += files
        if all(file.exists() for file in files):
            continue
        photograph = _photograph(*place)
        for i, file in enumerate(files):
            if not file.exists():
                write_atomically(file, _jpeg(_view(photograph, np.random.default_rng([seed, number, i]))))
    return paths


def fetch_dataset(name: str, folder: Path) -> list[Path]:
    """Download a public data set into `folder/<class>/`, all of it or nothing, and return the paths of its pictures."""
    key = "".join(c for c in name.lower() if c.isalnum())
    if key not in DATASETS:
        raise BadInput(f"there is no data set {name!r} here; choose one of {', '.join(DATASETS.values())}")
    if not (folder.is_dir() and any(folder.iterdir())):
        create_folder_atomically(folder, lambda partial: _download(DATASETS[key], partial))
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _view(photograph: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A square of 40 to 80 % of the shorter side, turned by up to 25 degrees, mirrored or not, in another light."""
    angle = np.radians(rng.uniform(-25, 25))
    reach = abs(np.cos(angle)) + abs(np.sin(angle))  # a turned square needs this much more room
    side = min(rng.uniform(0.4, 0.8), 1 / reach) * min(photograph.size)
    x, y = (rng.uniform(side * reach / 2, length - side * reach / 2) for length in photograph.size)
    cos, sin, half = np.cos(angle) * side / SIDE, np.sin(angle) * side / SIDE, SIDE / 2
    turn = (cos, -sin, x - cos * half + sin * half, sin, cos, y - sin * half - cos * half)
    view = photograph.transform((SIDE, SIDE), Image.Transform.AFFINE, turn, Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _in_other_light(view, rng)


def _in_other_light(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    hsv = np.array(view.convert("HSV"))
    hsv[..., 0] += rng.integers(256, dtype=np.uint8)  # uint8 wraps around, as hue does
    colours = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"), np.float32) / 255  # (SIDE, SIDE, 3)
    if rng.random() < 1 / 3:
        colours = np.repeat(colours @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, axis=2)
        white_balance = np.ones(3)
    else:
        white_balance = np.exp(rng.uniform(-0.2, 0.2, 3))
    colours = colours ** np.exp(rng.uniform(-0.3, 0.3))
    middle = colours.mean()
    colours = (colours - middle) * rng.uniform(0.7, 1.2) + middle
    colours = colours * np.exp(rng.uniform(-0.3, 0.3)) * white_balance
    return Image.fromarray((colours.clip(0, 1) * 255).round().astype(np.uint8))


def _photograph(package: str, path: str) -> Image.Image:
    """The photograph as RGB, its shorter side 300 px at most: then a view of 40 % of it needs no more detail."""
    spec = find_spec(package)  # found, not imported: only its data is wanted
    file = Path(spec.origin).parent / path if spec and spec.origin else Path(path)
    try:
        image = Image.open(file).convert("RGB")
    except OSError as error:
        raise DatasetUnavailable(f"the demo's photograph {file} is missing; install {package} again") from error
    scale = 300 / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS) if scale < 1 else image


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _download(name: str, folder: Path) -> None:
    """Write the data set's pictures into `folder` by class. torchvision checks what it downloads by its MD5."""
    from torchvision import datasets

    archive = folder / ".download"
    try:
        parts = [getattr(datasets, name)(archive, download=True, **part) for part in _PARTS[name]]
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise DatasetUnavailable(
            f"{name} could not be downloaded ({error}); connect to the internet and try again, "
            "or use the built-in demo, which needs no network"
        ) from error
    number = 0
    for part in parts:
        for image, kind in part:
            place = folder / str(part.classes[kind]).replace("/", "-")
            place.mkdir(exist_ok=True)
            # Tiny pictures without loss; what was a JPEG of some size stays one.
            suffix, options = ("png", {}) if min(image.size) <= 64 else ("jpg", {"quality": 95})
            image.save(place / f"{number:05}.{suffix}", **options)
            number += 1
    shutil.rmtree(archive)
