"""Several processes that train one network together, as torchrun starts them: on several GPUs or several machines.

Each process (a *rank*) holds its share of the pictures. They agree on three sums: of the embeddings that the loss
compares, of the statistics of every batch norm, and of the gradients. With these three a step of all ranks is the step
that one process would have done on the whole batch.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any, Protocol, Self, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm  # what every plain batch norm is, timm's included
from torch.nn.parallel import DistributedDataParallel

from model.errors import BadInput

PATIENCE = timedelta(hours=1)  # while another rank still decodes its share, or the first one writes a state
T = TypeVar("T")


class Sliceable(Protocol):
    """A list, a tuple, a tensor."""

    def __getitem__(self, rows: slice, /) -> Self: ...


Items = TypeVar("Items", bound=Sliceable)


@dataclass(frozen=True)
class World:
    rank: int = 0  # of this process among all
    size: int = 1
    local_rank: int = 0  # among those of this machine; also the number of its GPU
    local_size: int = 1  # processes that share this machine


ALONE = World()


def join(device: str) -> World:
    """The world that torchrun's environment names, joined: on "cuda" with the local rank's GPU as the current one.

    ALONE when there is no such environment, or when it is of one process. Waits for the others.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    world = World(rank, size, local_rank, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if device == "cuda":
        if world.local_rank >= torch.cuda.device_count():
            raise BadInput(
                f"there are {torch.cuda.device_count()} GPUs on this machine, too few for a process each; "
                "start torchrun with --nproc-per-node at most that"
            )
        torch.cuda.set_device(world.local_rank)
    # gloo for what is on the CPU: agreeing on a number then waits for no kernel on the GPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    return world


def leave(world: World) -> None:
    if world.size > 1:
        dist.destroy_process_group()


def my_share(items: Items, world: World) -> Items:
    """Every `size`-th item; the shares' lengths differ by one at most."""
    return items[world.rank :: world.size]


def least(number: int, world: World) -> int:
    """The smallest of the ranks' numbers: of batches in an epoch, say, so that all end it together."""
    if world.size == 1:
        return number
    smallest = torch.tensor(number)
    dist.all_reduce(smallest, dist.ReduceOp.MIN)
    return int(smallest)


def total(number: int, world: World) -> int:
    """The sum of the ranks' numbers."""
    if world.size == 1:
        return number
    summed = torch.tensor(number)
    dist.all_reduce(summed)
    return int(summed)


def any_of(flag: bool, world: World) -> bool:
    """Whether any rank says yes: asked to stop, say, so that all stop after the same step."""
    return least(int(not flag), world) == 0


def from_first(value: T, world: World) -> T:
    """What the first rank has, for every rank: a state that only its disk holds, say. Pickled on the way."""
    if world.size == 1:
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather(z: Tensor, world: World) -> Tensor:
    """(M, P) of each rank to (size * M, P), rank after rank; every rank has as many rows.

    With gradient: what the losses of all ranks ask of a row, summed, reaches the rank that it came from.
    """
    if world.size == 1:
        return z
    before, after = world.rank * len(z), (world.size - 1 - world.rank) * len(z)
    return _Total.apply(F.pad(z, (0, 0, before, after)))  # everyone's own rows among zeros, added up


class _Total(torch.autograd.Function):
    """The sum over ranks. Each rank's part counts in the losses of all of them, so its gradient is their sum."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Total.forward(ctx, gradient.contiguous())


def data_parallel(module: nn.Module, world: World, device: torch.device) -> nn.Module:
    """`module` for the training step: itself when alone, else a twin with synchronised batch norm whose backward pass
    leaves in `module`'s parameters the mean of the ranks' gradients. Gives all ranks the first one's weights.
    """
    if world.size == 1:
        return module
    return DistributedDataParallel(
        synchronise_batch_norm(module, world, device),
        device_ids=[world.local_rank] if device.type == "cuda" else None,
    )


def synchronise_batch_norm(module: nn.Module, world: World, device: torch.device) -> nn.Module:
    """A twin of `module` that shares its every tensor and takes batch norm's statistics over the ranks' whole batch.

    What the twin learns, `module` has learnt, and it stays what it was: it is the one to evaluate and to save. Move
    `module` to its device first; moving it later gives it buffers of its own.
    """
    if world.size == 1:
        return module
    shared = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    twin = copy.deepcopy(module, shared)
    # timm's conversion, because torch's loses the activation inside of timm's own batch norms.
    return convert_sync_batchnorm(twin) if device.type == "cuda" else _convert(twin, world)


def _convert(module: nn.Module, world: World) -> nn.Module:
    if isinstance(module, BatchNorm):
        return _SyncBatchNorm(module, world)
    for name, child in module.named_children():
        setattr(module, name, _convert(child, world))
    return module


class _SyncBatchNorm(BatchNorm):
    """torch's SyncBatchNorm refuses tensors on the CPU; this one is slower and takes them. (N, C, ...) as it came."""

    def __init__(self, plain: BatchNorm, world: World) -> None:
        nn.Module.__init__(self)
        vars(self).update(vars(plain))  # its tensors under their names, its options, and whether it is training
        self.world = world

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = self._normalise(x)
        else:
            x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        for after in self.children():  # timm's BatchNormAct2d: its dropout, then its activation
            x = after(x)
        return x

    def _normalise(self, x: Tensor) -> Tensor:
        """By the mean and variance of all ranks' values; every rank has as many."""
        given, x = x.dtype, x.to(torch.promote_types(x.dtype, torch.float32))  # bfloat16 is too coarse for sums
        values, channels = [0, *range(2, x.ndim)], (-1, *[1] * (x.ndim - 2))
        count = x.numel() // x.shape[1] * self.world.size
        mean = _Total.apply(x.sum(values)) / count  # (C,)
        centred = x - mean.view(channels)
        variance = _Total.apply(centred.square().sum(values)) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                # Without momentum they are the mean over all batches; with 0 they stay.
                weight = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, weight)
                self.running_var.lerp_(variance * count / (count - 1), weight)
        x = centred * torch.rsqrt(variance + self.eps).view(channels)
        x = x if self.weight is None else x * self.weight.view(channels) + self.bias.view(channels)
        return x.to(given)
