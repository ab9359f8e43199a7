"""Real pictures for every test: photographs that travel inside the wheels of scikit-image and scikit-learn.

No download, no files of our own in the repository, and the same on every machine.
"""

import io
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

# name -> (package, path inside it). All are photographs; the last five are grey.
_FILES = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "retina": ("skimage", "data/retina.jpg"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "temple": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "brick": ("skimage", "data/brick.png"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "coins": ("skimage", "data/coins.png"),
    "moon": ("skimage", "data/moon.png"),
}

NAMES = tuple(_FILES)


def picture(name: str, side: int | None = None) -> Image.Image:
    """The photograph `name` as RGB; with `side`, made smaller so that its shorter side is that long."""
    image = Image.open(io.BytesIO(_bytes(name))).convert("RGB")
    if side is None:
        return image
    scale = side / min(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def views(name: str, count: int, size: int = 96, seed: int = 0) -> list[Image.Image]:
    """`count` different square cuts, `size` pixels wide, of one photograph: pictures that truly look alike."""
    rng = np.random.default_rng([seed, NAMES.index(name)])
    image = picture(name, side=max(300, size * 2))
    cuts = []
    for _ in range(count):
        side = int(rng.uniform(0.4, 0.8) * min(image.size))
        left, top = (int(rng.integers(0, length - side + 1)) for length in image.size)
        cut = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
        cuts.append(cut)
    return cuts


def labelled_views(names: tuple[str, ...], count: int, size: int = 96, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """`count` cuts of each of `names` as pixels (N, size, size, 3) uint8, and the name of each."""
    pixels = [np.asarray(view) for name in names for view in views(name, count, size, seed)]
    return np.stack(pixels), [name for name in names for _ in range(count)]


def encoded(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    """`image` as the bytes of a file, for example `encoded(picture("cat"), "WEBP", lossless=True)`."""
    buffer = io.BytesIO()
    if format == "HEIF":
        image.save(buffer, "PNG", exif=options.get("exif", b""))
        return _heic(buffer.getvalue(), options.get("quality", 90))
    image.save(buffer, format, **options)
    return buffer.getvalue()


_TO_HEIC = """
import io, sys, pillow_heif
from PIL import Image
image = Image.open(io.BytesIO(sys.stdin.buffer.read()))
options = {"exif": image.info["exif"]} if image.info.get("exif") else {}
pillow_heif.from_pillow(image).save(sys.stdout.buffer, quality=int(sys.argv[1]), **options)
"""


@cache
def _heic(png: bytes, quality: int) -> bytes:
    """Likeness can only read HEIC, and the library that also writes it must not be in one process with that one."""
    command = [sys.executable, "-c", _TO_HEIC, str(quality)]
    return subprocess.run(command, input=png, capture_output=True, check=True).stdout


def jpeg(name: str = "cat", side: int = 160) -> bytes:
    """A small JPEG of a real photograph."""
    return encoded(picture(name, side), "JPEG", quality=90)


def stack(names: tuple[str, ...] = ("cat", "coffee", "rocket"), side: int = 80) -> bytes:
    """A TIFF with a page for each."""
    first, *rest = (picture(name, side) for name in names)
    return encoded(first, "TIFF", save_all=True, append_images=rest)


def write_folders(folder: Path, names: tuple[str, ...], count: int, size: int = 96, seed: int = 0) -> list[Path]:
    """`count` JPEG cuts of each of `names` as `folder/name/00.jpg`: a labelled collection on disk."""
    paths = []
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, view in enumerate(views(name, count, size, seed)):
            paths.append(folder / name / f"{number:02}.jpg")
            paths[-1].write_bytes(encoded(view, quality=90))
    return paths


@cache
def _bytes(name: str) -> bytes:
    package, path = _FILES[name]
    spec = find_spec(package)  # found, not imported: scikit-image takes a second to import
    assert spec is not None
    return (Path(str(spec.origin)).parent / path).read_bytes()
