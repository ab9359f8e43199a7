"""What a training step is made of: the networks, the optimiser, the schedule, and where pixels and numbers live."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.nn.functional as F
from timm.optim import Lars
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from model.convolution import MatrixConvolutions
from model.errors import BadInput
from model.network import Backbone, ProjectionHead
from model.ram import keeping_blocks
from model.settings import TrainSettings


class Learner(nn.Module):
    """Backbone and head: the loss sees the head's output, search will see the backbone's."""

    def __init__(self, backbone: Backbone, settings: TrainSettings, head: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head or ProjectionHead(backbone.dim, settings.head_hidden, settings.head_out)

    def forward(self, views: Tensor, parts: int = 1) -> Tensor:
        """Normalised views (M, 3, S, S) to (M, P).

        In several `parts`, the backbone keeps nothing of one but its features, and goes through it again when the
        gradient of the features is known (gradient caching, arXiv:2101.06983). The head and the loss see the whole
        batch all the same, so every other view stays a negative; batch norm inside the backbone sees one part.
        """
        if parts == 1:
            return self.head(self._encode(views))
        features = [
            checkpoint(self._encode, part, use_reentrant=False, context_fn=self._contexts)
            for part in views.tensor_split(parts)
        ]
        return self.head(torch.cat(features))

    def _encode(self, views: Tensor) -> Tensor:
        with nullcontext() if views.is_cuda else MatrixConvolutions():
            return self.backbone(views)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), self._remembering_nothing()

    @contextmanager
    def _remembering_nothing(self) -> Iterator[None]:
        """While a part goes through for the second time: batch norm has already taken note of it."""
        norms = [(m, m.momentum) for m in self.backbone.modules() if isinstance(m, _BatchNorm)]
        for norm, _ in norms:
            norm.momentum = 0.0
        try:
            yield
        finally:
            for norm, momentum in norms:
                norm.momentum = momentum


def build_optimizer(learner: Learner, settings: TrainSettings, device: torch.device) -> torch.optim.Optimizer:
    """Weight decay is for matrices and kernels; on a bias or a batch norm's scale it only slows learning."""
    parameters = [p for p in learner.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = device.type == "cuda"
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=fused)
    if settings.optimizer == "lars":
        return Lars(groups, lr=settings.learning_rate, momentum=0.9)  # adapts what decays, as SimCLR has it
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, fused=fused)


def view_size(epoch: int, settings: TrainSettings) -> int:
    """The side of an epoch's views, px: growing over the first three quarters where asked (arXiv:2104.00298).

    In steps of a quarter of the way, because each new size is compiled and tuned anew.
    """
    if settings.grow_from is None:
        return settings.image_size
    done = min(1.0, math.floor(4 * epoch / max(1.0, 0.75 * settings.epochs)) / 4)
    return settings.grow_from + round((settings.image_size - settings.grow_from) * done)


def learning_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    """Linear warm-up over `warmup` steps, then half a cosine down to nothing (arXiv:2002.05709, section 2.2)."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """The device that `name` (auto, cpu or cuda) means here; of several GPUs, the one of this process."""
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("there is no CUDA device here; choose device auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", local_rank)


def in_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether a training multiplies bfloat16 numbers: as asked for, or for "auto" where the device is made for it.

    Elsewhere they are emulated, and slower than float32.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    can = torch.cpu.get_capabilities()
    return any(can.get(name, False) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))


@contextmanager
def tuned(device: torch.device) -> Iterator[None]:
    """CUDA: TF32 products (the views' 8-bit pixels have less to lose) and tuned kernels. CPU: freed memory is kept."""
    if device.type != "cuda":
        with keeping_blocks():
            yield
        return
    precision, benchmark = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.benchmark = benchmark


def generator(device: torch.device, *key: int) -> torch.Generator:
    """Random numbers that depend on `key` alone. Hashed, because neighbouring seeds may give related numbers."""
    return torch.Generator(device).manual_seed(seed_of(*key))


def seed_of(*key: int) -> int:
    digest = hashlib.blake2b(repr(key).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little")


def spread_and_rank(z: Tensor) -> tuple[float, float]:
    """How far embeddings (M, P) are from collapse: the variance of their directions, and how many dimensions it fills.

    Spread is 1 when the directions cancel out and 0 when all are one. The effective rank is the exponential of the
    entropy of the covariance's eigenvalues (Roy and Vetterli, 2007): P when all directions matter alike, 1 on a line.
    """
    z = F.normalize(z.float(), dim=1)
    centred = z - z.mean(dim=0)
    spread = centred.square().sum(dim=1).mean()
    share = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0)
    share = share / share.sum().clamp(min=1e-12)
    rank = torch.exp(torch.special.entr(share).sum())
    return float(spread), float(rank)


def recall_at_1(one: Tensor, other: Tensor) -> float:
    """How often a view's nearest among the other views (M, D) shows the same picture, asked both ways."""
    similarity = F.normalize(one, dim=1) @ F.normalize(other, dim=1).T  # (M, M)
    truth = torch.arange(len(one), device=one.device)
    hits = (similarity.argmax(dim=1) == truth).float().mean() + (similarity.argmax(dim=0) == truth).float().mean()
    return float(hits / 2)
