"""The folder of a run: its state, from which it goes on exactly, and the metrics that belong to that state.

state.json            how far the run got, what it is, and of which parts its tensors are made: written last
state-<sha256>.part   at most 15 MB of numbers of one type
metrics.jsonl         a line for every stretch of steps
pinned.jsonl          a line for every evaluation: the nearest of the pictures that somebody watches (model.lookout)
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from model.errors import BadInput
from model.files import remove_partials, write_atomically
from model.network import Start
from model.settings import TrainSettings

STATE = "state.json"
METRICS = "metrics.jsonl"
PINNED = "pinned.jsonl"  # lines after the state stay when a run goes on: whoever reads them takes the newest of a step
PART_BYTES = 14_900_000  # of numbers; shrunk they take less, and what does not shrink at most 0.04 % more
ELSEWHERE = ("device", "checkpoint_minutes", "compile", "chunk")  # settings that change where and when, not what


class RunFolder:
    """The write of `state.json` is the commit: before it the old state is whole, after it the new one.

    Of several processes that train together one saves; all may load, before the first step that they take together.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder, self.identity = folder, json.loads(json.dumps(identity))  # as a reader will see it
        folder.mkdir(parents=True, exist_ok=True)
        remove_partials(folder)

    def save(self, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        """Replace the state, after the metrics up to it are on disk."""
        with open(self.folder / METRICS, "ab") as file:
            os.fsync(file.fileno())
            length = file.tell()
        state = {"identity": self.identity, "progress": progress, "metrics_bytes": length}
        try:
            state["tensors"] = _write_parts(self.folder, tensors)
            write_atomically(self.folder / STATE, json.dumps(state).encode())
        finally:
            self._remove_loose_parts()

    def _remove_loose_parts(self) -> None:
        """Those of the state before, of a save that was killed, or of this one when the disk is full."""
        path = self.folder / STATE
        groups = json.loads(path.read_bytes())["tensors"].values() if path.exists() else ()
        kept = {_part(self.folder, digest) for group in groups for digest in group["parts"]}
        for part in self.folder.glob(_part(self.folder, "*").name):
            if part not in kept:
                part.unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last state, or None for a fresh start; the metrics are cut back to it."""
        path = self.folder / STATE
        if not path.exists():
            for name in (METRICS, PINNED):
                (self.folder / name).unlink(missing_ok=True)
            return None
        try:
            state = json.loads(path.read_bytes())
            self._require_same(state["identity"])
            tensors, progress = _read_parts(self.folder, state["tensors"]), state["progress"]
            with open(self.folder / METRICS, "ab") as metrics:
                metrics.truncate(state["metrics_bytes"])
            return tensors, progress
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise _damaged(path, str(error)) from error

    def _require_same(self, earlier: dict[str, Any]) -> None:
        for name in self.identity:
            if earlier.get(name) != self.identity[name]:
                raise BadInput(
                    f"{self.folder} holds a run with another {name.replace('_', ' ')} ({earlier.get(name)}, not "
                    f"{self.identity[name]}); use another folder, or remove {STATE} there to start anew"
                )

    def add(self, file: str, line: dict[str, Any]) -> None:
        """Append a line to the metrics, or to what is said of pinned pictures."""
        with open(self.folder / file, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")


def read_state(folder: Path) -> dict[str, Tensor]:
    """The tensors of the state in `folder`, whatever run it is of."""
    return _read_parts(folder, json.loads((folder / STATE).read_bytes())["tensors"])


def _write_parts(folder: Path, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Per type of number the shapes of its tensors, one after the other, and the digests of the parts they fill."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        groups.setdefault(str(tensor.dtype).removeprefix("torch."), {})[name] = tensor.detach().to("cpu")
    written = {}
    for dtype, group in groups.items():
        numbers = torch.cat([tensor.flatten() for tensor in group.values()])
        parts = []
        for some in numbers.split(PART_BYTES // numbers.element_size()):
            data = _shrink(some)
            parts.append(hashlib.sha256(data).hexdigest())
            write_atomically(_part(folder, parts[-1]), data)
        written[dtype] = {"shapes": {name: list(tensor.shape) for name, tensor in group.items()}, "parts": parts}
    return written


def _read_parts(folder: Path, written: dict[str, Any]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for dtype, group in written.items():
        shapes = {name: torch.Size(shape) for name, shape in group["shapes"].items()}
        numbers = torch.cat([_grow(_read_part(folder, digest), getattr(torch, dtype)) for digest in group["parts"]])
        each = numbers.split([shape.numel() for shape in shapes.values()])
        for (name, shape), some in zip(shapes.items(), each, strict=True):
            tensors[name] = some.view(shape).clone()  # a view would keep all of them in memory
    return tensors


def _read_part(folder: Path, digest: str) -> bytes:
    path = _part(folder, digest)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise _damaged(path, "it is not there") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise _damaged(path, "its bytes are not those that were written")
    return data


def _part(folder: Path, digest: str) -> Path:
    return folder / f"state-{digest}.part"


def _damaged(path: Path, why: str) -> BadInput:
    return BadInput(f"{path} is damaged ({why}); remove {path.parent / STATE} to start this training anew")


def _shrink(numbers: Tensor) -> bytes:
    """Numbers (n,) as bytes, without loss: the last byte of each, Huffman coded, then the other bytes, place by place.

    The last byte of a little-endian float is its sign and most of its exponent, which in weights are few bits' worth;
    the others are noise. Looking for repeats as well, as zlib usually does, takes far longer and finds none.
    """
    places = numbers.view(torch.uint8).view(-1, numbers.element_size()).T.contiguous().numpy()  # (bytes a number, n)
    packer = zlib.compressobj(level=1, strategy=zlib.Z_HUFFMAN_ONLY)
    return packer.compress(places[-1]) + packer.flush() + places[:-1].tobytes()


def _grow(data: bytes, dtype: torch.dtype) -> Tensor:
    """The inverse of `_shrink`."""
    unpacker = zlib.decompressobj()
    last = unpacker.decompress(data)
    places = np.frombuffer(unpacker.unused_data + last, np.uint8).reshape(dtype.itemsize, -1)  # (bytes a number, n)
    return torch.from_numpy(places.T.copy()).view(-1).view(dtype)


def identity_of(pixels: Tensor, start: Start, settings: TrainSettings) -> dict[str, Any]:
    """What must be the same for a state to be gone on from; where and how often it is saved may differ."""
    kept = {k: v for k, v in asdict(settings).items() if k not in ELSEWHERE}
    sample = pixels[:: max(1, len(pixels) // 256)].contiguous().numpy()
    pictures = hashlib.sha256(repr(tuple(pixels.shape)).encode() + sample.tobytes()).hexdigest()[:8]
    return {
        "start": start.started_from,
        "backbone": start.backbone.name,
        "stem": start.backbone.stem,
        **kept,
        "set_of_pictures": f"{len(pixels)} pictures, {pictures}",
    }


def pack(networks: nn.Module, optimizer: Optimizer, *, compact: bool = False) -> dict[str, Tensor]:
    """Weights, buffers and what the optimiser remembers, as one flat table.

    `compact` keeps the optimiser's memory in bfloat16, half the bytes: for where a run that goes on is not equal to the
    last bit anyway.
    """
    tensors = {f"network.{name}": tensor for name, tensor in networks.state_dict().items()}
    for index, memory in optimizer.state_dict()["state"].items():
        for name, value in memory.items():
            if isinstance(value, Tensor):
                small = compact and value.is_floating_point() and value.ndim > 0  # a count of steps stays exact
                tensors[f"optimizer.{index}.{name}"] = value.bfloat16() if small else value
    return tensors


def unpack(tensors: dict[str, Tensor], networks: nn.Module, optimizer: Optimizer) -> None:
    """The inverse of `pack`, into networks and an optimiser built alike; what was made small is float32 again."""
    prefix = "network."
    networks.load_state_dict({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
    memory: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            memory.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": memory})
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                # Laid out like its parameter (channels-last kernels), as fused optimisers expect.
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
