"""What labels add to a training: a class for every picture, which pictures are kept out to judge by, and a head.

With the loss `supervised` pictures of one class are pulled together (supervised contrastive learning,
arXiv:2004.11362); with `cross-entropy` a linear classifier is learnt together with the network. That one begins as the
probe does, so that a good encoder is not first torn apart by a head that knows nothing (arXiv:2202.10054).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.errors import BadInput
from model.settings import SUPERVISED, TrainSettings

WATCHED = 256  # pictures kept out that the quality is watched on; more would only take longer


@dataclass(frozen=True)
class Taught:
    """Labels for a training's pictures."""

    classes: Tensor  # (N,) int64: the class of every picture
    kept_out: Tensor  # (H,) int64: rows that are never trained on
    weights: np.ndarray  # (C, D) float32, and bias (C,): a linear classifier of the start's unit vectors
    bias: np.ndarray

    @property
    def rows(self) -> tuple[Tensor, Tensor]:
        """(watched, trained) rows."""
        trained = torch.ones(len(self.classes), dtype=torch.bool)
        trained[self.kept_out] = False
        return self.kept_out[:WATCHED], trained.nonzero()[:, 0]

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a training to be gone on from."""
        digest = hashlib.sha256(self.classes.numpy().tobytes() + self.kept_out.numpy().tobytes()).hexdigest()
        return {"set_of_labels": f"{len(self.classes)} labels, {digest[:8]}"}


class ClassHead(nn.Module):
    """Features (N, D) to logits (N, C) of their directions: what search and the probe see of them."""

    def __init__(self, weights: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        self.linear = nn.Linear(weights.shape[1], weights.shape[0])
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weights))
            self.linear.bias.copy_(torch.from_numpy(bias))

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(F.normalize(features.float(), dim=1))


def head_for(settings: TrainSettings, taught: Taught | None) -> nn.Module | None:
    """The head a loss needs instead of SimCLR's, if it does. Raises BadInput where labels and loss do not fit."""
    if (settings.loss in SUPERVISED) != (taught is not None):
        raise BadInput(f"the loss {settings.loss} {'needs labels' if taught is None else 'looks at no labels'}")
    return ClassHead(taught.weights, taught.bias) if taught and settings.loss == "cross-entropy" else None


def supervised_contrastive(z: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """SupCon's loss (arXiv:2004.11362, eq. 2). `z` (M, P), `classes` (M,): every row has a partner of its class.

    For each row, the mean over all others p of its class of -log(exp(s_ip) / sum of exp(s_ia) over all others a).
    """
    with torch.autocast(z.device.type, enabled=False):
        z = F.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=1)
        similarity = z @ z.T / temperature  # (M, M)
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        log_p = similarity - similarity.masked_fill(itself, float("-inf")).logsumexp(dim=1, keepdim=True)
        partner = (classes[:, None] == classes) & ~itself
        return -(log_p.masked_fill(~partner, 0).sum(dim=1) / partner.sum(dim=1)).mean()


def supervised_loss(z: Tensor, classes: Tensor, settings: TrainSettings) -> Tensor:
    """`z` (V N, P) of N pictures, rows i, i + N, ... show picture i; `classes` (N,)."""
    classes = classes.repeat(settings.views)
    if settings.loss == "cross-entropy":
        return F.cross_entropy(z.float(), classes)
    return supervised_contrastive(z, classes, settings.temperature)
