"""What a training is asked to do, and sensible answers for a collection and a machine. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from model.errors import BadInput, TooFewImages

FEWEST = 8  # pictures; below this there is nothing to tell a picture apart from
OPTIMIZERS = ("sgd", "adamw")
PRESET_NAMES = ("photo", "fine-grained", "microscopy", "texture", "product", "drawing")


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides a training, but for the pictures and the weights it starts from."""

    epochs: int
    batch_size: int  # pictures; each gives two views
    image_size: int  # px, of a view
    preset: str = "photo"  # of model.augment
    temperature: float = 0.2
    learning_rate: float = 2e-3  # at its peak, for this optimiser and batch size
    weight_decay: float = 0.01  # on matrices and kernels only, not on biases and batch norm
    warmup_epochs: float = 1.0
    optimizer: str = "adamw"
    head_hidden: int = 512
    head_out: int = 128
    seed: int = 0
    device: str = "auto"  # auto, cpu or cuda
    checkpoint_minutes: float = 5.0
    compile: bool = False  # torch.compile, on CUDA: costs a minute, saves a third or so of the rest

    def __post_init__(self) -> None:
        """Refuse what cannot work, in the words of whoever typed it."""
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise BadInput(f"{name.replace('_', ' ')} must be from {least:g} to {most:g}, not {value!r}")
        for name in _WHOLE:
            if not isinstance(getattr(self, name), int):
                raise BadInput(f"{name.replace('_', ' ')} must be a whole number, not {getattr(self, name)!r}")
        for name, known in (("preset", PRESET_NAMES), ("optimizer", OPTIMIZERS), ("device", ("auto", "cpu", "cuda"))):
            if getattr(self, name) not in known:
                raise BadInput(f"the {name} is one of {', '.join(known)}; {getattr(self, name)!r} is none of them")

    def require_enough(self, images: int) -> None:
        """Raise unless one epoch of `images` pictures (held-out ones included) fills at least one batch."""
        if images < FEWEST:
            raise TooFewImages(
                f"{images} pictures are too few to learn from; add some until there are {FEWEST} or more"
            )
        trained = images - held_out(images)
        if self.batch_size > trained:
            raise BadInput(
                f"a batch of {self.batch_size} is more than the {trained} pictures there are to train on; "
                f"choose a batch size of at most {trained}"
            )


_RANGES = (
    ("epochs", 1, 100_000),
    ("batch_size", 4, 65_536),
    ("image_size", 16, 1024),
    ("temperature", 0.01, 10.0),
    ("learning_rate", 1e-6, 10.0),
    ("weight_decay", 0.0, 1.0),
    ("warmup_epochs", 0.0, 1000.0),
    ("head_hidden", 2, 65_536),
    ("head_out", 2, 65_536),
    ("seed", 0, 2**31 - 1),
    ("checkpoint_minutes", 0.0, 1e6),
)
_WHOLE = ("epochs", "batch_size", "image_size", "head_hidden", "head_out", "seed")


def held_out(images: int) -> int:
    """How many of `images` pictures are kept aside to watch the quality on: a tenth, at most 256."""
    return max(2, min(images // 10, 256))


def sensible(images: int, device: str, **chosen: Any) -> tuple[TrainSettings, str]:
    """Settings for `images` pictures on "cpu" or "cuda", and the reason in a sentence; what is `chosen` stays."""
    known = {field.name for field in fields(TrainSettings)}
    if unknown := sorted(set(chosen) - known):
        raise BadInput(f"there is no setting called {unknown[0]}")
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if images < FEWEST:
        raise TooFewImages(f"{images} pictures are too few to learn from; add some until there are {FEWEST} or more")
    trained = images - held_out(images)
    on_gpu = device == "cuda"
    batch = chosen.get("batch_size") or _batch(trained, most=512 if on_gpu else 128)
    # A GPU sees a small collection 400 times, and a large one until it has drawn 40 million views; two CPU cores draw
    # 15,000 views of 64 px in the four minutes that a person may wait for a first result.
    views = 40_000_000 if on_gpu else 15_000
    epochs = chosen.get("epochs") or max(2, min(400 if on_gpu else 100, round(views / (2 * trained))))
    settings: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch,
        "image_size": 128 if on_gpu else 64,
        "warmup_epochs": min(10.0, epochs / 10),
        "compile": on_gpu and epochs * trained > 2_000_000,
    }
    # In the few hundred steps of a short run AdamW gets where SGD does not: after three epochs of 1,600 steel pictures
    # 5-shot accuracy is 0.58 against 0.54, after five 0.67. Long runs: SGD, as the published figures were reached.
    if chosen.get("optimizer", "sgd" if on_gpu else "adamw") == "sgd":
        settings |= {"optimizer": "sgd", "learning_rate": 0.06 * batch / 256, "weight_decay": 5e-4}
    result = TrainSettings(**{**settings, "device": device, **chosen})
    where = "a GPU" if on_gpu else "a CPU, where time is short"
    reason = (
        f"{images:,} pictures on {where}: {result.epochs} epochs of {trained // result.batch_size:,} batches of "
        f"{result.batch_size}, views of {result.image_size} px, preset {result.preset}, "
        f"learning rate {result.learning_rate:g} by {result.optimizer}."
    )
    return result, reason


def _batch(trained: int, most: int) -> int:
    """The largest power of two that leaves eight steps an epoch: more negatives help, but so do more steps."""
    return max(4, min(most, 2 ** int(math.log2(max(trained / 8, 4)))))
