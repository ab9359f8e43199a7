"""An int8 copy of a model: a quarter of the bytes, and at least twice the pictures a second on a CPU.

Static quantisation to QDQ form, which ONNX Runtime turns into its integer kernels: activations are uint8, in ranges
found on the collection's own pictures, weights int8 with a scale for every channel. What is chosen below was measured:
`scripts/bench int8`. Needs no torch once the float32 graph is there.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from model.encoder import graph_of
from model.info import ModelInfo, read_verified, write_model

OPERATORS = ("Conv", "Relu", "Add", "MatMul", "Gemm")  # not MaxPool: of integers it is slower than of floats
CUT = 99.999  # percentile: the few activations beyond it would make every step of the scale coarser
AT_ONCE = 16  # pictures: of each, every activation of the network is held as float32


def save_int8(folder: Path, models: Path, squares: np.ndarray, record: dict[str, Any]) -> ModelInfo:
    """Make the int8 copy of the float32 model in `folder`, and write it as a model of its own below `models`.

    `squares` (N, S, S, 3) uint8 are pictures as the encoder prepares them. The fingerprint covers the scales found on
    them; what `record` says of them stands under "int8" in the copy's `training`, beside how its float32 was trained.
    """
    info, _ = read_verified(folder)
    copy = replace(
        info,
        arithmetic="int8",
        started_from=info.fingerprint,
        training={**info.training, "int8": record},
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
    return write_model(models, copy, quantised(graph_of(folder, info), squares))


def quantised(
    graph: bytes,
    squares: np.ndarray,
    *,
    operators: tuple[str, ...] = OPERATORS,
    keep_first: bool = True,
    per_channel: bool = True,
    cut: float | None = CUT,
    seven_bits: bool = True,
) -> bytes:
    """The same graph in int8, calibrated on `squares`.

    `keep_first` leaves the layer that sees the pixels in float32; `cut` None takes the whole range of every activation.
    `seven_bits` of each weight: a processor without VNNI adds pairs of products in 16 bits, which overflow with eight.
    So all processors give the same vectors, within float32's rounding.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        create_calibrator,
        quant_pre_process,
        quantize_static,
        save_tensors_data,
    )

    method = CalibrationMethod.MinMax if cut is None else CalibrationMethod.Percentile
    with tempfile.TemporaryDirectory() as temporary, _quiet():
        place = Path(temporary)
        exact, ranges, result = place / "exact.onnx", place / "ranges.json", place / "int8.onnx"
        (place / "graph.onnx").write_bytes(graph)  # of a graph in memory it would part the weights, and not find them
        quant_pre_process(place / "graph.onnx", exact, skip_symbolic_shape=True)
        calibrator = create_calibrator(
            exact,
            operators,
            place / "looked_into.onnx",
            method,
            extra_options={} if cut is None else {"percentile": cut},
        )
        for start in range(0, len(squares), AT_ONCE):  # one reader for all would hold every activation of all of them
            calibrator.collect_data(_Pictures(squares[start : start + AT_ONCE]))
        save_tensors_data(calibrator.compute_data(), ranges)
        quantize_static(
            exact,
            result,
            None,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(operators),
            per_channel=per_channel,
            reduce_range=seven_bits,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_first_layer(onnx.load(exact)) if keep_first else [],
            calibrate_method=method,
            calibration_cache_path=ranges,
        )
        return result.read_bytes()


def _first_layer(model: Any) -> list[str]:
    """The names of the first convolution and of the rectifiers that take what it gives."""
    first = next((node for node in model.graph.node if node.op_type == "Conv"), None)
    if first is None:
        return []
    after = [node for node in model.graph.node if node.op_type == "Relu" and node.input[0] == first.output[0]]
    return [first.name, *(node.name for node in after)]


class _Pictures:
    """One batch, as the quantiser asks for it."""

    def __init__(self, squares: np.ndarray) -> None:
        self._left = [{"pixels": squares}]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self._left.pop() if self._left else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser prints what it does, and recommends what has been done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
