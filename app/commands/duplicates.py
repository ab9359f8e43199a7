"""Near-duplicates on the command line: a list to act on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from app.commands.common import CollectionOption, in_workspace
from app.duplicates import look_for_duplicates
from app.terminal import Terminal
from app.workspace import Workspace
from indexer.catalog import collection_named
from indexer.duplicates import dismiss, group
from indexer.images import path_of
from indexer.sources import readable


@in_workspace
def duplicates(
    terminal: Terminal,
    workspace: Workspace,
    not_duplicates: Annotated[
        list[int] | None, typer.Option("--not", help="Ids that are no duplicates of one another: give two or more.")
    ] = None,
    collection: CollectionOption = "photos",
) -> None:
    """Pictures that show the same shot, in groups, the best to keep first. Your files are never deleted."""
    target = collection_named(workspace.engine, collection)
    if not_duplicates:
        count = dismiss(workspace.engine, target, not_duplicates)
        terminal.result({"dismissed": count}, f"{count:,} pairs are remembered as distinct")
        return
    pairs = look_for_duplicates(workspace, target, terminal.progress, terminal.stop).pairs
    groups: list[list[dict[str, Any]]] = []
    for members in group(workspace.engine, target, pairs):
        rows = []
        for image in members:
            path = path_of(workspace.engine, image)
            shown = readable(path) if path is not None else f"{image.folder}/{image.name}".lstrip("/")
            rows.append({"id": image.id, "path": shown, "width": image.width, "height": image.height})
        groups.append(rows)
    lines = []
    for rows in groups:
        lines += [
            f"{'keep ' if place == 0 else '     '}{row['id']:>8}  {row['width']}x{row['height']}  {row['path']}"
            for place, row in enumerate(rows)
        ]
        lines.append("")
    text = "\n".join([*lines, f"{len(groups):,} groups. Nothing was deleted."])
    terminal.result({"groups": groups, "collection": collection}, text)
