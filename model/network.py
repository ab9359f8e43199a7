"""A timm backbone with the stem that suits the pictures, where its weights come from, and SimCLR's projection head."""

from __future__ import annotations

import copy
import difflib
import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import timm
import torch
from huggingface_hub import constants
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from model.errors import BadInput, WeightsUnavailable

if TYPE_CHECKING:
    from model.info import Preparation

SHIPPED = Path(__file__).parent / "default"  # the encoder that travels in the repository, once there is one
SMALL_SIDE = 64  # pictures up to this many pixels have no detail that a stem of stride 4 could afford to lose


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


def choose_stem(stem: str, native_side: int, backbone: str) -> str:
    """`stem`, or for "auto" the stem that suits pictures whose shorter side is `native_side` pixels.

    The size that counts is the pictures' own, not the training crop's. A picture of 32 px has all its detail in
    neighbouring pixels, and the standard stem (7x7, stride 2, then a stride-2 pool) throws it away: 69.8 against
    83.2 % k-NN on CIFAR-10 after 100 epochs. A photograph brought down to a 64 px crop to save time is different:
    its subject still spans the crop, and the CIFAR stem would only make each step some ten times as dear.
    """
    if stem not in ("auto", "standard", "cifar"):
        raise BadInput(f"the stem is one of auto, standard, cifar; {stem!r} is none of them")
    if stem != "auto":
        return stem
    is_resnet = backbone.split(".")[0] in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    return "cifar" if native_side <= SMALL_SIDE and is_resnet else "standard"


def build_backbone(name: str, stem: str = "standard", pretrained: bool = False, seed: int | None = None) -> Backbone:
    """The timm network `name` without its classifier. `seed` decides random weights and leaves torch's state alone."""
    architecture = name.split(".")[0]  # "resnet50.a1_in1k" is an architecture and a set of weights
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; see timm.list_models() for the names"
        raise BadInput(f"timm knows no backbone called {name!r}{hint}")
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        network = _create(name, pretrained)
        if stem == "cifar":
            _give_cifar_stem(network, name, pretrained)
        elif stem != "standard":
            raise BadInput(f"the stem is standard or cifar; {stem!r} is neither")
    return Backbone(network, name, stem)


def _create(name: str, pretrained: bool) -> nn.Module:
    if pretrained:
        _be_quick_when_offline()
    try:
        try:  # a vision transformer takes other sizes than its own when asked to; most networks don't know the word
            return timm.create_model(name, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
        except TypeError:
            return timm.create_model(name, pretrained=pretrained, num_classes=0)
    except Exception as error:  # the hub client raises OSError, RuntimeError, httpx and its own kinds
        if not pretrained:
            raise
        raise WeightsUnavailable(
            f"the pretrained weights of {name} could not be had ({_first_line(error)}); "
            "connect to the internet once, or start from random weights"
        ) from error


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
    """The weights to start from: `init` is default, random, timm:NAME, or the fingerprint of a model in `models`.

    "default" is the encoder shipped with Likeness, or random weights while there is none. An earlier model and
    pretrained weights bring their own backbone and preparation; `image_size` (None: the model's own) replaces theirs.
    """
    if init == "default":
        init = "random" if not (SHIPPED / "model.json").exists() else str(SHIPPED)
    if init == "random":
        network, name = build_backbone(backbone, stem, seed=seed), "random"
        preparation = _preparation(image_size or 128, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, "bicubic")
    elif init.startswith("timm:"):
        network, name = build_backbone(init.removeprefix("timm:"), stem, pretrained=True, seed=seed), init
        config = timm.data.resolve_model_data_config(network.network)
        preparation = _preparation(
            image_size or config["input_size"][-1], config["mean"], config["std"], config["interpolation"]
        )
    else:
        network, name, preparation = _earlier_model(init, models)
        preparation = replace(preparation, image_size=image_size or preparation.image_size)
    _require_size(network, preparation.image_size)
    return Start(network, preparation, name)


def _earlier_model(init: str, models: Path) -> tuple[Backbone, str, Preparation]:
    from model.checkpoint import load_model  # it builds its networks with this module

    folder = SHIPPED if init == str(SHIPPED) else models / init
    if (Path(init).name != init and folder != SHIPPED) or not folder.is_dir():
        raise BadInput(f"there is no model {init!r}; start from default, random, timm:NAME or a model's fingerprint")
    network, info = load_model(folder)
    return network, info.fingerprint, info.preparation


def _preparation(size: int, mean: tuple[float, ...], std: tuple[float, ...], interpolation: str) -> Preparation:
    from model.info import Preparation

    known = interpolation if interpolation in ("bicubic", "bilinear") else "bicubic"
    return Preparation(image_size=size, mean=tuple(mean), std=tuple(std), interpolation=known)  # type: ignore[arg-type]


def _require_size(backbone: Backbone, image_size: int) -> None:
    """Fail now, in words, when the network cannot take this size: some (MLP-Mixer, ...) are built for exactly one."""
    trial = copy.deepcopy(backbone).eval()  # a copy: a trial must not touch what will be trained
    try:
        with torch.no_grad():
            trial(torch.zeros(1, 3, image_size, image_size))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"{backbone.name} does not take pictures of {image_size}x{image_size} pixels ({_first_line(error)}); "
            "choose another image size or another backbone"
        ) from error
