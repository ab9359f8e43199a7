"""A timm backbone with the stem that suits the pictures, where its weights come from, and SimCLR's projection head."""

from __future__ import annotations

import copy
import difflib
import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import timm
import torch
from huggingface_hub import constants
from safetensors import safe_open
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from model import shipped
from model.errors import BadInput, WeightsUnavailable
from model.progress import Line

if TYPE_CHECKING:
    from model.info import Preparation


class Backbone(nn.Module):
    """Normalised pictures (N, 3, S, S) to features (N, dim), by any network timm knows."""

    def __init__(self, network: nn.Module, name: str, stem: str) -> None:
        super().__init__()
        self.network = network
        self.name, self.stem = name, stem
        # Networks with a wider layer after pooling (MobileNetV3, ...) say so in head_hidden_size.
        self.dim = int(getattr(network, "head_hidden_size", None) or network.num_features)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)


class ProjectionHead(nn.Sequential):
    """Linear, batch norm, ReLU, Linear (arXiv:2002.05709, section 4.2): the loss sees its output, search never does.

    The first layer has no bias, because the batch norm behind it would subtract it again.
    """

    def __init__(self, dim: int, hidden: int, out: int) -> None:
        super().__init__(
            nn.Linear(dim, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out)
        )


@dataclass(frozen=True)
class Start:
    """What a training starts from: weights, how pictures are prepared for them, and where they came from."""

    backbone: Backbone
    preparation: Preparation
    started_from: str  # "random", "timm:NAME" or the fingerprint of an earlier model


def build_backbone(
    name: str,
    stem: str = "standard",
    pretrained: bool = False,
    seed: int | None = None,
    weights: Path | None = None,
) -> Backbone:
    """The timm network `name` without its classifier. `seed` decides random weights and leaves torch's state alone.

    `pretrained` weights come from the hub, or from the safetensors file `weights`, named as timm names them.
    """
    architecture = name.split(".")[0]  # "resnet50.a1_in1k" is an architecture and a set of weights
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; see timm.list_models() for the names"
        raise BadInput(Line("no_backbone", "timm knows no backbone called {what}{hint}", what=repr(name), hint=hint))
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        network = _create(name, pretrained, weights)
        if stem == "cifar":
            _give_cifar_stem(network, name, pretrained)
        elif stem != "standard":
            raise BadInput(f"the stem is standard or cifar; {stem!r} is neither")
    return Backbone(network, name, stem)


def _create(name: str, pretrained: bool, weights: Path | None) -> nn.Module:
    chosen: dict[str, Any] = {"pretrained": pretrained, "num_classes": 0}
    if weights is not None:
        chosen["pretrained_cfg_overlay"] = {"file": str(weights), "custom_load": False}
    elif pretrained:
        _be_quick_when_offline()
    try:
        try:  # a vision transformer takes any size when asked to; most networks don't know the words
            network = timm.create_model(name, **chosen, dynamic_img_size=True, dynamic_img_pad=True)
        except TypeError:
            network = timm.create_model(name, **chosen)
        if weights is not None:
            _require_all(network, weights)
        return network
    except Exception as error:  # the hub client raises OSError, RuntimeError, httpx and its own kinds
        if weights is not None:
            raise BadInput(f"{weights} does not hold the weights of a {name} ({_first_line(error)})") from error
        if not pretrained:
            raise
        raise WeightsUnavailable(
            f"the pretrained weights of {name} could not be had ({_first_line(error)}); connect to the internet once, "
            f"name a file of them (timm:{name}=model.safetensors), or start from random weights"
        ) from error


def _require_all(network: nn.Module, weights: Path) -> None:
    """timm leaves what a file lacks at random, without a word."""
    with safe_open(weights, framework="pt") as file:
        held = set(file.keys())
        lacking = [name for name, _ in network.named_parameters() if name not in held]
    if lacking:
        raise ValueError(f"{lacking[0]} is not in it")


def _be_quick_when_offline() -> None:
    """Without a network the hub client retries for 50 s before it says so; told that it is offline, it looks in its
    cache and answers at once. A proxy resolves names itself, so behind one we cannot tell and leave the client alone.
    """
    if any(name.lower() in ("https_proxy", "all_proxy") for name in os.environ):
        return
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        constants.HF_HUB_OFFLINE = True


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def _give_cifar_stem(network: nn.Module, name: str, pretrained: bool) -> None:
    """A 3x3 convolution of stride 1 and no max-pool (arXiv:2002.05709, appendix B.9)."""
    first, pool = getattr(network, "conv1", None), getattr(network, "maxpool", None)
    if not isinstance(first, nn.Conv2d) or pool is None:
        raise BadInput(f"the CIFAR stem is for ResNets such as resnet18 or resnet50; use the standard stem with {name}")
    conv = nn.Conv2d(3, first.out_channels, kernel_size=3, stride=1, padding=1, bias=False)
    if pretrained and first.kernel_size == (7, 7):
        conv.weight.data.copy_(first.weight.data[:, :, 2:5, 2:5])  # the middle of what was learnt beats noise
    else:
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")  # as timm does for the others
    network.conv1, network.maxpool = conv, nn.Identity()


