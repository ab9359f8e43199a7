"""How every benchmark reports: rows with a value beside its baseline, as a table or one JSON document."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One figure. `ratio` is value over baseline; `met` is empty without a target."""

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


def report(name: str, baseline: str, rows: list[Row], as_json: bool) -> None:
    """Print the rows; `baseline` says in words what stands in the column of that name."""
    date = datetime.now(UTC).date().isoformat()
    if as_json:
        rows_json = [asdict(each) for each in rows]
        print(json.dumps({"name": name, "hardware": hardware(), "date": date, "rows": rows_json}))
        return
    print(f"{name}, {date}, {hardware()}\nbaseline: {baseline}\n")
    print(f"| {'metric':56} | {'value':>9} | {'unit':8} | {'baseline':>9} | {'ratio':>6} |")
    print(f"|{'-' * 58}|{'-' * 11}|{'-' * 10}|{'-' * 11}|{'-' * 8}|")
    for each in rows:
        cells = [_number(each.value), each.unit, _number(each.baseline), _number(each.ratio)]
        print(f"| {each.metric:56} | {cells[0]:>9} | {cells[1]:8} | {cells[2]:>9} | {cells[3]:>6} |")


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
