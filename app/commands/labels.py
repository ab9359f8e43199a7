"""Labels, the probe fitted from them, and its predictions."""

from __future__ import annotations

import csv
import getpass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from app import labelfile
from app.commands.common import CollectionOption, in_workspace
from app.terminal import Terminal
from app.workspace import Workspace
from indexer.catalog import collection_named
from indexer.journal import Change
from indexer.sources import batches, read, readable, scan
from model.errors import BadInput, Cancelled


@in_workspace
def label(
    terminal: Terminal,
    workspace: Workspace,
    paths: Annotated[list[str] | None, typer.Argument(help="Pictures to label with --set.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="A file with rows path,class.")] = None,
    set_: Annotated[str | None, typer.Option("--set", help="The class to give to the pictures named.")] = None,
    answer: Annotated[str, typer.Option(help="With --set: yes, no, unsure, or none to take it away.")] = "yes",
    clear: Annotated[bool, typer.Option("--clear", help="Take every label of the collection away.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last step back, of the page too.")] = False,
    redo: Annotated[bool, typer.Option("--redo", help="Do again what was taken back.")] = False,
    collection: CollectionOption = "photos",
) -> None:
    """Give pictures a class. Every answer is kept in a journal and can be undone."""
    from indexer import labels
    from indexer import undo as undoing

    target = collection_named(workspace.engine, collection)
    if sum((csv_file is not None, set_ is not None, clear, undo, redo)) != 1:
        raise BadInput("Say one of --csv FILE, --set CLASS PATH..., --clear, --undo, or --redo.")
    unknown: list[str] = []
    if clear:
        change = labels.clear(workspace.engine, target, "hand", _user())
    elif undo or redo:
        change = (undoing.undo if undo else undoing.redo)(workspace.engine, target)
    else:
        if answer not in labels.ANSWERS:
            raise BadInput(f"--answer is {', '.join(labels.ANSWERS)}, not {answer!r}.")
        said = cast(labels.Answer, answer)
        rows = _read_csv(csv_file) if csv_file is not None else [(path, set_ or "", said) for path in paths or []]
        if not rows:
            raise BadInput("There is nothing to label: name pictures after --set CLASS.")
        given = labelfile.give(workspace.engine, target, rows, "csv" if csv_file is not None else "hand", _user())
        change, unknown = Change(given.action, given.changed), given.unknown
    standing = {x.image_id for x in labels.current_labels(workspace.engine, target) if x.answer == "yes"}
    done = (
        f"{change.changed:,} answers changed"
        if change.of == "labels"
        else "the change of a class taken back or done again"
    )
    lines = [f"{done}, {len(standing):,} pictures labelled"]
    lines += [f"  not in the collection: {path}" for path in unknown]
    value = {"changed": change.changed, "labelled": len(standing), "unknown": unknown, "action": change.action}
    terminal.result(value, "\n".join(lines))


@in_workspace
def probe(terminal: Terminal, workspace: Workspace, collection: CollectionOption = "photos") -> None:
    """Fit the classifier from the labels, and say how good it is on labels it has not seen."""
    from app.engine import Engine
    from app.judgement import judgement, sentences

    target = collection_named(workspace.engine, collection)
    engine = Engine(workspace)
    checked = engine.probes.checked(target)
    fitted = engine.probes.fitted(target)
    engine.probes.store(target, fitted)
    value = judgement(engine, target, fitted, checked)
    lines = sentences(value)
    if value["accuracy"] is None:
        lines.insert(0, f"fitted from {value['labels']} labels of {len(value['classes'])} classes. {value['note']}")
    elif value["confusion"] is not None:
        lines.append(_table(tuple(value["classes"]), value["confusion"]))
    terminal.result(value, "\n".join(lines))


@in_workspace
def predict(
    terminal: Terminal,
    workspace: Workspace,
    paths: Annotated[list[Path], typer.Argument(help="Files or folders; they need not be in the collection.")],
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the predictions here.")] = None,
    collection: CollectionOption = "photos",
) -> None:
    """Classify pictures with the collection's probe."""
    from app.engine import Engine
    from app.labelling import predict as classify

    target = collection_named(workspace.engine, collection)
    if csv_file is not None and not csv_file.absolute().parent.is_dir():
        raise BadInput(f"{csv_file} cannot be written: its folder does not exist.")
    engine = Engine(workspace)
    fitted = engine.probes.fitted(target)
    found = scan(paths)
    predictions: list[dict[str, Any]] = [{"path": path, "error": reason} for path, reason in found.refused]
    for archive, group in batches(found.sources):
        for number, source in enumerate(group):
            if terminal.stop():
                raise Cancelled("Stopped; nothing was written.")
            path = readable(source.path)
            try:
                item = classify(engine, target, fitted, [(source.name, BytesIO(read(source, archive)))])[0]
            except OSError as error:
                item = {"error": str(error.strerror or error)}
            predictions.append({**item, "path": path})
            terminal.progress((number + 1) / len(group), f"{number + 1:,} of {len(group):,} pictures")
    if csv_file is not None:
        with open(csv_file, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["path", "class", "probability", "fits", "error"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows({**row, "fits": _FITS[p.get("fits")]} for p in predictions for row in _each_class(p))
    lines = [f"-\t{row['error']}\t{row['path']}" if "error" in row else
             f"{row['class'] or '-'}\t{_number(row)}\t{row['path']}{'' if p['fits'] else FITS_NONE}"
             for p in predictions for row in _each_class(p)]  # fmt: skip
    terminal.result({"predictions": predictions, "model": target.active_model}, "\n".join(lines))


FITS_NONE = "\t(fits no class)"
_FITS = {True: "yes", False: "no", None: ""}  # in a CSV; nothing is said of what could not be read


def _each_class(predicted: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for a picture; where it may have several classes one for each, and one without a class if it has none."""
    if "classes" not in predicted:
        return [predicted]
    none = [{"class": "", "probability": ""}]
    return [{"path": predicted["path"], **each} for each in predicted["classes"] or none]


def _number(row: dict[str, Any]) -> str:
    return f"{row['probability']:.3f}" if row["class"] else "-"


def _user() -> str | None:
    """Who is at the keyboard, for the history."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return None


def _read_csv(file: Path) -> list[labelfile.Row]:
    """Rows path,class. Paths may be relative to the CSV's folder."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} cannot be read as CSV ({error}): write rows path,class in UTF-8.") from error
    rows = labelfile.parse(data, str(file))
    beside = {path: str(file.parent / path) for path, _, _ in rows if (file.parent / path).exists()}
    return [(beside.get(path, path), class_name, answer) for path, class_name, answer in rows]


def _table(classes: tuple[str, ...], confusion: list[list[int]]) -> str:
    width = max(5, *(len(name) for name in classes)) + 2
    head = "label \\ said".ljust(max(width, 14)) + "".join(name.rjust(width) for name in classes)
    rows = [name.ljust(max(width, 14)) + "".join(str(n).rjust(width) for n in row)
            for name, row in zip(classes, confusion, strict=True)]  # fmt: skip
    return "\n".join([head, *rows])
