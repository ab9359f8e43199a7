"""Why a hit is alike and a prediction is made: which regions of the pictures match, or speak for the class."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from app.workspace import Workspace, float32_of
from model.encoder import graph_of
from model.images import decode
from model.info import read_info, read_verified
from model.probe import Probe
from model.regions import Heat, Regions, box_around, for_class, match


class Why:
    """Heat maps by the model that was asked last, for any number of threads."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._held: tuple[str, Regions] | None = None
        self._opening = threading.Lock()

    def alike(self, fingerprint: str, first: bytes, second: bytes) -> tuple[Heat, Heat]:
        """Which regions of two previews match."""
        regions, pictures = self._regions(fingerprint), [decode(first, "preview"), decode(second, "preview")]
        cells = match(*regions.maps(pictures))
        return Heat(cells[0], regions.area(*pictures[0].size)), Heat(cells[1], regions.area(*pictures[1].size))

    def of_class(self, fingerprint: str, preview: bytes, probe: Probe, name: str) -> Heat:
        """Which regions of a preview speak for one of the probe's classes."""
        regions, picture = self._regions(fingerprint), decode(preview, "preview")
        (found,) = regions.maps([picture])
        weights, number = probe.weights, probe.classes.index(name)
        if probe.several:  # a class is told from pictures without it, and not from the other classes
            weights, number = np.stack([weights[number], -weights[number]]), 0
        return Heat(for_class(found, weights, number), regions.area(*picture.size))

    def _regions(self, fingerprint: str) -> Regions:
        with self._opening:
            if self._held is None or self._held[0] != fingerprint:
                home = self.workspace.home
                # What an int8 copy sees is what the model it was made from sees, and that one can be cut open.
                folder = home.model(float32_of(home, read_info(home.model(fingerprint))).fingerprint)
                info, _ = read_verified(folder)
                self._held = fingerprint, Regions(graph_of(folder, info), info.preparation)
            return self._held[1]


def heat_json(heat: Heat) -> dict[str, Any]:
    """Rows of cells from the top, and the part of the picture that they cover."""
    rows, columns = heat.cells.shape
    cells = np.round(heat.cells.astype(float), 3).tolist()
    return {"rows": rows, "columns": columns, "cells": cells, "area": [round(side, 4) for side in heat.area]}


def box_json(heat: Heat) -> list[float]:
    return [round(side, 4) for side in box_around(heat)]


def share_of(heat: Heat) -> float:
    """How much of the picture's heat its brightest fifth holds: 0.2 if it were everywhere the same, 1 at most."""
    cells = np.sort(heat.cells.ravel())[::-1]
    return float(cells[: max(1, len(cells) // 5)].sum() / max(float(cells.sum()), 1e-12))
