"""The `likeness` command: which commands there are, and what a failure says.

Each command does its work in this process, under the locks that the workers use too.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import DatabaseError

from app.commands import collections, duplicates, importing, labels, models, pictures, service
from app.problem import FULL
from app.settings import load_settings
from model.errors import LikenessError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find the pictures that look alike in your own collection, and turn a few labels into a classifier.",
)
export_app = typer.Typer(no_args_is_help=True, help="Take a model, or a collection's labels and predictions, away.")
app.add_typer(export_app, name="export")

# In the order of `likeness --help`.
app.command("import")(importing.import_)
app.command("pretrain")(models.pretrain)
app.command("finetune")(models.finetune)
app.command("int8")(models.int8)
app.command("index")(models.index)
app.command("map")(models.map_)
app.command("search")(pictures.search)
app.command("duplicates")(duplicates.duplicates)
app.command("label")(labels.label)
app.command("probe")(labels.probe)
app.command("predict")(labels.predict)
app.command("evaluate")(models.evaluate)
app.command("collections")(collections.collections)
app.command("models")(models.models)
app.command("jobs")(service.jobs)
app.command("serve")(service.serve)
app.command("worker")(service.worker)
app.command("doctor")(service.doctor)
app.command("backup")(service.backup)
app.command("restore")(service.restore)
app.command("demo")(service.demo)
export_app.command("model")(models.export)
export_app.command("collection")(collections.export)
export_app.command("classifier")(collections.export_classifier)


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns 0, or 1 after one sentence on stderr that says what to do."""
    try:
        outcome = app(arguments, standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except typer.Exit as done:
        return done.exit_code
    except LikenessError as error:
        print(f"likeness: {error}", file=sys.stderr)
    except typer.Abort:
        print("likeness: stopped", file=sys.stderr)
    except typer.TyperException as error:
        print(f"likeness: {error.format_message()} `likeness --help` shows what there is.", file=sys.stderr)
    except KeyboardInterrupt:
        print("likeness: stopped at once; run it again to go on", file=sys.stderr)
    except (sqlite3.DatabaseError, DatabaseError) as error:
        reason = getattr(error, "orig", None) or error
        home = load_settings().home
        print(f"likeness: a database in {home} cannot be used ({reason}){_free_space(home)}", file=sys.stderr)
    except OSError as error:
        where = Path(str(error.filename or "") or load_settings().home)
        free = _free_space(where) if error.errno in FULL else ""
        print(f"likeness: {error.strerror or error}: {where if free else error.filename or ''}{free}", file=sys.stderr)
    return 1


def _free_space(where: Path) -> str:
    while not where.exists():
        where = where.parent
    return f" ({shutil.disk_usage(where).free >> 20} MB free)"


@app.callback(invoke_without_command=True)
def _version(show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if show:
        print(version("likeness"))
        raise typer.Exit


if __name__ == "__main__":
    raise SystemExit(main())
