"""The 34 promises, which tests keep each of them, and the page that says so (`docs/promises.md`).

A test keeps a promise by the marker `@pytest.mark.promise(NUMBER)`. What it counts on the way (kills survived, files
tried, requests sent) it says through pytest's `record_property`; `scripts/promises` runs them all and keeps the sums.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE, FIGURES, SOAK = (ROOT / "docs" / name for name in ("promises.md", "promises.json", "soak.json"))

PROMISES = {
    1: "Files in your folders are never modified, moved or deleted",
    2: "kill -9 while importing or embedding loses no committed batch and repeats none",
    3: "kill -9 while publishing an index leaves the old one or the new one",
    4: "kill -9 while training resumes from the last checkpoint",
    5: "kill -9 while saving a checkpoint leaves the previous one loadable",
    6: "A label that was answered with success survives kill -9",
    7: "A full disk is said, with path and free space; nothing is lost, and it works once there is space",
    8: "A damaged index is never served; made again it gives identical results",
    9: "A damaged catalog is reported, not overwritten",
    10: "A damaged or foreign model is refused without executing it",
    11: "Two jobs of one kind on one collection cannot interleave; labelling is never locked out",
    12: "A missing folder or an empty scan never empties the catalog",
    13: "A moved or renamed file keeps its vector and labels",
    14: "Changed content is a new image; a tag written into the same pixels is not",
    15: "Vectors of different models never mix",
    16: "Of 1,000 odd files every good one comes in, and every bad one is listed once with its reason",
    17: "Time and memory for a picture are bounded",
    18: "Names cannot hurt: not UTF-8, line breaks, 255 bytes, `..`, right-to-left, emoji",
    19: "Links, loops, pipes, sockets, unreadable and vanishing files are skipped with a reason and never block",
    20: "A crash inside a decoder does not stop the run",
    21: "A body over the limit, declared or chunked, is 413, and the handler is not run",
    22: "What is not a picture, is cut off, or is two things at once, is 422, without a path or a traceback",
    23: "Too many parts, huge headers and deformed boundaries are 4xx at once, and the next request is fine",
    24: "Whatever a parameter holds, the answer is no 500, and 503 or 507 only where something is wrong outside",
    25: "A hostile zip is refused or bounded, by what it says and by what it holds; nothing leaves the store",
    26: "Overload: some are served, the rest told to come back; memory is bounded, and health is always answered",
    27: "Slow and vanishing clients hold nothing",
    28: "A search while the index is replaced answers the old list or the new one",
    29: "A foreign web page cannot use it",
    30: "A key, where one is set, guards everything but health, the page included",
    31: "Pictures are served inert: as images, re-encoded, without EXIF and GPS",
    32: "Errors reveal nothing; the log has the rest",
    33: "Start is honest, and stopping finishes the requests that run",
    34: "Yesterday's data opens today, and a newer version's is refused and left as it is",
}


@cache
def kept_by() -> dict[int, list[str]]:
    """Promise → the tests that keep it, as `file::name`. Read from the source: nothing is imported or run."""
    found: dict[int, list[str]] = {number: [] for number in PROMISES}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for test, numbers in _marked(ast.parse(file.read_text())):
            for number in numbers:
                found[number].append(f"{file.relative_to(ROOT)}::{test}")
    return found


def _marked(tree: ast.Module) -> Iterator[tuple[str, list[int]]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            calls = [each for each in node.decorator_list if isinstance(each, ast.Call)]
            marks = [each for each in calls if ast.unparse(each.func) == "pytest.mark.promise"]
            if marks:
                yield node.name, [ast.literal_eval(argument) for mark in marks for argument in mark.args]


def page() -> str:
    """What docs/promises.md must hold: the tests as they are now, and the figures that were kept last."""
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {"date": "never", "promises": {}}
    rows = []
    for number, tests in kept_by().items():
        files = {name.partition("::")[0]: 0 for name in tests}
        for name in tests:
            files[name.partition("::")[0]] += 1
        where = "<br>".join(f"[{path.removeprefix('tests/')}](../{path}) ({n})" for path, n in files.items())
        last = figures["promises"].get(str(number), {})
        said = ", ".join(f"{value:,} {what}" for what, value in last.items())
        rows.append(f"| {number} | {PROMISES[number]} | {where} | {said} |")
    table = "\n".join(rows)
    return f"""# What is promised, and which tests keep it

Made by `scripts/promises` from the tests themselves (`@pytest.mark.promise(N)`); a test fails where this page is not
what they say. `scripts/test -m promise` runs them all; the figures are those of the last `scripts/promises --run`
({figures["date"]}): each is counted by a test while it runs, over all its cases.

| | promise | tests | last run |
|---|---|---|---|
{table}

{_soak()}"""


def _soak() -> str:
    head = """## Hours instead of seconds

`scripts/soak --minutes N` kills children that import, index, label and train at random moments, compares what is left
with what they had said, and feeds mutated pictures to the decoders until its time is up. Without a failure in *n*
tries, the chance of one is below 3/*n* with 95 % confidence (the rule of three).
"""
    if not SOAK.exists():
        return head
    last: dict[str, Any] = json.loads(SOAK.read_text())
    rows = "\n".join(
        f"| {row['what']} | {row['tries']:,} | {row['failures']:,} | {row['bound']} |" for row in last["rows"]
    )
    return f"""{head}
The last one: {last["date"]}, {last["minutes"]:g} minutes, {last["hardware"]}, seed {last["seed"]}.

| what | tries | failures | chance of one, at most |
|---|---|---|---|
{rows}

{" ".join(last["notes"])}
"""
