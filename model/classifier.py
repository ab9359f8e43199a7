"""A classifier for use elsewhere: encoder and probe as one ONNX graph, pixels to probabilities; and as safetensors.

The graph is the encoder's own with three nodes after it, so it says what Likeness says. Never a pickle.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from model.encoder import graph_of
from model.errors import BadInput
from model.info import ModelInfo, read_info
from model.probe import Probe
from model.several import LINE

GRAPH, WEIGHTS, FACTS, README = "classifier.onnx", "probe.safetensors", "classifier.json", "README.md"


def export_classifier(folder: Path, probe: Probe, name: str, lines: np.ndarray | None = None) -> dict[str, bytes]:
    """The files of a classifier of the model in `folder`, by file name; the README calls their folder `name`.

    Where pictures may have several classes, each is predicted from its probability in `lines` (C,) on.
    """
    from safetensors.numpy import save

    info = read_info(folder)
    if probe.weights.shape[1] != info.dim:
        raise BadInput(
            f"this probe reads {probe.weights.shape[1]} numbers and the model gives {info.dim}; fit it again"
        )
    facts = {"classes": probe.classes, "model": info.fingerprint, "strength": probe.strength, "dim": info.dim,
             "multi_label": probe.several, **asdict(info.preparation)}  # fmt: skip
    if probe.several:
        facts["strength"] = [choice.strength for choice in probe.choices]
        facts["lines"] = np.full(len(probe.classes), LINE).tolist() if lines is None else np.round(lines, 4).tolist()
    return {
        GRAPH: pixels_to_probabilities(graph_of(folder, info), probe),
        WEIGHTS: save({"weights": np.ascontiguousarray(probe.weights), "bias": np.ascontiguousarray(probe.bias)}),
        FACTS: (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode(),
        README: _readme(info, name, probe.several).encode(),
    }


def pixels_to_probabilities(graph: bytes, probe: Probe) -> bytes:
    """The encoder's ONNX `graph` (pixels to vectors), with the probe behind it: outputs probabilities and vectors."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(graph)
    vectors = model.graph.output[0].name
    model.graph.initializer.extend([
        numpy_helper.from_array(np.ascontiguousarray(probe.weights.T), "probe_weights"),
        numpy_helper.from_array(np.ascontiguousarray(probe.bias), "probe_bias"),
    ])  # fmt: skip
    model.graph.node.extend([
        helper.make_node("MatMul", [vectors, "probe_weights"], ["probe_products"]),
        helper.make_node("Add", ["probe_products", "probe_bias"], ["probe_logits"]),
        helper.make_node("Sigmoid", ["probe_logits"], ["probabilities"]) if probe.several else
        helper.make_node("Softmax", ["probe_logits"], ["probabilities"], axis=1),
    ])  # fmt: skip
    shape = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(probe.classes)])
    model.graph.output.insert(0, shape)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _readme(info: ModelInfo, name: str, several: bool) -> str:
    preparation = info.preparation
    side = preparation.image_size
    seen = "the middle square" if preparation.fit == "centre" else "all of the picture, squeezed into a square"
    part = "" if preparation.crop == 1 else f", the middle {preparation.crop:.1%} of its sides"
    formula, said = "softmax(vectors @ weights.T + bias)", "print(classes[probabilities[0].argmax()])"
    read = f'classes = json.load(open("{name}/{FACTS}"))["classes"]'
    if several:  # a picture has every class that is above its line
        formula = "1 / (1 + exp(-(vectors @ weights.T + bias))), a probability for each class by itself"
        said = 'print([c for c, p, line in zip(facts["classes"], probabilities[0], facts["lines"]) if p >= line])'
        read = f'facts = json.load(open("{name}/{FACTS}"))'
    return f"""# A classifier from Likeness

Encoder {info.fingerprint} ({info.backbone}) and the probe fitted from the labels, in one graph. In the folder above:

```python
import json
import numpy
import onnxruntime

{read}
session = onnxruntime.InferenceSession("{name}/{GRAPH}")
pixels = numpy.zeros((1, {side}, {side}, 3), numpy.uint8)  # your pictures
[probabilities] = session.run(["probabilities"], {{"pixels": pixels}})  # (N, classes)
{said}
```

It expects RGB pictures of {side}x{side} pixels: {seen}{part}, scaled with antialiasing ({preparation.interpolation}),
as uint8; normalising is inside the graph. `{WEIGHTS}` holds the probe alone, for vectors of the same encoder:
{formula}. `{FACTS}` holds all these facts for programs.
"""
