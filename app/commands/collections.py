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
from indexer.catalog import all_collections, collection_named, count_images, ensure_collection
from indexer.several import allow_several
from model.errors import BadInput


@in_workspace
def collections(
    terminal: Terminal,
    workspace: Workspace,
    name: Annotated[str | None, typer.Argument(help="A collection to make, or to change.")] = None,
    multi_label: Annotated[
        bool | None,
        typer.Option("--multi-label/--single-label", help="Let its pictures have several classes, or one."),
    ] = None,
) -> None:
    """The collections, their sizes and active models. With a name: make it, or change whether it is multi-label."""
    if name is None and multi_label is not None:
        raise BadInput("Say of which collection: likeness collections NAME --multi-label.")
    if name is not None:
        target = ensure_collection(workspace.engine, name)
        if multi_label is not None:
            allow_several(workspace.engine, target, multi_label)
    found = [{**asdict(c), "images": count_images(workspace.engine, c)} for c in all_collections(workspace.engine)]
    lines = [f"{c['name']}\t{c['images']:,} images\tmodel {c['active_model'] or '-'}" for c in found]
    terminal.result({"collections": found}, "\n".join(lines) or "No collections yet: likeness import PATH")


@in_workspace
def export(
    terminal: Terminal,
    workspace: Workspace,
    name: Annotated[str, typer.Argument(help="The collection's name.")],
    format_: Annotated[str, typer.Option("--format", help="csv, json, coco, folders or bundle.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="A new folder, for folders; a new file, for a bundle.")] = None,
    copies: Annotated[bool, typer.Option("--copy", help="Copy the pictures into the folders; default: link.")] = False,
    originals: Annotated[bool, typer.Option("--originals", help="A bundle with the uploaded files too.")] = False,
) -> None:
    """Every image of a collection with its class and prediction; or all of it as one file, for `likeness restore`."""
    from app import takeaway
    from app.engine import Engine
    from app.exporting import rows, to_csv

    if format_ not in ("csv", "json", "coco", "folders", "bundle"):
        raise BadInput(f"{format_!r} is not a format: use csv, json, coco, folders or bundle.")
    target = collection_named(workspace.engine, name)
    engine = Engine(workspace)
    if format_ == "folders":
        folder = out or Path(f"{name}-folders")
        counts = takeaway.write_folders(engine, target, folder, copies)
        lines = [f"{count:,}\t{folder / class_}" for class_, count in sorted(counts.items())]
        terminal.result({"path": str(folder.absolute()), "folders": counts}, "\n".join(lines))
        return
    if format_ == "bundle":
        file = out or Path(f"{name}.likeness.zip")
        size = takeaway.write_bundle(file, takeaway.bundled(engine, target, originals, terminal.progress))
        terminal.result({"path": str(file.absolute()), "bytes": size}, f"{file}: {size / 1e6:,.1f} MB")
        return
    if format_ == "coco":
        found = takeaway.coco(engine, target)
        terminal.result(found, json.dumps(found, ensure_ascii=False))
        return
    images = rows(engine, target)
    value = {"collection": name, "model": target.active_model, "multi_label": target.multi_label, "images": images}
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
