"""The report as one HTML file: pictures and curves inside it, no script, and nothing that asks for anything outside.

The curves are drawn by the template as plain SVG: what a plotting library writes carries inline styles, which the
file's own Content-Security-Policy refuses, and colours that do not follow the reader's light or dark.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

THUMBNAIL = 80  # px, longest side: 300 of them are half a megabyte
# Served with every report, whichever version wrote it; the file itself names the only style it may have.
CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)

MEASURES = {
    "probe_on_labels_kept_out": "Probe from the labels learnt from, on labels kept out",
    "found_again": "How near the top a changed picture finds itself (1: first, 0: last)",
    "recall_at_1": "A changed picture finds itself first",
    "recall_at_10": "A changed picture finds itself among the first 10",
    "folder_agreement": "Nearest pictures that lie in the same folder",
    "accuracy_from_1_label": "Probe from 1 label per class",
    "accuracy_from_5_labels": "Probe from 5 labels per class",
    "accuracy_from_20_labels": "Probe from 20 labels per class",
}
FIGURES = {
    "effective_rank": ("Effective rank", "how many directions the vectors use; more is richer"),
    "uniformity": ("Uniformity", "how evenly they cover the sphere; 0 is one point, -4 is even"),
    "spread": ("Spread", "their variance; 0 is one point, 1 is all around"),
}


def render(
    report: Mapping[str, Any],
    training: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    previews: Mapping[int, Image.Image],
    words: Mapping[int, tuple[str, str]],
) -> str:
    """The page of a report as app.report keeps it; `training` and the metrics' `lines` tell how it was trained.

    By image id: the `previews` to show, and the `words` for each, its name and its class or else its folder.
    """
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,  # file names, folders and classes are whatever a person, or a stranger, wrote
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": lambda x: f"{100 * x:.1f} %", "points": lambda x: f"{100 * x:+.1f}"}
    style = (folder / "report.css").read_text()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    curves = [
        ("Loss", curve([(line["epoch"], line["loss"]) for line in lines])),
        ("Quality", curve([(line["epoch"], line["quality"]) for line in lines if "quality" in line])),
    ]
    return environment.get_template("report.html").render(
        report=report,
        training=training,
        curves=[(name, drawn) for name, drawn in curves if drawn],
        measures=MEASURES,
        figures=FIGURES,
        pictures={i: data_uri(image) for i, image in previews.items()},
        words=words,
        style=style,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:",
    )


def data_uri(image: Image.Image) -> str:
    """A small WebP of an RGB picture, as an address that holds it."""
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    small.info = {}
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=60, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def curve(points: Sequence[tuple[float, float]], width: float = 100, height: float = 100) -> dict[str, Any] | None:
    """A line through `points` in a box, y upwards, with round ticks on both axes; None for fewer than two points."""
    points = [(x, y) for x, y in points if math.isfinite(y)]
    if len(points) < 2:
        return None
    axes = [ticks(min(values), max(values)) for values in zip(*points, strict=True)]

    def place(value: float, axis: int, length: float) -> float:
        low, high = axes[axis][0], axes[axis][-1]
        return round(length * (value - low) / (high - low), 2)

    return {
        "line": " ".join(f"{place(x, 0, width)},{height - place(y, 1, height)}" for x, y in points),
        "x": [(place(value, 0, width), f"{value:g}") for value in axes[0]],
        "y": [(height - place(value, 1, height), f"{value:g}") for value in axes[1]],
        "last": f"{points[-1][1]:.3g}",
    }


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from at most `low` to at least `high`."""
    reach = max(high - low, abs(high) * 1e-3, 1e-9)
    power = 10 ** math.floor(math.log10(reach / most))
    step = next(step for m in (1, 2, 5, 10, 20) if reach / (step := m * power) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{n * step:.10g}") for n in range(first, max(last, first + 1) + 1)]
