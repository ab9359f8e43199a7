"""Which regions of two pictures match, and which speak for a class: what the encoder saw before it pooled.

The network's last feature map comes from the model's own ONNX graph, cut before its pooling. It is read from a larger
square than the encoder's, so that its cells are small enough to point at something. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from model.errors import BadInput
from model.images import square
from model.info import Preparation

SIDE = 320  # px, as much as previews hold: planted patches are found far more often than at an encoder's 96
POOLING = ("GlobalAveragePool", "ReduceMean")
BOX_FROM = 0.5  # of the strongest cell: what is weaker lies outside the box
FINE = 8  # parts a cell's side is cut into when the box is drawn
DEAD = 1e-3  # of the liveliest channel's deviation: below it a channel says nothing


@dataclass(frozen=True)
class Heat:
    """How strongly each cell of a picture speaks, and which part of the picture the cells cover."""

    cells: np.ndarray  # (rows, columns) float32 in 0..1, the strongest 1
    area: tuple[float, float, float, float]  # x, y, width, height as shares of the picture: what the encoder sees


class Regions:
    """The feature maps of one model. Safe to share between threads."""

    def __init__(self, graph: bytes, preparation: Preparation, threads: int = 1) -> None:
        """`graph` is the model's `encoder.onnx`. Raises `BadInput` for a network without a map."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.preparation = preparation
        self._session = onnxruntime.InferenceSession(before_pooling(graph), options, ["CPUExecutionProvider"])

    def maps(self, previews: list[Image.Image]) -> np.ndarray:
        """(N, rows, columns, D) float32: what the network says of each place of each picture."""
        how = self.preparation
        squares = np.stack([square(image, SIDE, how.fit, how.interpolation, how.crop) for image in previews])
        return np.moveaxis(self._session.run(None, {"pixels": squares})[0], 1, -1)

    def area(self, width: int, height: int) -> tuple[float, float, float, float]:
        """x, y, width, height of what is looked at, as shares of a picture of this size."""
        kept = self.preparation.crop
        across, down = kept, kept
        if self.preparation.fit == "centre":
            across, down = kept * min(width, height) / width, kept * min(width, height) / height
        return (1 - across) / 2, (1 - down) / 2, across, down


def before_pooling(graph: bytes) -> bytes:
    """The same network from pixels of any size to the map that its pooling takes the mean of, (N, D, rows, columns)."""
    import onnx

    model = onnx.load_model_from_string(graph)
    nodes = model.graph.node
    pooled = [node for node in nodes if node.op_type in POOLING and _is_map(model, node.input[0])]
    if not pooled:
        raise BadInput("This model's network has no map of features that is pooled at its end: use a ResNet for this.")
    name = pooled[-1].input[0]
    needed, kept = {name}, []
    for node in reversed(nodes):  # ONNX keeps nodes in the order they are computed
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    used: Any = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    for field, left in ((model.graph.node, kept[::-1]), (model.graph.initializer, used), (model.graph.value_info, ())):
        del field[:]
        field.extend(left)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", "d", "h", "w"]))
    for axis, free in ((1, "height"), (2, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = free
    return bytes(model.SerializeToString())


def _is_map(model: Any, name: str) -> bool:
    """Whether a value has four dimensions: pictures, channels, rows, columns."""
    return any(v.name == name and len(v.type.tensor_type.shape.dim) == 4 for v in model.graph.value_info)


def match(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How well each cell of two maps (h, w, D) is matched by any cell of the other, as cells in 0..1.

    Channels are standardised over both maps: what every place of both has in common says nothing of where they match.
    It is the best counterpart, not the decomposition of their cosine into places (arXiv:1901.00536): with a patch
    planted into both of two pictures its strongest cell lies in the patch far more often (tests/model/test_regions.py).
    """
    both = np.concatenate([first.reshape(-1, first.shape[-1]), second.reshape(-1, second.shape[-1])])  # (P, D)
    spread = both.std(axis=0)
    standard = (both - both.mean(axis=0)) / np.maximum(spread, DEAD * max(float(spread.max()), 1e-12))
    places = first.shape[0] * first.shape[1]
    likeness = standard[:places] @ standard[places:].T  # (P of the first, P of the second)
    return cells_of(likeness.max(axis=1).reshape(first.shape[:2])), cells_of(
        likeness.max(axis=0).reshape(second.shape[:2])
    )


def for_class(found: np.ndarray, weights: np.ndarray, number: int) -> np.ndarray:
    """Cells (h, w) of a map (h, w, D) that speak for one class of a linear probe with `weights` (C, D).

    Class activation mapping (arXiv:1512.04150) by the class's weights less the mean of all: softmax sees no more.
    """
    return cells_of(found @ (weights[number] - weights.mean(axis=0)))


def cells_of(strength: np.ndarray) -> np.ndarray:
    """Strengths as 0..1: 0 is the middle one and all below it, 1 the strongest."""
    above = strength - np.median(strength)
    return np.asarray(np.clip(above / max(float(above.max()), 1e-12), 0, 1), np.float32)


def box_around(heat: Heat) -> tuple[float, float, float, float]:
    """x, y, width, height, as shares of the picture, around the connected part that holds the strongest cell."""
    fine = ndimage.zoom(heat.cells, FINE, order=1, grid_mode=True, mode="nearest")
    parts, _ = ndimage.label(fine >= BOX_FROM * fine.max())
    rows, columns = np.nonzero(parts == parts[np.unravel_index(fine.argmax(), fine.shape)])
    x, y, width, height = heat.area
    left, top = columns.min() / fine.shape[1], rows.min() / fine.shape[0]
    right, bottom = (columns.max() + 1) / fine.shape[1], (rows.max() + 1) / fine.shape[0]
    return x + left * width, y + top * height, (right - left) * width, (bottom - top) * height
