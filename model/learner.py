"""What a training step is made of: the networks, the optimiser, the schedule, and where pixels and numbers live."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.errors import BadInput
from model.network import Backbone, ProjectionHead
from model.settings import TrainSettings


class Learner(nn.Module):
    """Backbone and head: the loss sees the head's output, search will see the backbone's."""

    def __init__(self, backbone: Backbone, settings: TrainSettings) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = ProjectionHead(backbone.dim, settings.head_hidden, settings.head_out)

    def forward(self, views: Tensor) -> Tensor:
        """Normalised views (2N, 3, S, S) to (2N, P)."""
        return self.head(self.backbone(views))


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
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, fused=fused)


def learning_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    """Linear warm-up over `warmup` steps, then half a cosine down to nothing (arXiv:2002.05709, section 2.2)."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def pick_device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("there is no CUDA device here; choose device auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def arithmetic(device: torch.device) -> Iterator[None]:
    """On CUDA, TF32 products (the views' 8-bit pixels have less to lose) and tuned kernels; on the CPU, nothing."""
    if device.type != "cuda":
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


def place(pixels: Tensor, device: torch.device) -> Tensor:
    """All pictures on the device where they fit in half of its free memory; else in RAM, to be sent batch by batch."""
    if device.type == "cuda" and pixels.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        return pixels.to(device)
    return pixels


def take(pixels: Tensor, rows: Tensor, device: torch.device) -> Tensor:
    """Some pictures, on the device. `rows` lives where `pixels` does."""
    chosen = pixels.index_select(0, rows)
    if chosen.device != device:
        chosen = chosen.pin_memory().to(device, non_blocking=True)
    return chosen


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
