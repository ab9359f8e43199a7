"""Collections: which there are, and taking one away."""

from __future__ import annotations

import json
from dataclasses import asdict
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
    format_: Annotated[str, typer.Option("--format", help="csv or json.")] = "csv",
) -> None:
    """Every image of a collection with its class and prediction."""
    from app.engine import Engine
    from app.exporting import rows, to_csv

    target = collection_named(workspace.engine, name)
    found = rows(Engine(workspace), target)
    value = {"collection": name, "model": target.active_model, "images": found}
    if format_ not in ("csv", "json"):
        raise BadInput(f"{format_!r} is not a format: use csv or json.")
    terminal.result(value, to_csv(found) if format_ == "csv" else json.dumps(value, ensure_ascii=False))
