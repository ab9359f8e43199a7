"""Near-duplicates on the command line: a list to act on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from app.commands.common import CollectionOption, in_workspace
from app.terminal import Terminal
from app.workspace import Workspace
from indexer.catalog import collection_named
from indexer.duplicates import dismiss, find_pairs, group
from indexer.errors import NoIndex
from indexer.images import path_of
from indexer.index import open_index
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
    if target.active_model is None:
        raise NoIndex(f"{collection!r} has no index yet: run `likeness index --collection {collection}` first.")
    index = open_index(workspace.home.index(target.id, target.active_model))
    terminal.progress(0.0, "comparing")
    pairs = find_pairs(workspace.engine, workspace.home, index.ids, index.vectors, terminal.stop)
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
