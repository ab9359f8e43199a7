"""A model for use elsewhere: float32 weights under the names that plain timm or torchvision expects, or an ONNX graph.

What leaves is safetensors or ONNX, JSON and text, never a pickle: whoever receives it need not trust the sender.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from model.checkpoint import load_model
from model.encoder import graph_of
from model.errors import BadInput
from model.files import create_folder_atomically, write_atomically
from model.info import ModelInfo, read_verified

FORMATS = ("timm", "torchvision", "onnx")
TORCHVISION = (  # timm and torchvision call these networks, and every tensor in them, by the same names
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
)
WEIGHTS, GRAPH, FACTS, TIMM_CONFIG = "model.safetensors", "model.onnx", "preparation.json", "config.json"


def default_name(info: ModelInfo, format_: str) -> str:
    """What the export is called when nobody says otherwise."""
    return f"{info.backbone.split('.')[0]}-{info.fingerprint}-{format_}"


def export_model(folder: Path, format_: str, name: str) -> dict[str, bytes]:
    """The files of the model in `folder` for `format_`, by file name; the README calls their folder `name`.

    Raises BadInput for a format there is not, or that the network cannot have.
    """
    if format_ not in FORMATS:
        raise BadInput(f"{format_!r} is not a format for a model: use {', '.join(FORMATS)}.")
    if format_ == "onnx":
        info, _ = read_verified(folder)
        readme = _readme(_onnx_loader(info, name), format_, info)
        return {GRAPH: graph_of(folder, info), FACTS: _json(_facts(info)), "README.md": readme.encode()}
    network, info = load_model(folder)
    if format_ == "torchvision":
        _require_torchvision(info)
    stem = "" if info.stem == "standard" else _CIFAR_STEM.format(width=network.network.conv1.out_channels)  # type: ignore[union-attr]
    loader = {"timm": _timm_loader, "torchvision": _torchvision_loader}[format_](info, name, stem)
    files = {FACTS: _json(_facts(info)), "README.md": _readme(loader, format_, info).encode()}
    weights = {key: value.contiguous() for key, value in network.network.state_dict().items()}
    if format_ == "timm" and info.stem == "standard":  # no word of timm's makes the CIFAR stem, so none is said
        files[TIMM_CONFIG] = _json(_timm_config(network.network, info))
    return {WEIGHTS: safetensors.torch.save(weights), **files}


def write_export(files: dict[str, bytes], out: Path) -> None:
    """Write them into the new folder `out`: all, or nothing."""
    if out.exists():
        raise BadInput(f"{out} exists already: name another folder with --out.")

    def fill(partial: Path) -> None:
        for name, data in files.items():
            write_atomically(partial / name, data)

    create_folder_atomically(out.absolute(), fill)


def _require_torchvision(info: ModelInfo) -> None:
    if _architecture(info) not in TORCHVISION:
        raise BadInput(
            f"torchvision has no {info.backbone} with the same weights, only ResNets ({', '.join(TORCHVISION)}): "
            "use --format timm or onnx."
        )


def _architecture(info: ModelInfo) -> str:
    return info.backbone.split(".")[0]  # of "resnet50.a1_in1k", without the weights it once had


def _facts(info: ModelInfo) -> dict[str, Any]:
    """How a picture becomes the network's input: all that a program elsewhere must know."""
    return {
        "model": info.fingerprint,
        "backbone": _architecture(info),
        "stem": info.stem,
        "dim": info.dim,
        **asdict(info.preparation),
    }


def _timm_config(network: nn.Module, info: ModelInfo) -> dict[str, Any]:
    """The config.json of a folder that timm reads as `local-dir:`; the form the hub uses."""
    known: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    preparation = info.preparation
    patches: Any = getattr(network, "patch_embed", None)
    size = getattr(patches, "img_size", None)  # its position embedding's own
    any_size = bool(getattr(network, "dynamic_img_size", False))  # as model.network makes vision transformers
    arguments = {"dynamic_img_size": True, "dynamic_img_pad": patches.dynamic_img_pad} if any_size else {}
    return {
        "architecture": _architecture(info),
        "num_classes": 0,
        "num_features": info.dim,
        "model_args": {**arguments, **({"img_size": list(size)} if size else {})},
        "pretrained_cfg": {
            "input_size": [3, preparation.image_size, preparation.image_size],
            "mean": preparation.mean,
            "std": preparation.std,
            "interpolation": preparation.interpolation,
            "crop_pct": preparation.crop,
            "crop_mode": "squash" if preparation.fit == "squeeze" else "center",
            "first_conv": known.get("first_conv"),
            "classifier": known.get("classifier"),
        },
    }


def _readme(loader: str, format_: str, info: ModelInfo) -> str:
    preparation = info.preparation
    side = preparation.image_size
    seen = "the middle square" if preparation.fit == "centre" else "all of the picture, squeezed into a square"
    part = "" if preparation.crop == 1 else f", the middle {preparation.crop:.1%} of its sides"
    return f"""# {info.backbone} from Likeness, for {format_}

Model {info.fingerprint}, vectors of {info.dim} numbers. In the folder above this one:

```python
{loader}
```

It expects RGB pictures of {side}x{side} pixels: {seen}{part}, scaled with antialiasing ({preparation.interpolation}).
{_PIXELS[format_]} `{FACTS}` holds these facts for programs.
"""


_NORMALISED = "From values in 0..1, `mean` is taken away, and the rest divided by `std`."
_PIXELS = {
    "timm": _NORMALISED,
    "torchvision": _NORMALISED,
    "onnx": "`pixels` are uint8 (N, height, width, 3); normalising is inside the graph. `vectors` have length 1.",
}
_CIFAR_STEM = "network.conv1, network.maxpool = nn.Conv2d(3, {width}, 3, padding=1, bias=False), nn.Identity()"


def _timm_loader(info: ModelInfo, name: str, stem: str) -> str:
    if not stem:
        return f"""import timm

network = timm.create_model("local-dir:{name}", pretrained=True)  # with num_classes=10: and a new classifier"""
    return f"""import timm
from safetensors.torch import load_file
from torch import nn

network = timm.create_model("{_architecture(info)}", num_classes=0)
{stem}  # the stem for small pictures
network.load_state_dict(load_file("{name}/{WEIGHTS}"))"""


def _torchvision_loader(info: ModelInfo, name: str, stem: str) -> str:
    line = f"\n{stem}  # the stem for small pictures" if stem else ""
    return f"""from safetensors.torch import load_file
from torch import nn
from torchvision.models import {_architecture(info)}

network = {_architecture(info)}(){line}
network.fc = nn.Identity()  # afterwards, to classify: nn.Linear({info.dim}, 10)
network.load_state_dict(load_file("{name}/{WEIGHTS}"))"""


def _onnx_loader(info: ModelInfo, name: str) -> str:
    side = info.preparation.image_size
    return f"""import numpy
import onnxruntime

session = onnxruntime.InferenceSession("{name}/{GRAPH}")
pixels = numpy.zeros((1, {side}, {side}, 3), numpy.uint8)  # your pictures
[vectors] = session.run(["vectors"], {{"pixels": pixels}})  # (N, {info.dim})"""


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
