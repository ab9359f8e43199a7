"""The service: page, API and workers, their jobs, its health, and the demo that ends in it."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.commands.common import (
    ApiPortOption,
    HomeOption,
    JsonOption,
    PortOption,
    in_workspace,
    open_workspace,
    start,
)
from app.settings import load_settings
from app.terminal import Terminal
from app.workspace import Workspace
from model.errors import BadInput


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: PortOption = None,
    api_port: ApiPortOption = None,
    home: HomeOption = None,
) -> None:
    """Start the page, the API and the workers, and print one URL. Ctrl-C stops them."""
    _serve(open_workspace(home, host=host, port=port, api_port=api_port), Terminal(as_json=False))


def worker(
    lane: Annotated[str, typer.Option(help="pictures (import, index) or learning (training).")],
    home: HomeOption = None,
) -> None:
    """Do the jobs of one lane until stopped; `likeness serve` starts one for each."""
    from app import logs
    from app.jobs import LANES
    from app.worker import run_worker, stop_on_signals

    logs.set_up(load_settings().log)
    if lane not in LANES.values():
        raise BadInput(f"There is no lane {lane!r}: use pictures or learning.")
    run_worker(open_workspace(home), lane, stop_on_signals())


@in_workspace
def jobs(terminal: Terminal, workspace: Workspace) -> None:
    """The latest jobs of the workers."""
    from app.jobs import listed

    found, _ = listed(workspace.engine, None, None, 0, 50)
    lines = [f"{j.id}\t{j.kind} of {j.collection}\t{j.state}\t{j.progress:.0%}\t{j.error or j.message}" for j in found]
    terminal.result({"jobs": [job.public() for job in found]}, "\n".join(lines) or "No jobs yet.")


@in_workspace
def doctor(terminal: Terminal, workspace: Workspace) -> None:
    """Versions, hardware, disk, and whether catalog and indexes are sound."""
    from app.doctor import examine

    value = examine(workspace)
    lines = [f"{name}: {what}" for name, what in value.items() if name != "problems"]
    lines += [f"problem: {what}" for what in value["problems"]] or ["no problems found"]
    terminal.result(value, "\n".join(lines))
    if value["problems"]:
        raise typer.Exit(1)


@in_workspace
def backup(
    terminal: Terminal,
    workspace: Workspace,
    target: Annotated[Path, typer.Argument(help="A new or empty folder, or an earlier backup to bring up to date.")],
) -> None:
    """Copy the data folder while it is in use: catalog, labels, uploads, previews, vectors, models and indexes."""
    from importlib.metadata import version

    from indexer.backup import back_up

    if workspace.engine.dialect.name != "sqlite":
        raise BadInput("The catalog is in a database server: back that up with its own tools (pg_dump), too.")
    made = back_up(workspace.home, target, version("likeness"), terminal.progress, terminal.stop)
    terminal.result(asdict(made), f"{target}: {made.files:,} files, {made.bytes / 1e6:,.0f} MB")


def restore(
    source: Annotated[Path, typer.Argument(help="The folder that `likeness backup` made, or the file of a bundle.")],
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Of a bundle: the name to restore it under.")
    ] = None,
    home: HomeOption = None,
    json_: JsonOption = False,
) -> None:
    """Bring a backup into an empty data folder; or the collection of a bundle into any."""
    if source.is_file():
        _restore_bundle(source, collection, home, json_)
        return
    if collection is not None:
        raise BadInput("A backup is brought back whole: --collection is for a bundle's file.")
    from indexer.backup import restore as bring_back
    from indexer.home import Home

    terminal = Terminal(json_)
    terminal.watch_signals()
    root = load_settings(home=home).home
    made = bring_back(source, Home(root), terminal.progress, terminal.stop)
    open_workspace(root)  # migrates it, when a later version restores
    terminal.result(asdict(made), f"{root}: as it was at {made.created_at}")


def _restore_bundle(source: Path, collection: str | None, home: Path | None, json_: bool) -> None:
    from indexer.catalog import count_images
    from indexer.unbundle import restore_bundle

    root = load_settings(home=home).home
    fresh = not root.exists()
    terminal, workspace = start(json_, home)
    try:
        made = restore_bundle(source, workspace.engine, workspace.home, collection, terminal.progress)
    except BaseException:
        if fresh:  # nothing was there, and nothing stays
            workspace.engine.dispose()
            shutil.rmtree(root, ignore_errors=True)
        raise
    images = count_images(workspace.engine, made)
    value = {"collection": made.name, "images": images, "model": made.active_model}
    terminal.result(value, f"{made.name}: {images:,} images, model {made.active_model}")


def demo(
    folder: Annotated[Path | None, typer.Argument(help="Your own pictures instead of the demo collection.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Fetch EuroSAT, Flowers102, OxfordIIITPet or CIFAR10 instead (online).")
    ] = None,
    serve_: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve the page afterwards.")] = True,
    port: PortOption = None,
    api_port: ApiPortOption = None,
    home: HomeOption = None,
    json_: JsonOption = False,
) -> None:
    """The whole loop on the demo collection: import, pretrain, index, label, search; then serve the page."""
    from app.loop import whole_loop

    terminal, workspace = start(json_, home, port=port, api_port=api_port)
    value = whole_loop(workspace, folder, dataset, terminal)
    if json_:
        terminal.result(value, "")
    if serve_:
        _serve(workspace, terminal)


def _serve(workspace: Workspace, terminal: Terminal) -> None:
    from app.serve import serve as run

    workspace.engine.dispose()  # opened only to fail here, in a sentence, when it cannot be
    run(workspace.settings, lambda url: terminal.say(f"Likeness is at {url} (Ctrl-C stops it)"))
