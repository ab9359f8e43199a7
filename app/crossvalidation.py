"""Cross-validation in a process of its own, so that the API's threads never wait for it.

The fit's many small matrices hold Python's lock most of the time: in a thread they would slow every search down.
`python -m app.crossvalidation` reads labelled vectors from its input, and writes what it found to its output.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from model.errors import TooFewLabels
from model.probe import Probe, Quality, assess, fit_probe

BLAS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
PATIENCE = 600  # seconds; thousands of labels take a minute


def cross_validate(vectors: np.ndarray, labels: Sequence[str]) -> tuple[Probe, Quality | TooFewLabels]:
    """A probe with strength and temperature chosen for these labels, and its quality; both here and now."""
    probe = fit_probe(vectors, labels)
    try:
        return probe, assess(vectors, labels)
    except TooFewLabels as error:
        return probe, error


def cross_validate_apart(vectors: np.ndarray, labels: Sequence[str]) -> tuple[Probe, Quality | TooFewLabels]:
    """The same, by another process that gives way to everything else. Raises OSError when it came to no end."""
    asked = io.BytesIO()
    np.savez(asked, vectors=vectors, labels=np.array(labels))
    environment = {**os.environ, **BLAS, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "app.crossvalidation"],
            input=asked.getvalue(), capture_output=True, env=environment, timeout=PATIENCE, check=True,
        )  # fmt: skip
    except subprocess.SubprocessError as error:
        raise OSError(f"cross-validation failed ({error})") from error
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as found:
        probe = Probe.from_bytes(found["probe"].tobytes())
        if "lacking" in found:
            return probe, TooFewLabels(str(found["lacking"]))
        low, high, accuracy = found["figures"].tolist()
        arrays = {"confusion": found["confusion"], "unseen": found["unseen"]}
        quality = Quality(len(labels), accuracy, (low, high), probe.classes, folds=int(found["folds"]), **arrays)
        return probe, quality


def main() -> None:
    os.nice(10)
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as asked:
        probe, quality = cross_validate(asked["vectors"], asked["labels"].tolist())
    found: dict[str, Any] = {"probe": np.frombuffer(probe.to_bytes(), np.uint8)}
    if isinstance(quality, TooFewLabels):
        found["lacking"] = np.array(str(quality))
    else:
        found["figures"] = np.array([*quality.interval, quality.accuracy])
        found |= {"confusion": quality.confusion, "unseen": quality.unseen, "folds": np.array(quality.folds)}
    answer = io.BytesIO()
    np.savez(answer, **found)
    sys.stdout.buffer.write(answer.getvalue())


if __name__ == "__main__":
    main()
