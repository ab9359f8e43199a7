"""Collections: which there are, and taking one away."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.commands.common import in_workspace
from app.terminal import Terminal
from app.workspace import Workspace
from indexer.catalog import all_collections, collection_named, count_images
from model.errors import BadInput


@in_workspace
def collections(terminal: Terminal, workspace: Workspace) -> None:
    """The collections, their sizes and active models."""
    found = [{**asdict(c), "images": count_images(workspace.engine, c)} for c in all_collections(workspace.engine)]
    lines = [f"{c['name']}\t{c['images']:,} images\tmodel {c['active_model'] or '-'}" for c in found]
    terminal.result({"collections": found}, "\n".join(lines) or "No collections yet: likeness import PATH")


@in_workspace
def export(
    terminal: Terminal,
    workspace: Workspace,
    name: Annotated[str, typer.Argument(help="The collection's name.")],
    format_: Annotated[str, typer.Option("--format", help="csv, json, coco or folders.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="A new folder, for folders.")] = None,
    copies: Annotated[bool, typer.Option("--copy", help="Copy the pictures into the folders; default: link.")] = False,
) -> None:
    """Every image of a collection with its class and prediction."""
    from app import takeaway
    from app.engine import Engine
    from app.exporting import rows, to_csv

    if format_ not in ("csv", "json", "coco", "folders"):
        raise BadInput(f"{format_!r} is not a format: use csv, json, coco or folders.")
    target = collection_named(workspace.engine, name)
    engine = Engine(workspace)
    if format_ == "folders":
        folder = out or Path(f"{name}-folders")
        counts = takeaway.write_folders(engine, target, folder, copies)
        lines = [f"{count:,}\t{folder / class_}" for class_, count in sorted(counts.items())]
        terminal.result({"path": str(folder.absolute()), "folders": counts}, "\n".join(lines))
        return
    if format_ == "coco":
        found = takeaway.coco(engine, target)
        terminal.result(found, json.dumps(found, ensure_ascii=False))
        return
    images = rows(engine, target)
    value = {"collection": name, "model": target.active_model, "images": images}
    terminal.result(value, to_csv(images) if format_ == "csv" else json.dumps(value, ensure_ascii=False))


@in_workspace
def export_classifier(
    terminal: Terminal,
    workspace: Workspace,
    name: Annotated[str, typer.Argument(help="The collection's name.")],
    out: Annotated[Path | None, typer.Option(help="A new folder; default: named after the collection.")] = None,
) -> None:
    """The collection's classifier as one ONNX graph, pixels to probabilities, and as safetensors with JSON."""
    from app import takeaway
    from app.engine import Engine
    from model.elsewhere import write_export

    target = collection_named(workspace.engine, name)
    folder = out or Path(f"{name}-classifier")
    files = takeaway.classifier(Engine(workspace), target, folder.name)
    write_export(files, folder)
    value = {"model": target.active_model, "path": str(folder.absolute()), "files": sorted(files)}
    terminal.result(value, f"{folder}: {', '.join(sorted(files))}\nREADME.md says how to run it.")
