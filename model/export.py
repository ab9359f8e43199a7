"""A model as one ONNX graph from the network's square of pixels to unit vectors, for ONNX Runtime on a CPU.

`encoder.onnx` is a cache beside the weights: made from them, checked by a hash of its own, made again when damaged.
"""

import contextlib
import hashlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.checkpoint import load_model
from model.files import write_atomically
from model.info import ONNX, ONNX_INFO, ModelInfo
from model.network import Backbone


class PixelsToVectors(nn.Module):
    """uint8 pixels (N, S, S, 3) to unit vectors (N, D): all of encoding after the square is cut."""

    mean: Tensor  # (1, 3, 1, 1), in 0..255 as the pixels are
    std: Tensor

    def __init__(self, network: Backbone, info: ModelInfo) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(info.preparation.mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(info.preparation.std).view(1, 3, 1, 1) * 255)

    def forward(self, pixels: Tensor) -> Tensor:
        images = pixels.permute(0, 3, 1, 2).float()  # (N, 3, S, S)
        return F.normalize(self.network((images - self.mean) / self.std), dim=1)  # (N, D)


def export_onnx(folder: Path) -> bytes:
    """Make the ONNX graph of the model in `folder`, keep it there when the folder can be written, and return it."""
    network, info = load_model(folder)
    model = PixelsToVectors(network, info).eval()
    side = info.preparation.image_size
    # Two pictures, not one: from a single one the exporter would conclude that the batch is always 1.
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    with _quiet():
        program = torch.onnx.export(
            model,
            (example,),
            input_names=["pixels"],
            output_names=["vectors"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("n", min=1)}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None  # only the older exporter returns nothing
    graph = program.model_proto.SerializeToString()
    described = {"fingerprint": info.fingerprint, "sha256": hashlib.sha256(graph).hexdigest()}
    # A model in a read-only place is used all the same; it is only exported again next time.
    with contextlib.suppress(OSError):
        write_atomically(folder / ONNX, graph)
        write_atomically(folder / ONNX_INFO, json.dumps(described).encode())  # last: this write is the commit
    return graph


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints ticks and warns of its own internals; neither is for the person waiting."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
