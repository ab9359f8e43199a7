"""How every benchmark reports: rows with a value beside its baseline, as a table or one JSON document."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NOT_MEASURED = "not measured"  # a status; a reason may follow after a colon
QUICK = "quick"  # a status: a figure of a short run shows that it runs, not how well, so no target is judged


@dataclass(frozen=True)
class Row:
    """One figure. `ratio` is value over baseline; `met` is empty without a target, or without a value to judge."""

    metric: str
    value: float | None
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    status: str = "measured"


def row(metric: str, value: float, unit: str, baseline: float | None = None) -> Row:
    ratio = round(value / baseline, 2) if baseline else None
    return Row(metric, round(value, 4), unit, None if baseline is None else round(baseline, 4), ratio)


def missing(metric: str, unit: str, why: str = "") -> Row:
    """A row for what could not be measured here, so that no one takes its absence for a success."""
    return Row(metric, None, unit, status=f"{NOT_MEASURED}: {why}" if why else NOT_MEASURED)


def aim(
    each: Row, at_least: float | None = None, at_most: float | None = None, ratio_at_least: float | None = None
) -> Row:
    """`each` with its target: bounds of the value, of its ratio to the baseline, or of both. None is no bound."""
    bounds = []
    if at_least is not None:
        bounds.append((f"≥ {at_least:,g}", None if each.value is None else each.value >= at_least))
    if at_most is not None:
        bounds.append((f"≤ {at_most:,g}", None if each.value is None else each.value <= at_most))
    if ratio_at_least is not None:
        exact = each.value / each.baseline if each.value is not None and each.baseline else None
        bounds.append((f"ratio ≥ {ratio_at_least:g}", None if exact is None else exact >= ratio_at_least))
    judged = [met for _, met in bounds]
    met = None if not bounds or None in judged else all(judged)
    return replace(each, target=" and ".join(text for text, _ in bounds), met=met)


def quick(rows: Sequence[Row]) -> list[Row]:
    """The same rows of a run too short to judge by."""
    return [each if each.status.startswith(NOT_MEASURED) else replace(each, met=None, status=QUICK) for each in rows]


def document(name: str, rows: Sequence[Row], notes: Sequence[str] = ()) -> dict[str, Any]:
    """What --json prints."""
    said = {"notes": list(notes)} if notes else {}
    date = datetime.now(UTC).date().isoformat()
    return {"name": name, "hardware": hardware(), "date": date, **said, "rows": [asdict(each) for each in rows]}


def report(name: str, baseline: str, rows: Sequence[Row], as_json: bool, notes: Sequence[str] = ()) -> None:
    """Print the rows; `baseline` says in words what stands in the column of that name, `notes` what else to know."""
    whole = document(name, rows, notes)
    if as_json:
        print(json.dumps(whole))
        return
    print(f"{name}, {whole['date']}, {whole['hardware']}\nbaseline: {baseline}")
    print(*notes, sep="\n", end="\n\n" if notes else "\n")
    columns = [("metric", 56), ("value", -9), ("unit", 8), ("baseline", -9), ("ratio", -6)]
    if any(each.target or each.status != "measured" for each in rows):
        columns += [("target", 28), ("met", 3), ("status", 24)]
    print(_line([heading for heading, _ in columns], columns))
    print("|" + "|".join("-" * (abs(width) + 2) for _, width in columns) + "|")
    for each in rows:
        met = {None: "", True: "yes", False: "no"}[each.met]
        numbers = (_number(each.value), _number(each.baseline), _number(each.ratio))
        cells = [each.metric, numbers[0], each.unit, *numbers[1:], each.target, met, each.status]
        print(_line(cells[: len(columns)], columns))


def _line(cells: Sequence[str], columns: Sequence[tuple[str, int]]) -> str:
    """One line of the table; a column of negative width is aligned to the right."""
    padded = [
        cell.ljust(width) if width > 0 else cell.rjust(-width) for cell, (_, width) in zip(cells, columns, strict=True)
    ]
    return f"| {' | '.join(padded)} |"


def hardware() -> str:
    """The processor's name, its cores, and the GPU's name when torch sees one."""
    model = platform.processor() or platform.machine()
    if (file := Path("/proc/cpuinfo")).exists():
        names = [line.split(":", 1)[1].strip() for line in file.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{os.cpu_count()} cores of {model}{gpu}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
