"""What a model is, without loading it: how pixels are prepared, what it was trained from, and its fingerprint.

A model is a folder with `weights.safetensors` and `model.json`; an int8 copy of one (`model.int8`) holds its graph,
`weights.onnx`, instead: integers, and the scales that say what they stand for. The fingerprint is a hash of everything
that decides a vector and of nothing else, so two models with one fingerprint give the same vectors and can share an
index. It doubles as the checksum: a folder whose content no longer hashes to it is refused before any parser has seen
the weights.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model.deep import Deep
from model.errors import DamagedModel
from model.files import create_folder_atomically, write_atomically
from model.images import PREVIEW_RECIPE, opened, square_of

WEIGHTS = "weights.safetensors"
INT8_WEIGHTS = "weights.onnx"  # from pixels to vectors, as ONNX Runtime runs it
INFO = "model.json"
ONNX, ONNX_INFO = "encoder.onnx", "encoder.json"  # a cache made from the weights, and its checksum; see model.export
FORMAT = 1  # of model.json

FITS = ("centre", "squeeze")
INTERPOLATIONS = ("bicubic", "bilinear")
STEMS = ("standard", "cifar")
ARITHMETICS = ("float32", "int8")


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes the network's square: the same for training, collection and queries."""

    image_size: int  # pixels, both sides
    mean: tuple[float, float, float]  # of RGB in 0..1, taken away
    std: tuple[float, float, float]  # then divided by
    fit: str = "centre"  # "centre" cuts the middle square out; "squeeze" keeps all of the picture, out of proportion
    interpolation: str = "bicubic"
    crop: float = 1.0  # share of either side of what `fit` gives that is kept, around its middle

    def __post_init__(self) -> None:
        _require(type(self.image_size) is int and self.image_size > 0, "image_size must be a positive whole number")
        for name in ("mean", "std"):  # 0 and 0.0 must be written, and so hashed, alike
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        _require(len(self.mean) == len(self.std) == 3, "mean and std have three values each")
        _require(all(value > 0 for value in self.std), "std must be positive")
        object.__setattr__(self, "crop", float(self.crop))
        _require(0 < self.crop <= 1, "crop must be above 0 and at most 1")
        _require(self.fit in FITS, f"fit is one of {', '.join(FITS)}")
        _require(self.interpolation in INTERPOLATIONS, f"interpolation is one of {', '.join(INTERPOLATIONS)}")

    def square(self, data: bytes, source: str) -> np.ndarray:
        """The network's square (S, S, 3) uint8 of a preview's bytes. Raises CannotDecode."""
        with opened(data, source) as image:
            return self.square_of(image)

    def square_of(self, image: Image.Image | Deep) -> np.ndarray:
        """The same of an opened preview of which no pixel has been read."""
        return square_of(image, self.image_size, self.fit, self.interpolation, self.crop)


@dataclass(frozen=True)
class ModelInfo:
    """The content of `model.json`."""

    fingerprint: str
    backbone: str  # timm's name
    stem: str
    dim: int  # length of a vector
    preparation: Preparation
    preview_side: int  # shorter side of the previews it was made for
    started_from: str  # "random", "timm:NAME" or a fingerprint; of an int8 model the float32 one that it is a copy of
    arithmetic: str = "float32"
    preview_recipe: str = PREVIEW_RECIPE  # of the code that made the previews, see model.images
    training: dict[str, Any] = field(default_factory=dict)  # settings and figures of the run; {} if none
    created: str = ""  # ISO 8601, UTC

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelInfo":
        """Raises ValueError, KeyError or TypeError when `text` is not one of our model.json."""
        fields = json.loads(text)
        if fields.pop("format") != FORMAT:
            raise ValueError("written by another version of Likeness")
        info = cls(preparation=Preparation(**fields.pop("preparation")), **fields)
        for name, kind in _TYPES.items():
            if type(getattr(info, name)) is not kind:
                raise TypeError(f"{name} is not a {kind.__name__}")
        _require(info.stem in STEMS, f"stem is one of {', '.join(STEMS)}")
        _require(info.arithmetic in ARITHMETICS, f"arithmetic is one of {', '.join(ARITHMETICS)}")
        return info

    @property
    def weights_file(self) -> str:
        """The name of the file that the fingerprint is of."""
        return INT8_WEIGHTS if self.arithmetic == "int8" else WEIGHTS


_TYPES = {
    **dict.fromkeys(
        ("fingerprint", "backbone", "stem", "started_from", "arithmetic", "preview_recipe", "created"), str
    ),
    **dict.fromkeys(("dim", "preview_side"), int),
    "training": dict,
}


def fingerprint(weights: bytes, info: Mapping[str, Any]) -> str:
    """16 hex digits over all that decides a vector: the weights file, and from `info` how it is used."""
    deciding = {name: info[name] for name in _DECIDING}
    if deciding["preparation"].get("crop") == 1:  # as before there was a choice, so that earlier models stay the same
        deciding["preparation"] = {k: v for k, v in deciding["preparation"].items() if k != "crop"}
    digest = hashlib.sha256(hashlib.sha256(weights).digest())
    digest.update(json.dumps(deciding, sort_keys=True, separators=(",", ":")).encode())
    return digest.hexdigest()[:16]


_DECIDING = ("backbone", "stem", "dim", "preparation", "preview_side", "preview_recipe", "arithmetic")


def read_info(folder: Path) -> ModelInfo:
    """What `folder` says it is. Cheap; the weights are not read, so they are not verified."""
    try:
        return ModelInfo.from_json((folder / INFO).read_bytes())
    except FileNotFoundError as error:
        raise DamagedModel(f"{folder} is not a model: it has no {INFO}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedModel(f"{folder / INFO} cannot be used ({error}). Remove the folder or restore it.") from error


def read_verified(folder: Path) -> tuple[ModelInfo, bytes]:
    """The info and the very bytes of the weights it was verified against; nothing is parsed before that."""
    info = read_info(folder)
    name = info.weights_file
    try:
        weights = (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise DamagedModel(f"{folder} is incomplete: {name} is missing. Restore it or train again.") from error
    if fingerprint(weights, asdict(info)) != info.fingerprint:
        raise DamagedModel(f"{folder} does not match its fingerprint: it was altered. Restore it or train again.")
    return info, weights


def write_model(models: Path, info: ModelInfo, weights: bytes) -> ModelInfo:
    """Write `models/<fingerprint>/`, all of it or nothing; returns `info` with the fingerprint it has there.

    A sound model already there is the same model, and stays as it is.
    """
    info = ModelInfo.from_json(info.to_json())  # what a reader will see: lists for tuples, floats for ints
    info = replace(info, fingerprint=fingerprint(weights, asdict(info)))
    folder = models / info.fingerprint
    try:
        return read_verified(folder)[0]
    except DamagedModel:  # nothing there yet, or a damaged copy of what we hold in our hands

        def fill(partial: Path) -> None:
            write_atomically(partial / info.weights_file, weights)
            write_atomically(partial / INFO, info.to_json().encode())

        create_folder_atomically(folder, fill)
    return info


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
