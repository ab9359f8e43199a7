"""Labels from a CSV: rows path,class, or the columns of those names under a header, as the export writes them.

Where pictures may have several classes, a picture has several rows, and a column `answer` says yes, no or unsure.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Engine

from indexer.catalog import Collection
from indexer.classes import OWN_ANSWERS
from indexer.images import find_by_path
from indexer.labels import ANSWERS, Answer, answer_each
from model.errors import BadInput

Row = tuple[str, str, Answer]  # path, class, what is said of it


@dataclass(frozen=True)
class Given:
    """What a file of labels did."""

    changed: int
    action: int
    unknown: list[str]  # paths that are not in the collection


def parse(data: bytes, name: str) -> list[Row]:
    """The rows of a CSV in UTF-8. Under a header, a row without a class says nothing and is left out.

    Where the export has no path, for an upload has no file, its folder and name are one. Raises BadInput.
    """
    try:
        text = data.decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{name} cannot be read as CSV ({error}): write rows path,class in UTF-8.") from error
    columns = [cell.strip().lower() for cell in rows[0]] if rows else []
    has_header = "path" in columns and "class" in columns
    found: list[Row] = []
    for number, row in enumerate(rows[has_header:], 1):
        if not has_header:
            path, class_name = (row[0].strip(), row[1].strip()) if len(row) > 1 else ("", "")
            given, answer = path and class_name, "yes"
        else:
            cells = dict(zip(columns, row, strict=False))
            path, class_name = cells.get("path", "").strip(), cells.get("class", "").strip()
            path = path or "/".join(filter(None, (cells.get("folder", ""), cells.get("name", ""))))
            if len(row) == len(columns) and not class_name:
                continue
            given, answer = path and class_name, cells.get("answer", "").strip() or "yes"
        if answer not in ANSWERS:
            raise BadInput(f"{name}, row {number}: {answer[:50]!r} is no answer: write yes, no, unsure or none.")
        if not given:
            raise BadInput(f"{name}, row {number}: expected path,class and found {','.join(row)[:200]!r}.")
        found.append((path, class_name, cast(Answer, answer)))
    if not found:
        raise BadInput(f"{name} gives no picture a class: write rows path,class.")
    return found


def give(engine: Engine, collection: Collection, rows: Sequence[Row], source: str, by: str | None) -> Given:
    """Give every picture its class as one action. Raises BadInput where none is known, or one has two classes."""
    ids = find_by_path(engine, collection, list(dict.fromkeys(path for path, *_ in rows)))
    unknown = list(dict.fromkeys(path for path, *_ in rows if path not in ids))
    if not ids:
        raise BadInput(f"None of the pictures is in {collection.name!r} ({unknown[0]}, ...): import them first.")
    wanted: dict[int, dict[str, Answer]] = {}
    for path, class_name, answer in rows:
        if path in ids:
            given = wanted.setdefault(ids[path], {})
            if given.setdefault(class_name, answer) != answer:
                raise BadInput(f"{path} is said both {given[class_name]} and {answer} of {class_name!r}: leave one.")
            yes = [name for name, said in given.items() if said == "yes"]
            own = set(yes) & set(OWN_ANSWERS.values())
            if len(yes) > 1 and (own or not collection.multi_label):
                raise BadInput(f"{path} is given both {yes[0]!r} and {yes[1]!r}: leave one of the two.")
    change = answer_each(engine, collection, wanted, source, by)
    return Given(change.changed, change.action, unknown)
