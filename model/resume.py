"""The folder of a run: its state, from which it goes on exactly, and the metrics that belong to that state."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer

from model.errors import BadInput
from model.files import remove_partials, write_atomically
from model.network import Start
from model.settings import TrainSettings

STATE = "state.safetensors"
METRICS = "metrics.jsonl"


class RunFolder:
    """`state.safetensors` holds tensors and, in its header, how far they got: one file, so the two cannot disagree."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder, self.identity = folder, json.loads(json.dumps(identity))  # as a reader will see it
        folder.mkdir(parents=True, exist_ok=True)
        remove_partials(folder)

    def save(self, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        """Replace the state, after the metrics up to it are on disk."""
        with open(self.folder / METRICS, "ab") as file:
            os.fsync(file.fileno())
            length = file.tell()
        header = {"identity": self.identity, "progress": progress, "metrics_bytes": length}
        kept = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
        data = safetensors.torch.save(kept, metadata={"likeness": json.dumps(header)})
        write_atomically(self.folder / STATE, data)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last state, or None for a fresh start; the metrics are cut back to it."""
        path = self.folder / STATE
        if not path.exists():
            (self.folder / METRICS).unlink(missing_ok=True)
            return None
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                header = json.loads(file.metadata()["likeness"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            self._require_same(header["identity"])
            with open(self.folder / METRICS, "ab") as metrics:
                metrics.truncate(header["metrics_bytes"])
            return tensors, header["progress"]
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{path} is damaged ({error}); remove it to start this training anew") from error

    def _require_same(self, earlier: dict[str, Any]) -> None:
        for name in self.identity:
            if earlier.get(name) != self.identity[name]:
                raise BadInput(
                    f"{self.folder} holds a run with another {name.replace('_', ' ')} ({earlier.get(name)}, not "
                    f"{self.identity[name]}); use another folder, or remove {STATE} there to start anew"
                )

    def add_metrics(self, line: dict[str, Any]) -> None:
        with open(self.folder / METRICS, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def identity_of(pixels: Tensor, start: Start, settings: TrainSettings) -> dict[str, Any]:
    """What must be the same for a state to be gone on from; where and how often it is saved may differ."""
    kept = {k: v for k, v in asdict(settings).items() if k not in ("device", "checkpoint_minutes", "compile")}
    sample = pixels[:: max(1, len(pixels) // 256)].contiguous().numpy()
    pictures = hashlib.sha256(repr(tuple(pixels.shape)).encode() + sample.tobytes()).hexdigest()[:8]
    return {
        "start": start.started_from,
        "backbone": start.backbone.name,
        "stem": start.backbone.stem,
        **kept,
        "set_of_pictures": f"{len(pixels)} pictures, {pictures}",
    }


def pack(networks: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Weights, buffers and what the optimiser remembers, as one flat table."""
    tensors = {f"network.{name}": tensor for name, tensor in networks.state_dict().items()}
    for index, memory in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": t for name, t in memory.items() if isinstance(t, Tensor)}
    return tensors


def unpack(tensors: dict[str, Tensor], networks: nn.Module, optimizer: Optimizer) -> None:
    """The inverse of `pack`, into networks and an optimiser built alike."""
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
