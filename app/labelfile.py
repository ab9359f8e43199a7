"""Labels from a CSV: rows path,class, or the columns of those names under a header, as the export writes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from indexer.catalog import Collection
from indexer.images import find_by_path
from indexer.labels import label_each
from model.errors import BadInput

Row = tuple[str, str]  # path, class


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
            given = path and class_name
        else:
            cells = dict(zip(columns, row, strict=False))
            path, class_name = cells.get("path", "").strip(), cells.get("class", "").strip()
            path = path or "/".join(filter(None, (cells.get("folder", ""), cells.get("name", ""))))
            if len(row) == len(columns) and not class_name:
                continue
            given = path and class_name
        if not given:
            raise BadInput(f"{name}, row {number}: expected path,class and found {','.join(row)[:200]!r}.")
        found.append((path, class_name))
    if not found:
        raise BadInput(f"{name} gives no picture a class: write rows path,class.")
    return found


def give(engine: Engine, collection: Collection, rows: Sequence[Row], source: str, by: str | None) -> Given:
    """Give every picture its class as one action. Raises BadInput where none is known, or one has two classes."""
    ids = find_by_path(engine, collection, [path for path, _ in rows])
    unknown = [path for path, _ in rows if path not in ids]
    if len(unknown) == len(rows):
        raise BadInput(f"None of the pictures is in {collection.name!r} ({unknown[0]}, ...): import them first.")
    wanted: dict[int, str] = {}
    for path, class_name in rows:
        if path in ids and wanted.setdefault(ids[path], class_name) != class_name:
            raise BadInput(f"{path} is given both {wanted[ids[path]]!r} and {class_name!r}: leave one of the two.")
    change = label_each(engine, collection, wanted, source, by=by)
    return Given(change.changed, change.action, unknown)
