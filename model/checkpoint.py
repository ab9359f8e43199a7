"""A model on disk: safetensors and JSON, written as one folder or not at all, and never unpickled."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from model.errors import BadInput, DamagedModel
from model.images import PREVIEW_SIDE
from model.info import ModelInfo, Preparation, read_verified, write_model
from model.network import Backbone, build_backbone


def save_model(
    network: Backbone,
    preparation: Preparation,
    models: Path,
    *,
    started_from: str,
    training: dict[str, Any] | None = None,
    preview_side: int = PREVIEW_SIDE,
    half: bool = False,
) -> ModelInfo:
    """Write `models/<fingerprint>/`. A sound model already there is the same model, and stays as it is.

    `half` keeps matrices and kernels as float16, in half the bytes. Loaded, they are float32 of what was kept; it is a
    model of its own, with its own fingerprint.
    """
    weights = safetensors.torch.save({name: _as_kept(tensor, half) for name, tensor in network.state_dict().items()})
    info = ModelInfo(
        fingerprint="",
        backbone=network.name,
        stem=network.stem,
        dim=network.dim,
        preparation=preparation,
        preview_side=preview_side,
        started_from=started_from,
        training=training or {},
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
    return write_model(models, info, weights)


def load_model(folder: Path) -> tuple[Backbone, ModelInfo]:
    """The network in evaluation mode, verified against its fingerprint. Executes nothing.

    Raises DamagedModel, and BadInput for an int8 model, which has no weights that torch could use.
    """
    info, weights = read_verified(folder)
    if info.arithmetic != "float32":
        raise BadInput(
            f"Model {info.fingerprint} is an {info.arithmetic} copy of {info.started_from}, for encoding on a CPU: "
            "use that one for this."
        )
    try:
        network = build_backbone(info.backbone, info.stem)
        network.load_state_dict(safetensors.torch.load(weights))
    except (SafetensorError, RuntimeError, BadInput) as error:
        raise DamagedModel(f"{folder} does not hold the weights of a {info.backbone} ({_brief(error)}).") from error
    if network.dim != info.dim:
        raise DamagedModel(f"{folder} promises vectors of {info.dim} numbers, its {info.backbone} gives {network.dim}.")
    return network.eval(), info


def _as_kept(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point():
        return tensor
    if half and tensor.ndim > 1:  # batch norm's few numbers span too many powers of ten for float16
        return tensor.half()
    return tensor.float()  # bf16 weights of a GPU run become float32


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