def starting_point(
    init: str, backbone: str, image_size: int | None, models: Path, seed: int, stem: str = "standard"
) -> Start:
    """The weights to start from: `init` is default, random, timm:NAME, timm:NAME=FILE, or the fingerprint of a model
    in `models`.

    "default" is the encoder shipped with Likeness, or random weights where it is missing or not a `backbone`. Weights
    that were learnt bring their own backbone and preparation; `image_size` (None: the model's own) replaces theirs.
    """
    if init == "default" and not shipped.suits(backbone):
        init = "random"
    if init == "random":
        network, name = build_backbone(backbone, stem, seed=seed), "random"
        preparation = _preparation(image_size or 128, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    elif init.startswith("timm:"):
        network, name, preparation = _pretrained(init.removeprefix("timm:"), stem, seed)
    else:
        network, name, preparation = _earlier_model(init, models)
    if image_size is not None:
        preparation = replace(preparation, image_size=image_size)
    require_size(network, preparation.image_size)
    return Start(network, preparation, name)


def _pretrained(source: str, stem: str, seed: int) -> tuple[Backbone, str, Preparation]:
    """NAME or NAME=FILE, and what timm knows of how pictures were prepared for these weights."""
    architecture, _, path = source.partition("=")
    weights = Path(path).expanduser() if path else None
    if weights is not None and not (weights.is_file() and weights.suffix == ".safetensors"):
        raise BadInput(f"{weights} is not a safetensors file; other formats can run programs, so they are not read")
    network = build_backbone(architecture, stem, pretrained=True, seed=seed, weights=weights)
    config = timm.data.resolve_model_data_config(network.network)
    preparation = _preparation(
        config["input_size"][-1],
        config["mean"],
        config["std"],
        interpolation=config["interpolation"],
        crop=config["crop_pct"],
        fit="squeeze" if config["crop_mode"] == "squash" else "centre",
    )
    # Of a file only the name: a model may be passed on, and where somebody keeps their files is nobody's business.
    return network, f"timm:{architecture}={weights.name}" if weights else f"timm:{architecture}", preparation


def _earlier_model(init: str, models: Path) -> tuple[Backbone, str, Preparation]:
    from model.checkpoint import load_model  # it builds its networks with this module

    folder = shipped.FOLDER if init == "default" else models / init
    if Path(init).name != init or not folder.is_dir():
        words = "there is no model {what}; start from default, random, timm:NAME or a model's fingerprint"
        raise BadInput(Line("no_start", words, what=repr(init)))
    network, info = load_model(folder)
    return network, info.fingerprint, info.preparation


def _preparation(
    size: int, mean: tuple[float, ...], std: tuple[float, ...], interpolation: str = "bicubic", **other: Any
) -> Preparation:
    from model.info import INTERPOLATIONS, Preparation

    known = interpolation if interpolation in INTERPOLATIONS else "bicubic"
    return Preparation(size, tuple(mean), tuple(std), interpolation=known, **other)  # type: ignore[arg-type]


def require_size(backbone: Backbone, image_size: int) -> None:
    """Fail now, in words, when the network cannot take this size: some (MLP-Mixer, ...) are built for exactly one."""
    if why := _refusal(backbone, image_size):
        words = (
            "{backbone} does not take pictures of {size}x{size} pixels ({why}); choose another image size or another "
            "backbone"
        )
        raise BadInput(Line("no_such_size", words, backbone=backbone.name, size=image_size, why=str(why)))


def takes_size(backbone: Backbone, image_size: int) -> bool:
    return _refusal(backbone, image_size) is None


def _refusal(backbone: Backbone, image_size: int) -> str | None:
    trial = copy.deepcopy(backbone).eval()  # a copy: a trial must not touch what will be trained
    try:
        with torch.no_grad():
            trial(torch.zeros(1, 3, image_size, image_size))
    except (AssertionError, RuntimeError, ValueError) as error:
        return _first_line(error)
    return None
