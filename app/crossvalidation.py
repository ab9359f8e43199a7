"""Cross-validation in a process of its own, so that the API's threads never wait for it.

The fit's many small matrices hold Python's lock most of the time: in a thread they would slow every search down.
`python -m app.crossvalidation` reads labelled vectors from its input, and writes what it found to its output.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from model.errors import LikenessError, TooFewLabels
from model.probe import Probe, Quality, assess, fit_probe
from model.quality import learning_curve, near_duplicates
from model.several import LINE, Answers, SeveralQuality, assess_several, fit_several, several_figures
from model.softmax import turned

BLAS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
MOST = 0.8  # of the labels must be of classes with two bursts, or copies, for figures that keep these together
PATIENCE = 600  # seconds; thousands of labels take a minute


class NotMeasured(LikenessError):
    """Cross-validation came to no end; the log says why. Predictions stand without it."""


@dataclass(frozen=True)
class Checked:
    """What cross-validation found out about some labels."""

    probe: Probe  # with strength and temperature chosen for them
    quality: Quality | SeveralQuality | TooFewLabels | NotMeasured
    more: dict[str, Any]  # JSON: kept_together, pretended, pretended_interval, curve


def cross_validate(vectors: np.ndarray, labels: Sequence[str] | Answers, groups: np.ndarray) -> Checked:
    """Here and now. `groups` (n,), and pictures that show the same, are kept together where most labels are of classes
    that have two.
    """
    if isinstance(labels, Answers):
        return _cross_validate_several(vectors, labels, groups)
    probe = fit_probe(vectors, labels)
    together = near_duplicates(vectors, groups)
    vectors = turned(vectors)
    more: dict[str, Any] = {"kept_together": False, "pretended": None, "pretended_interval": None, "curve": None}
    apart = together if len(set(together.tolist())) < len(labels) else None
    try:
        try:
            quality = assess(vectors, labels, groups=apart)
        except TooFewLabels:  # perhaps a class is one burst: then all that can be said is what a random split says
            quality, apart = replace(assess(vectors, labels), groups=together), None
        if apart is not None:
            # Who splits at random does not keep labels from helping to choose either.
            random = assess(vectors, labels, strength=probe.strength)
            if quality.labels < MOST * random.labels:  # classes of one burst hold too much to leave them out
                quality, apart = replace(assess(vectors, labels), groups=together), None
            else:
                random = random.only(quality.judged)
                more |= {"kept_together": True, "pretended": random.accuracy, "pretended_interval": random.interval}
    except TooFewLabels as error:
        return Checked(probe, error, more)
    return Checked(probe, quality, more | {"curve": learning_curve(vectors, labels, probe.choice, apart)})


def _cross_validate_several(vectors: np.ndarray, answers: Answers, groups: np.ndarray) -> Checked:
    probe = fit_several(vectors, answers)
    together = near_duplicates(vectors, groups)
    vectors = turned(vectors)
    copies = len(set(together.tolist())) < len(answers)
    more: dict[str, Any] = {"kept_together": copies, "pretended": None, "pretended_interval": None, "curve": None}
    try:
        quality = assess_several(vectors, answers, together if copies else None)
        if copies:
            pretended = several_figures(assess_several(vectors, answers), np.full(len(answers.classes), LINE))
            more |= {"pretended": pretended["accuracy"], "pretended_interval": pretended["interval"]}
    except TooFewLabels as error:
        return Checked(probe, error, more)
    return Checked(probe, quality, more)


def cross_validate_apart(vectors: np.ndarray, labels: Sequence[str] | Answers, groups: np.ndarray) -> Checked:
    """The same, by another process that gives way to everything else. Raises OSError when it came to no end."""
    asked = io.BytesIO()
    if isinstance(labels, Answers):
        said = {"classes": np.array(labels.classes, dtype=str), "given": labels.given}
    else:
        said = {"labels": np.array(labels)}
    np.savez(asked, allow_pickle=False, vectors=vectors, groups=groups, **said)
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
        facts = json.loads(found["facts"].tobytes())
        quality: Quality | SeveralQuality | TooFewLabels
        if "lacking" in facts:
            quality = TooFewLabels(facts["lacking"])
        elif isinstance(labels, Answers):
            quality = SeveralQuality(
                labels.classes, labels.given, found["unseen"], facts["folds"], facts["each_lacks"], found["groups"]
            )
        else:
            y = np.searchsorted(probe.classes, labels)
            quality = Quality(probe.classes, y, found["unseen"], found["groups"], facts["folds"], facts["each_lacks"])
    return Checked(probe, quality, facts["more"])


def main() -> None:
    os.nice(5)  # gives way to searches, and is not starved by a training beside it
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as asked:
        labels: list[str] | Answers
        if "given" in asked:
            labels = Answers(tuple(asked["classes"].tolist()), asked["given"])
        else:
            labels = asked["labels"].tolist()
        checked = cross_validate(asked["vectors"], labels, asked["groups"])
    quality, facts = checked.quality, dict[str, Any](more=checked.more)
    found = {"probe": np.frombuffer(checked.probe.to_bytes(), np.uint8)}
    if isinstance(quality, LikenessError):
        facts["lacking"] = str(quality)
    else:
        facts |= {"folds": quality.folds, "each_lacks": quality.lacking}
        found |= {"unseen": quality.unseen, "groups": quality.groups}
    found["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    answer = io.BytesIO()
    np.savez(answer, allow_pickle=False, **found)
    sys.stdout.buffer.write(answer.getvalue())


if __name__ == "__main__":
    main()
