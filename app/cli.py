"""The `likeness` command: which commands there are, and what a failure says.

Each command does its work in this process, under the locks that the workers use too.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import DatabaseError

from app.commands import collections, duplicates, importing, labels, models, pictures, service
from app.settings import load_settings
from model.errors import LikenessError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the quota, or what one file may be

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
        print(f"likeness: a database in the data folder cannot be used ({reason}){_free_space(None)}", file=sys.stderr)
    except OSError as error:
        free = _free_space(error) if error.errno in FULL else ""
        print(f"likeness: {error.strerror or error}: {error.filename or ''}{free}", file=sys.stderr)
    return 1


def _free_space(error: OSError | None) -> str:
    folder = Path(str((error and error.filename) or load_settings().home)).parent
    while not folder.exists():
        folder = folder.parent
    return f" ({shutil.disk_usage(folder).free >> 20} MB free)"


@app.callback(invoke_without_command=True)
def _version(show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if show:
        print(version("likeness"))
        raise typer.Exit


if __name__ == "__main__":
    raise SystemExit(main())
