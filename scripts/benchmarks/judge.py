"""What a trained backbone's features are worth when there are labels: k-NN and linear evaluation, train against test.

`model.evaluate` judges one labelled set against itself, in numpy; this is the published protocol with a set to learn
from and another to be judged on, on the device, because 10,000 queries against 50,000 vectors take numpy minutes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from model.checkpoint import load_model, save_model
from model.export import PixelsToVectors
from model.network import Backbone, Start

BLOCK = 500  # queries, or pictures to encode, at once
VOTE = 0.1  # temperature of a neighbour's vote, as in lightly's benchmarks
STRENGTHS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # λ, strong to weak
VALIDATION = 10  # one training picture in so many chooses λ


def encode(backbone: Backbone, start: Start, pixels: Tensor, device: torch.device) -> Tensor:
    """Pictures (N, 3, S, S) uint8 to unit vectors (N, D) as search has them: by the model on disk, in float32."""
    with tempfile.TemporaryDirectory() as folder:
        info = save_model(backbone, start.preparation, Path(folder), started_from=start.started_from)
        network, info = load_model(Path(folder) / info.fingerprint)
    model = PixelsToVectors(network, info).to(device).eval()
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return torch.cat([model(part.to(device).permute(0, 2, 3, 1)) for part in pixels.split(BLOCK)])


def knn_accuracy(known: Tensor, labels: Tensor, asked: Tensor, truth: Tensor, k: int) -> float:
    """The part of unit vectors `asked` (M, D) whose `k` nearest of `known` (N, D) vote for their label.

    By cosine, votes weighted by exp(cosine / VOTE) (arXiv:1805.01978, section 3.4).
    """
    classes, right = int(labels.max()) + 1, 0
    for vectors, expected in zip(asked.split(BLOCK), truth.split(BLOCK), strict=True):
        cosine, near = (vectors @ known.T).topk(k, dim=1)  # (B, k)
        votes = torch.zeros(len(vectors), classes, device=known.device)
        votes.scatter_add_(1, labels[near], torch.exp((cosine - 1) / VOTE))
        right += int((votes.argmax(dim=1) == expected).sum())
    return right / len(asked)


def linear_accuracy(known: Tensor, labels: Tensor, asked: Tensor, truth: Tensor) -> tuple[float, float]:
    """Of an L2-regularised logistic regression on the frozen features; and the λ it was fitted with.

    SimCLR's protocol (arXiv:2002.05709, appendix B.8), without augmentation: λ is chosen on pictures set aside, and the
    classifier then fitted on all of `known`. Features are brought to mean 0 and variance 1, so that L-BFGS converges.
    """
    mean, deviation = known.mean(dim=0), known.std(dim=0).clamp(min=1e-6)
    known, asked = (known - mean) / deviation, (asked - mean) / deviation
    shuffled = torch.randperm(len(known), generator=torch.Generator().manual_seed(0)).to(known.device)
    aside, kept = shuffled.tensor_split([max(1, len(known) // VALIDATION)])
    weights = torch.zeros(int(labels.max()) + 1, known.shape[1] + 1, device=known.device)
    chosen, best = weights, (-1.0, 0.0)
    for strength in STRENGTHS:  # each goes on from the one before: the path from strong to weak is short
        weights = fit(known[kept], labels[kept], strength, weights)
        score = _right(known[aside], labels[aside], weights)
        if score > best[0]:
            chosen, best = weights, (score, strength)
    return _right(asked, truth, fit(known, labels, best[1], chosen)), best[1]


def fit(x: Tensor, y: Tensor, strength: float, start: Tensor) -> Tensor:
    """Weights (C, D + 1), the bias last, that minimise cross-entropy + strength / 2 |weights without bias|²."""
    weights = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([weights], max_iter=100, history_size=10, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(x, weights[:, :-1], weights[:, -1]), y)
        value = value + strength / 2 * weights[:, :-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach()


def _right(x: Tensor, y: Tensor, weights: Tensor) -> float:
    return float((F.linear(x, weights[:, :-1], weights[:, -1]).argmax(dim=1) == y).float().mean())
