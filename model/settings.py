"""What a training is asked to do, and sensible answers for a collection and a machine. Needs no torch."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Any

from model.errors import BadInput, TooFewImages
from model.presets import preset_named
from model.progress import Line

FEWEST = 8  # pictures; below this there is nothing to tell a picture apart from
OPTIMIZERS = ("sgd", "lars", "adamw")
LOSSES = ("nt-xent", "decoupled")
SUPERVISED = ("supervised", "cross-entropy")  # losses that need labels; see model.taught
SCALINGS = ("linear", "sqrt")
PRECISIONS = ("auto", "float32", "bfloat16")
SMALL_SIDE = 64  # pictures up to this many pixels have no detail that a stem of stride 4 could afford to lose
LARGE_BATCH = 1024  # from here on plain SGD wants LARS (arXiv:1708.03888)


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides a training, but for the pictures and the weights it starts from."""

    epochs: int
    batch_size: int  # pictures, over all processes
    image_size: int  # px, of a view
    preset: str = "photo"  # of model.presets, with changes if any: "photo,grey=0.1"
    views: int = 2  # of each picture in a batch
    grow_from: int | None = None  # px, of the first epochs' views; None: image_size from the start
    loss: str = "nt-xent"  # or decoupled; with labels supervised or cross-entropy
    temperature: float = 0.2
    learning_rate: float = 2e-3  # at its peak, for this optimiser and batch size
    weight_decay: float = 0.01  # on matrices and kernels only, not on biases and batch norm
    warmup_epochs: float = 1.0
    optimizer: str = "adamw"
    head_hidden: int = 512
    head_out: int = 128
    seed: int = 0
    device: str = "auto"  # auto, cpu or cuda
    precision: str = "auto"  # of the products; auto: bfloat16 where the device has instructions for it
    checkpoint_minutes: float = 5.0
    compile: bool = False  # torch.compile, on CUDA: costs a minute, saves a third or so of the rest
    chunk: int | None = None  # views that go through the backbone at once; None: as many as the memory holds

    def __post_init__(self) -> None:
        """Refuse what cannot work, in the words of whoever typed it."""
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if value is None and name in _MAY_BE_NONE:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise BadInput(f"{name.replace('_', ' ')} must be from {least:g} to {most:g}, not {value!r}")
            if name in _WHOLE and not isinstance(value, int):
                raise BadInput(f"{name.replace('_', ' ')} must be a whole number, not {value!r}")
        choices = {
            "loss": LOSSES + SUPERVISED,
            "optimizer": OPTIMIZERS,
            "device": ("auto", "cpu", "cuda"),
            "precision": PRECISIONS,
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise BadInput(f"the {name} is one of {', '.join(known)}; {getattr(self, name)!r} is none of them")
        preset_named(self.preset)
        if self.grow_from is not None and self.grow_from > self.image_size:
            raise BadInput(
                f"views grow from {self.grow_from} px to {self.image_size} px: choose at most {self.image_size}"
            )

    def require_enough(self, images: int) -> None:
        """Raise unless one epoch of `images` pictures (held-out ones included) fills at least one batch."""
        if images < FEWEST:
            raise TooFewImages(
                f"{images} pictures are too few to learn from; add some until there are {FEWEST} or more"
            )
        trained = images - held_out(images)
        if self.batch_size > trained:
            words = (
                "a batch of {batch} is more than the {n} pictures there are to train on; choose a batch size of at "
                "most {n}"
            )
            raise BadInput(Line("large_batch_size", words, batch=self.batch_size, n=trained))


_RANGES = (
    ("epochs", 1, 100_000),
    ("batch_size", 4, 65_536),
    ("image_size", 16, 1024),
    ("views", 2, 8),
    ("grow_from", 16, 1024),
    ("temperature", 0.01, 10.0),
    ("learning_rate", 1e-6, 10.0),
    ("weight_decay", 0.0, 1.0),
    ("warmup_epochs", 0.0, 1000.0),
    ("head_hidden", 2, 65_536),
    ("head_out", 2, 65_536),
    ("seed", 0, 2**31 - 1),
    ("checkpoint_minutes", 0.0, 1e6),
    ("chunk", 2, 1_000_000),
)
_WHOLE = ("epochs", "batch_size", "image_size", "views", "grow_from", "head_hidden", "head_out", "seed", "chunk")
_MAY_BE_NONE = ("grow_from", "chunk")


def choose_stem(stem: str, native_side: int, backbone: str, init: str = "random") -> str:
    """`stem`, or for "auto" the stem that suits pictures whose shorter side is `native_side` pixels.

    The size that counts is the pictures' own, not the training crop's. A picture of 32 px has all its detail in
    neighbouring pixels, and the standard stem (7x7, stride 2, then a stride-2 pool) throws it away: 69.8 against
    83.2 % k-NN on CIFAR-10 after 100 epochs. A photograph brought down to a 64 px crop to save time is different:
    its subject still spans the crop, and the CIFAR stem would only make each step some ten times as dear. Pretrained
    weights (`init` timm:NAME) keep the stem they were learnt with: small pictures are enlarged for them.
    """
    if stem not in ("auto", "standard", "cifar"):
        raise BadInput(f"the stem is one of auto, standard, cifar; {stem!r} is none of them")
    if stem != "auto":
        return stem
    is_resnet = backbone.split(".")[0] in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    return "cifar" if native_side <= SMALL_SIDE and is_resnet and not init.startswith("timm:") else "standard"


def held_out(images: int) -> int:
    """How many of `images` pictures are kept aside to watch the quality on: a tenth, at most 256."""
    return max(2, min(images // 10, 256))


def sensible(
    images: int, device: str, backbone: str = "resnet18", scaling: str = "linear", **chosen: Any
) -> tuple[TrainSettings, str]:
    """Settings for `images` pictures on "cpu" or "cuda", and the reason in a sentence; what is `chosen` stays.

    `scaling` says how the learning rate of SGD and LARS grows with the batch: linear, or by its square root.
    """
    known = {field.name for field in fields(TrainSettings)}
    if unknown := sorted(set(chosen) - known):
        raise BadInput(f"there is no setting called {unknown[0]}")
    if scaling not in SCALINGS:
        raise BadInput(f"the scaling is one of {', '.join(SCALINGS)}; {scaling!r} is none of them")
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if images < FEWEST:
        raise TooFewImages(f"{images} pictures are too few to learn from; add some until there are {FEWEST} or more")
    trained = images - held_out(images)
    on_gpu = device == "cuda"
    batch = chosen.get("batch_size") or _batch(trained, most=512 if on_gpu else 128)
    views = chosen.get("views") or 2
    # A GPU sees a small collection 400 times, and a large one until it has drawn 40 million views; two CPU cores draw
    # 40,000 views of 64 px in the two to five minutes that a person may wait for a first result.
    drawn = 40_000_000 if on_gpu else 40_000
    epochs = chosen.get("epochs") or max(2, min(400 if on_gpu else 100, round(drawn / (views * trained))))
    optimizer = chosen.get("optimizer") or _optimizer(on_gpu, batch, backbone)
    settings: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch,
        "image_size": 128 if on_gpu else 64,
        "warmup_epochs": min(10.0, epochs / 10),
        "compile": on_gpu and epochs * trained * views > 4_000_000 and can_compile(),
        "optimizer": optimizer,
        **_pace(optimizer, batch, scaling, on_gpu),
    }
    result = TrainSettings(**{**settings, "device": device, **chosen})
    where = Line("on_gpu", "a GPU") if on_gpu else Line("on_cpu", "a CPU, where time is short")
    reason = Line(
        "settings",
        "{images:,} pictures on {where}: {epochs} epochs of {batches:,} batches of {batch}, views of {size} px, "
        f"preset {{preset}}, learning rate {{pace}} by {{optimizer}} ({_WHY[result.optimizer]}).",
        images=images, where=where, epochs=result.epochs, batches=trained // result.batch_size,
        batch=result.batch_size, size=result.image_size, preset=result.preset, pace=f"{result.learning_rate:g}",
        optimizer=result.optimizer,
    )  # fmt: skip
    return result, reason


# In the few hundred steps of a short run AdamW gets where SGD does not: after three epochs of 1,600 steel pictures
# 5-shot accuracy is 0.58 against 0.54, after five 0.67. Long runs: SGD, as the published figures were reached.
_WHY = {
    "sgd": "the recipe of long runs on small collections",
    "lars": "which keeps a large batch stable",
    "adamw": "which learns most in few steps, and suits transformers",
}


def can_compile() -> bool:
    """Whether torch.compile has what it needs on CUDA: Triton, and a C compiler for Triton's launchers."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    return bool(compiler) and find_spec("triton") is not None


def _optimizer(on_gpu: bool, batch: int, backbone: str) -> str:
    is_transformer = any(word in backbone for word in ("vit", "deit", "swin", "beit", "eva", "convnext"))
    if not on_gpu or is_transformer:
        return "adamw"
    return "lars" if batch >= LARGE_BATCH else "sgd"


def _pace(optimizer: str, batch: int, scaling: str, on_gpu: bool) -> dict[str, float]:
    """Learning rate and weight decay. LARS: arXiv:2002.05709, sections 2.2 and B.1."""
    if optimizer == "adamw":
        return {"learning_rate": 5e-4 * (batch / 256) ** 0.5 if on_gpu else 2e-3, "weight_decay": 0.01}
    by_root = scaling == "sqrt"
    if optimizer == "lars":
        return {"learning_rate": 0.075 * batch**0.5 if by_root else 0.3 * batch / 256, "weight_decay": 1e-6}
    return {"learning_rate": 0.06 * ((batch / 256) ** 0.5 if by_root else batch / 256), "weight_decay": 5e-4}


def _batch(trained: int, most: int) -> int:
    """The largest power of two that leaves eight steps an epoch: more negatives help, but so do more steps."""
    return max(4, min(most, 2 ** int(math.log2(max(trained / 8, 4)))))
