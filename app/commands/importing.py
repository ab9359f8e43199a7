"""Bringing pictures in: once, as a dry run, or for as long as a folder is watched."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from app.commands.common import CollectionOption, in_workspace
from app.terminal import Terminal
from app.watching import RESCAN, RETRY, Changes
from app.workspace import Workspace
from indexer.catalog import collection_named, ensure_collection
from indexer.errors import Busy, NoSuchCollection
from indexer.parts import LARGEST_TILE, Cutting
from indexer.plan import make_plan
from indexer.removal import sweep
from indexer.sources import readable, scan
from model.errors import BadInput
from model.progress import said


@dataclass(frozen=True)
class _Asked:
    """What one import is asked to do."""

    paths: Sequence[Path]
    collection: str
    labels_from_folders: bool
    exclude: Sequence[str]
    allow_empty: bool
    cutting: Cutting
    retry: bool


@in_workspace
def import_(
    terminal: Terminal,
    workspace: Workspace,
    paths: Annotated[list[Path], typer.Argument(help="Folders, files or zips; they are only ever read.")],
    collection: CollectionOption = "photos",
    labels_from_folders: Annotated[
        bool, typer.Option("--labels-from-folders", help="Take each folder's name as the class of its pictures.")
    ] = False,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Pass over what fits: '*.psd', 'raw', '2019/*'. May be repeated.")
    ] = None,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Accept a folder that holds nothing any more; mark what is missing.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Open again what was refused, though it has not changed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and bring in what changes, until Ctrl-C.")] = False,
    tile: Annotated[
        int,
        typer.Option(
            min=0, max=LARGEST_TILE, help="Cut pictures into squares of so many px, each an image of its own."
        ),
    ] = 0,
    pages: Annotated[
        Literal["first", "all"], typer.Option(help="Of a TIFF with several pages: the first, or each as an image.")
    ] = "first",
) -> None:
    """Bring pictures into a collection. Running it again adds nothing; stopped, it goes on where it was."""
    asked = _Asked(
        paths, collection, labels_from_folders, exclude or [], allow_empty, Cutting(tile, pages == "all"), retry
    )
    if dry_run:
        _dry_run(terminal, workspace, asked)
        return
    sweep(workspace.home)
    if watch:
        _watch(terminal, workspace, asked)
    else:
        shown, text = _import(terminal, workspace, asked)
        terminal.result(shown, text)


def _import(terminal: Terminal, workspace: Workspace, asked: _Asked) -> tuple[dict[str, Any], str]:
    """One import: its result as a document and in words."""
    from app import work

    terminal.progress(0.0, "looking for pictures")
    # Before the collection is made: a wrong path must not leave an empty one behind.
    found = scan(asked.paths, asked.exclude, asked.allow_empty)
    target = ensure_collection(workspace.engine, asked.collection)
    result = work.import_found(
        workspace,
        target,
        found,
        asked.labels_from_folders,
        terminal.progress,
        terminal.stop,
        allow_empty=asked.allow_empty,
        cutting=asked.cutting,
        retry=asked.retry,
    )
    shown = {**result, "added": result["added_total"], "collection": asked.collection}
    del shown["added_total"]
    done = result["added_total"] + result["known"]
    shown["images_per_second"] = round(done / result["seconds"], 1) if result["seconds"] else None
    lines = [f"  {item['path']}: {item['reason']}" for item in result["refused"]]
    counts = [
        f"{result['added_total']:,} added to {asked.collection!r}",
        f"{result['known']:,} known" + (f" ({result['moved']:,} moved)" if result["moved"] else ""),
        *([f"{result['back']:,} back"] if result["back"] else []),
        f"{len(lines):,} refused",
        *([f"{result['missing']:,} missing"] if result["missing"] else []),
    ]
    return shown, "\n".join([f"{', '.join(counts)} ({result['seconds']:.1f} s)", *lines])


def _dry_run(terminal: Terminal, workspace: Workspace, asked: _Asked) -> None:
    found = scan(asked.paths, asked.exclude, asked.allow_empty)
    try:
        target = collection_named(workspace.engine, asked.collection)
    except NoSuchCollection:
        target = None
    plan = make_plan(workspace.engine, workspace.home, target, found, asked.allow_empty, asked.cutting, asked.retry)
    refused = [*found.refused, *((readable(source.path), reason) for source, reason in plan.refused)]
    new, size = len(plan.fresh) - plan.changed, sum(source.size for source in plan.fresh)
    shown = {
        "collection": asked.collection,
        "new": new,
        "changed": plan.changed,
        "bytes": size,
        "known": plan.known,
        "removed": plan.removed,
        "missing": len(plan.missing),
        "refused": [{"path": path, "reason": str(reason), "said": said(reason)} for path, reason in refused],
        "dry_run": True,
    }
    text = (
        f"would open {new:,} new files and {plan.changed:,} that changed ({size / 1e9:.2f} GB); "
        f"{plan.known:,} known, {plan.removed:,} removed before, {len(refused):,} refused, "
        f"{len(plan.missing):,} missing. Nothing was changed."
    )
    terminal.result(shown, text)


def _watch(terminal: Terminal, workspace: Workspace, asked: _Asked) -> None:
    """Import, then again whenever something below the folders has changed, until a person stops it."""
    for path in asked.paths:
        if not path.is_dir():
            raise BadInput(f"{path} is not a folder: only folders can be watched.")
    changes = Changes(asked.paths, terminal.stopping)  # listening before the first import: nothing falls in between
    totals = {"added": 0, "known": 0, "missing": 0}
    rounds, behind = 0, True  # whether the index may lack something
    while not terminal.stop():
        busy = False
        try:
            shown, text = _import(terminal, workspace, asked)
        except (BadInput, Busy) as error:  # its disk is gone for now, or somebody else imports: nothing is lost
            if rounds == 0:
                raise
            terminal.say_once(str(error))
            busy = isinstance(error, Busy)
        else:
            totals = {"added": totals["added"] + shown["added"], "known": shown["known"], "missing": shown["missing"]}
            if rounds == 0 or any(shown[what] for what in ("added", "moved", "back", "missing")):
                terminal.say(text)
            behind = behind or bool(shown["added"] or shown["back"])
        asked = replace(asked, retry=False)  # once is enough
        behind = behind and not _index(terminal, workspace, asked)
        if rounds == 0:
            terminal.say("watching; Ctrl-C ends it")
        rounds += 1
        look_again = time.monotonic() + RESCAN  # however long another process indexes: not every disk tells of changes
        while not changes.wait(RETRY if busy or behind else RESCAN) and behind and not busy:
            if terminal.stop() or time.monotonic() > look_again:
                break
            behind = not _index(terminal, workspace, asked)
    terminal.result({"collection": asked.collection, "imports": rounds, **totals}, "stopped watching")


def _index(terminal: Terminal, workspace: Workspace, asked: _Asked) -> bool:
    """Make what came in searchable, when the collection has been indexed before. False: another process indexes it."""
    from app import work

    target = collection_named(workspace.engine, asked.collection)
    if target.active_model is None:
        return True
    try:
        done = work.index(workspace, target, None, terminal.progress, terminal.stop)
    except Busy as error:
        terminal.say_once(str(error))
        return False
    terminal.say(f"{done['encoded']:,} encoded, {done['indexed']:,} searchable")
    return True
