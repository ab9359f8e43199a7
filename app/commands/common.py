"""What commands share: the options most of them take, and the terminal and workspace they work with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Concatenate

import typer

from app.settings import load_settings
from app.terminal import Terminal
from app.workspace import Workspace

CollectionOption = Annotated[str, typer.Option("--collection", "-c", help="The collection's name.")]
HomeOption = Annotated[Path | None, typer.Option("--home", help="The data folder; default: LIKENESS_HOME.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
PortOption = Annotated[int | None, typer.Option(help="The page's port.")]
ApiPortOption = Annotated[int | None, typer.Option(help="The API's own port.")]


def open_workspace(home: Path | None, **given: Any) -> Workspace:
    """The workspace of the settings, with the options `given` (those not None) in their place."""
    return Workspace.open(load_settings(home=home, **given))


def start(json_: bool, home: Path | None, **given: Any) -> tuple[Terminal, Workspace]:
    """A terminal that takes Ctrl-C as a wish to stop, and the open workspace."""
    terminal = Terminal(json_)
    terminal.watch_signals()
    return terminal, open_workspace(home, **given)


def in_workspace(command: Callable[Concatenate[Terminal, Workspace, ...], None]) -> Callable[..., None]:
    """Give `command` the options --home and --json, and hand it what they decide: its terminal and its workspace."""

    @wraps(command)
    def run(home: Path | None, json_: bool, **given: Any) -> None:
        command(*start(json_, home), **given)

    # Typer reads the options from the signature: the command's own, then these two.
    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())[2:]
    home = Parameter("home", Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=HomeOption)
    json_ = Parameter("json_", Parameter.POSITIONAL_OR_KEYWORD, default=False, annotation=JsonOption)
    run.__signature__ = signature.replace(parameters=[*own, home, json_])  # type: ignore[attr-defined]
    return run
