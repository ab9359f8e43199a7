"""A model at work: pictures to unit vectors. ONNX Runtime on a CPU, torch on CUDA, equal within a tested tolerance.

An int8 model is a graph of ONNX Runtime's for a CPU, and runs there also where there is a GPU.
Importing this module, and encoding on a CPU once `encoder.onnx` exists, needs no torch: the API starts without it.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from model.errors import BadInput, DamagedModel
from model.images import square
from model.info import ONNX, ONNX_INFO, ModelInfo, read_verified

BATCH = 64  # pictures at once on a CPU: more is no faster and only takes memory
CUDA_BATCH = 512


class Encoder:
    """Encodes with one model. Safe to share between threads; immutable."""

    def __init__(self, info: ModelInfo, run: Callable[[np.ndarray], np.ndarray], batch: int, device: str) -> None:
        self.info, self.device = info, device
        self._run, self._batch = run, batch

    def square(self, data: bytes, source: str) -> np.ndarray:
        """The network's square (S, S, 3) uint8 of a preview's bytes: of every picture that is indexed or searched for.

        Raises CannotDecode.
        """
        return self.info.preparation.square(data, source)

    def prepare(self, image: Image.Image) -> np.ndarray:
        """The same of pixels in memory: a view of a picture, say."""
        preparation = self.info.preparation
        return square(image, preparation.image_size, preparation.fit, preparation.interpolation, preparation.crop)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Unit vectors (N, D) float32 of squares (N, S, S, 3) uint8, any N."""
        side = self.info.preparation.image_size
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3):
            raise BadInput(f"expected pixels (N, {side}, {side}, 3) uint8, got {pixels.shape} {pixels.dtype}")
        vectors = np.empty((len(pixels), self.info.dim), np.float32)
        for start in range(0, len(pixels), self._batch):
            vectors[start : start + self._batch] = self._run(pixels[start : start + self._batch])
        return vectors


def open_encoder(folder: Path, device: str = "auto", threads: int = 0) -> Encoder:
    """The encoder of the model in `folder`, on "cpu", "cuda" or the better of them ("auto"); int8 always on the CPU.

    `threads` is for the CPU; 0 means one per core. Raises DamagedModel when the folder is not exactly what was saved.
    The first opening on a CPU exports the model to ONNX, which takes some seconds.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise BadInput(f"the device is auto, cpu or cuda; {device!r} is none of them")
    info, weights = read_verified(folder)
    if info.arithmetic == "float32" and (device == "cuda" or (device == "auto" and has_cuda())):
        return _on_cuda(folder)
    return on_cpu(info, weights if info.arithmetic == "int8" else graph_of(folder, info), threads)


def on_cpu(info: ModelInfo, graph: bytes, threads: int = 0) -> Encoder:
    """The encoder that runs `graph`, from pixels to vectors, in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Waiting threads would otherwise spin and take the cores from search, page and decoding beside us.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # It would turn to integers before the first pooling, which is slower on them: a quarter of an int8 encoder's time.
    without = ["QDQPropagationTransformer"] if info.arithmetic == "int8" else None
    session = onnxruntime.InferenceSession(
        graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=without
    )
    return Encoder(info, lambda pixels: session.run(None, {"pixels": pixels})[0], BATCH, "cpu")


def graph_of(folder: Path, info: ModelInfo) -> bytes:
    """The model as ONNX, from pixels to vectors; made first where it is not there, which takes some seconds."""
    if info.arithmetic == "int8":
        return read_verified(folder)[1]
    graph = cached_graph(folder, info)
    if graph is not None:
        return graph
    if "torch" in sys.modules:
        from model.export import export_onnx

        return export_onnx(folder)
    # In a process of its own: torch and its exporter would keep a gigabyte of this one for as long as it runs.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", _EXPORT, str(folder)], env=environment, capture_output=True)
    if done.returncode != 0:
        how = f"ended by signal {-done.returncode}" if done.returncode < 0 else _last_line(done.stderr)
        raise DamagedModel(f"{folder} cannot be exported to ONNX: {how}")
    return done.stdout


_EXPORT = """
import os, sys
from pathlib import Path
result, sys.stdout = os.dup(1), sys.stderr
os.dup2(2, 1)  # whatever is printed meanwhile
from model.export import export_onnx
with open(result, "wb") as file:
    file.write(export_onnx(Path(sys.argv[1])))
"""


def _last_line(output: bytes) -> str:
    return (output.decode(errors="replace").strip().splitlines() or ["no reason was given"])[-1]


def cached_graph(folder: Path, info: ModelInfo) -> bytes | None:
    """The bytes of encoder.onnx when they are whole and belong to this model."""
    try:
        described = json.loads((folder / ONNX_INFO).read_bytes())
        graph = (folder / ONNX).read_bytes()
    except (OSError, ValueError):
        return None
    expected = {"fingerprint": info.fingerprint, "sha256": hashlib.sha256(graph).hexdigest()}
    return graph if described == expected else None


def _on_cuda(folder: Path) -> Encoder:
    import torch

    from model.checkpoint import load_model
    from model.export import PixelsToVectors

    if not torch.cuda.is_available():
        raise BadInput("there is no CUDA device that this torch can use; choose cpu or auto")
    network, info = load_model(folder)
    model: Any = PixelsToVectors(network, info).eval().cuda().to(memory_format=torch.channels_last)

    one = Lock()  # at a time: the flags below are the whole process's

    def run(pixels: np.ndarray) -> np.ndarray:
        # TF32 keeps 10 bits of each factor: too few for vectors that share a fingerprint with the CPU's.
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False)
        with one, torch.inference_mode(), exact:
            on_device = torch.from_numpy(np.ascontiguousarray(pixels)).cuda(non_blocking=True)
            return model(on_device).cpu().numpy()

    return Encoder(info, run, CUDA_BATCH, "cuda")


def has_cuda() -> bool:
    """Whether to use CUDA; without the driver's device file the two seconds of importing torch are saved."""
    if not (Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()):
        return False
    import torch

    return bool(torch.cuda.is_available())
