"""SimCLR as lightly's users write it, to be measured beside ours: its transforms, its loader, its head, its loss.

Optional: without lightly the rows that compare are "not measured". It is measured as its examples have it, given our
network and what costs nothing to add: bfloat16 where ours uses it, channels-last memory, as many workers as helps.
"""

from __future__ import annotations

import copy
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler

from model.network import Backbone
from scripts.benchmarks.clock import clock


def is_here() -> bool:
    return find_spec("lightly") is not None


def name() -> str:
    return f"lightly {metadata.version('lightly')}'s SimCLR" if is_here() else "lightly's SimCLR (not installed here)"


def seconds_per_step(
    folder: Path,
    backbone: Backbone,
    image_size: int,
    batch: int,
    device: torch.device,
    workers: int,
    warm: int,
    steps: int,
    bfloat16: bool,
) -> float:
    """Train on the files below `folder` for `warm` steps and then `steps` steps of `batch` pictures; time the latter.

    Workers make their batches at the same time, so these come in bursts: both counts should be multiples of `workers`.
    """
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms.simclr_transform import SimCLRTransform

    dataset = LightlyDataset(str(folder), transform=SimCLRTransform(input_size=image_size))
    # Drawn with replacement, the epoch never ends: workers that start again would be counted against lightly.
    sampler = RandomSampler(dataset, replacement=True, num_samples=batch * (warm + steps))
    on_gpu = device.type == "cuda"
    loader = DataLoader(dataset, batch, sampler=sampler, num_workers=workers, drop_last=True, pin_memory=on_gpu)
    network = nn.Sequential(copy.deepcopy(backbone), SimCLRProjectionHead(backbone.dim, 512, 128))
    network = network.to(device).to(memory_format=torch.channels_last).train()
    criterion = NTXentLoss(temperature=0.5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.06, momentum=0.9, weight_decay=5e-4)

    began = 0.0
    for number, ((one, other), _, _) in enumerate(loader):
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16):
            z = [
                network(x.to(device, non_blocking=True).to(memory_format=torch.channels_last)) for x in (one, other)
            ]  # each (N, 128)
            loss = criterion(*z)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if number in (warm - 1, warm + steps - 1):
            now = clock(device)
            began, took = now, now - began
    return took / steps
