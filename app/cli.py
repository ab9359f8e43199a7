"""The `likeness` command. Each command does its work in this process, under the locks that the workers use too."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.exc import DatabaseError

from app.settings import load_settings
from app.terminal import Terminal
from app.workspace import Workspace, all_models, find_model
from indexer.catalog import all_collections, collection_named, count_images, ensure_collection
from indexer.images import Filter, find_by_path, get_images, path_of
from indexer.sources import batches, read, readable, scan
from model.errors import BadInput, Cancelled, CannotDecode, LikenessError, TooFewLabels
from model.images import make_preview

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find the pictures that look alike in your own collection, and turn a few labels into a classifier.",
)
export_app = typer.Typer(no_args_is_help=True, help="Take a collection's labels and predictions away.")
app.add_typer(export_app, name="export")

CollectionOption = Annotated[str, typer.Option("--collection", "-c", help="The collection's name.")]
HomeOption = Annotated[Path | None, typer.Option("--home", help="The data folder; default: LIKENESS_HOME.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


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
        free = _free_space(error) if error.errno in (28, 122) else ""
        print(f"likeness: {error.strerror or error}: {error.filename or ''}{free}", file=sys.stderr)
    return 1


def _free_space(error: OSError | None) -> str:
    folder = Path(str((error and error.filename) or load_settings().home)).parent
    while not folder.exists():
        folder = folder.parent
    return f" ({shutil.disk_usage(folder).free >> 20} MB free)"


def _open(home: Path | None, **given: Any) -> Workspace:
    return Workspace.open(load_settings(home=home, **given))


@app.callback(invoke_without_command=True)
def _version(show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if show:
        print(version("likeness"))
        raise typer.Exit


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(help="Folders, files or zips; they are only ever read.")],
    collection: CollectionOption = "photos",
    labels_from_folders: Annotated[
        bool, typer.Option("--labels-from-folders", help="Take each folder's name as the class of its pictures.")
    ] = False,
    home: HomeOption = None,
    json_: JsonOption = False,
) -> None:
    """Bring pictures into a collection. Running it again adds nothing; stopped, it goes on where it was."""
    from app import work

    terminal, workspace = _start(json_, home)
    terminal.progress(0.0, "looking for pictures")
    found = scan(paths)  # before the collection is made: a wrong path must not leave an empty one behind
    target = ensure_collection(workspace.engine, collection)
    result = work.import_found(workspace, target, found, labels_from_folders, terminal.progress, terminal.stop)
    shown = {**result, "added": result["added_total"], "collection": collection}
    del shown["added_total"]
    done = result["added_total"] + result["known"]
    shown["images_per_second"] = round(done / result["seconds"], 1) if result["seconds"] else None
    lines = [f"  {item['path']}: {item['reason']}" for item in result["refused"]]
    text = (
        f"{result['added_total']:,} added to {collection!r}, {result['known']:,} known, {len(lines):,} refused "
        f"({result['seconds']:.1f} s)"
    )
    terminal.result(shown, "\n".join([text, *lines]))


@app.command()
def pretrain(
    collection: CollectionOption = "photos",
    init: Annotated[str, typer.Option(help="default, random, timm:NAME or a model's fingerprint.")] = "default",
    backbone: Annotated[str, typer.Option(help="Any timm network: resnet18, resnet50, resnet101, ...")] = "resnet18",
    epochs: Annotated[int | None, typer.Option(help="Passes over the pictures.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of a view, px.")] = None,
    preset: Annotated[str | None, typer.Option(help="What counts as the same: photo, texture, ...")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its peak.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of NT-Xent.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides all randomness.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    adopt: Annotated[str, typer.Option(help="Make it the active model: better, always or never.")] = "never",
    home: HomeOption = None,
    json_: JsonOption = False,
) -> None:
    """Learn from the collection's own pictures (SimCLR), and report against the model it started from."""
    from app import work

    terminal, workspace = _start(json_, home)
    chosen = {
        "init": init, "backbone": backbone, "adopt": adopt, "epochs": epochs, "batch_size": batch_size,
        "image_size": image_size, "preset": preset, "learning_rate": learning_rate, "temperature": temperature,
        "seed": seed, "device": device,
    }  # fmt: skip
    given = {name: value for name, value in chosen.items() if value is not None}
    target = collection_named(workspace.engine, collection)
    result = work.train(workspace, target, given, terminal.progress, terminal.stop)
    after = "It is the active model now." if result["adopted"] else (
        f"Search with it: likeness index --collection {collection} --model {result['model']}"
    )  # fmt: skip
    terminal.result(result, f"model {result['model']}\n{result['sentence']}\n{after}")


@app.command()
def index(
    collection: CollectionOption = "photos",
    model: Annotated[str | None, typer.Option(help="A fingerprint; default: the active or newest model.")] = None,
    home: HomeOption = None,
    json_: JsonOption = False,
) -> None:
    """Embed what is missing, publish the index, and make its model the active one."""
    from app import work

    terminal, workspace = _start(json_, home)
    target = collection_named(workspace.engine, collection)
    result = work.index(workspace, target, model, terminal.progress, terminal.stop)
    text = f"{result['indexed']:,} pictures indexed with model {result['model']} ({result['encoded']:,} encoded now)"
    if result["unreadable"]:
        text += f"\n{result['unreadable']:,} previews are missing or damaged: import their folders again"
    terminal.result(result, text)


@app.command()
def search(
    images: Annotated[list[str], typer.Argument(help="Pictures to resemble: files, or ids of images.")],
    not_: Annotated[list[str] | None, typer.Option("--not", help="A picture not to resemble; may be repeated.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=500, help="How many.")] = 20,
    collection: CollectionOption = "photos",
    home: HomeOption = None,
    json_: JsonOption = False,
) -> None:
    """The pictures of a collection that look most like the ones given."""
    from app.engine import Engine

    terminal, workspace = _start(json_, home)
    target = collection_named(workspace.engine, collection)
    engine = Engine(workspace)
    likes, dislikes = (_examples(workspace, target, names) for names in (images, not_ or []))
    hits, took_ms = engine.search(target, likes, dislikes, Filter(), k, 0)
    found = []
    for image, score, cosine in zip(
        get_images(workspace.engine, hits.ids.tolist()), hits.scores, hits.cosines, strict=True
    ):
        path = path_of(workspace.engine, image)
        shown = readable(path) if path is not None else f"{image.folder}/{image.name}"
        found.append(
            {"id": image.id, "path": shown, "score": round(float(score), 4), "cosine": round(float(cosine), 4)}
        )
    text = "\n".join(f"{hit['score']:.4f}  {hit['path']}" for hit in found)
    terminal.result({"hits": found, "took_ms": round(took_ms, 2), "model": target.active_model}, text)


@app.command()
def label(
    paths: Annotated[list[str] | None, typer.Argument(help="Pictures to label with --set.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="A file with rows path,class.")] = None,
    set_: Annotated[str | None, typer.Option("--set", help="The class to give to the pictures named.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take every label of the collection away.")] = False,
    collection: CollectionOption = "photos",
    home: HomeOption = None,
    json_: JsonOption = False,
) -> None:
    """Give pictures a class. Every answer is kept in a journal and can be undone."""
    from indexer import labels

    terminal, workspace = _start(json_, home)
    target = collection_named(workspace.engine, collection)
    if sum((csv_file is not None, set_ is not None, clear)) != 1:
        raise BadInput("Say one of --csv FILE, --set CLASS PATH..., or --clear.")
    unknown: list[str] = []
    if clear:
        change = labels.clear(workspace.engine, target, "hand")
    else:
        rows = _read_csv(csv_file) if csv_file is not None else [(path, set_ or "") for path in paths or []]
        if not rows:
            raise BadInput("There is nothing to label: name pictures after --set CLASS.")
        ids = find_by_path(workspace.engine, target, [path for path, _ in rows])
        unknown = [path for path, _ in rows if path not in ids]
        if len(unknown) == len(rows):
            raise BadInput(f"None of the pictures is in {collection!r} ({unknown[0]}, ...): import them first.")
        wanted = {ids[path]: name for path, name in rows if path in ids}
        change = labels.label_each(workspace.engine, target, wanted, "csv" if csv_file is not None else "hand")
    standing = [x for x in labels.current_labels(workspace.engine, target) if x.answer == "yes"]
    lines = [f"{change.changed:,} answers changed, {len(standing):,} pictures labelled"]
    lines += [f"  not in the collection: {path}" for path in unknown]
    value = {"changed": change.changed, "labelled": len(standing), "unknown": unknown, "action": change.action}
    terminal.result(value, "\n".join(lines))


@app.command()
def probe(collection: CollectionOption = "photos", home: HomeOption = None, json_: JsonOption = False) -> None:
    """Fit the classifier from the labels, and say how good it is on labels it has not seen."""
    from app.engine import Engine

    terminal, workspace = _start(json_, home)
    target = collection_named(workspace.engine, collection)
    engine = Engine(workspace)
    fitted = engine.fitted(target)
    engine.store(target, fitted)
    value: dict[str, Any] = {
        "classes": list(fitted.probe.classes), "labels": fitted.labels, "accuracy": None, "interval": None,
        "confusion": None, "strength": fitted.probe.strength, "model": target.active_model, "note": None,
    }  # fmt: skip
    try:
        quality = engine.quality(target)
    except TooFewLabels as error:
        value["note"] = str(error)
        terminal.result(value, f"fitted from {fitted.labels} labels of {len(fitted.probe.classes)} classes. {error}")
        return
    low, high = quality.interval
    value |= {"accuracy": quality.accuracy, "interval": [low, high], "confusion": quality.confusion.tolist()}
    value["folds"] = quality.folds
    text = f"{quality.accuracy:.1%} right on labels it has not seen (95 % interval {low:.1%} to {high:.1%})\n"
    terminal.result(value, text + _table(quality.classes, quality.confusion.tolist()))


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders; they need not be in the collection.")],
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the predictions here.")] = None,
    collection: CollectionOption = "photos",
    home: HomeOption = None,
    json_: JsonOption = False,
) -> None:
    """Classify pictures with the collection's probe."""
    from app.engine import Engine
    from app.labelling import predict as classify

    terminal, workspace = _start(json_, home)
    target = collection_named(workspace.engine, collection)
    if csv_file is not None and not csv_file.absolute().parent.is_dir():
        raise BadInput(f"{csv_file} cannot be written: its folder does not exist.")
    engine = Engine(workspace)
    fitted = engine.fitted(target)
    found = scan(paths)
    predictions: list[dict[str, Any]] = [{"path": path, "error": reason} for path, reason in found.refused]
    for archive, group in batches(found.sources):
        for number, source in enumerate(group):
            if terminal.stop():
                raise Cancelled("Stopped; nothing was written.")
            path = readable(source.path)
            try:
                item = classify(engine, target, fitted, [(source.name, read(source, archive))])[0]
            except OSError as error:
                item = {"error": str(error.strerror or error)}
            predictions.append({**item, "path": path})
            terminal.progress((number + 1) / len(group), f"{number + 1:,} of {len(group):,} pictures")
    if csv_file is not None:
        with open(csv_file, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["path", "class", "probability", "error"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(predictions)
    lines = [f"{p['class']}\t{p['probability']:.3f}\t{p['path']}" if "class" in p else f"-\t{p['error']}\t{p['path']}"
             for p in predictions]  # fmt: skip
    terminal.result({"predictions": predictions, "model": target.active_model}, "\n".join(lines))


@app.command()
def evaluate(
    images: Annotated[Path, typer.Option("--images", help="A folder with one folder of pictures per class.")],
    model: Annotated[str | None, typer.Option(help="A fingerprint; default: the newest model.")] = None,
    home: HomeOption = None,
    json_: JsonOption = False,
) -> None:
    """How good a model's vectors are on labelled pictures: k-NN and SimCLR's linear evaluation."""
    from app.evaluation import evaluate_folder

    terminal, workspace = _start(json_, home)
    known = all_models(workspace.home)
    if not known:
        raise BadInput("There is no model yet: run `likeness index` or `likeness pretrain` first.")
    info = find_model(workspace.home, model) if model else known[-1]
    value = evaluate_folder(workspace, info, images, terminal.progress, terminal.stop)
    text = (
        f"model {info.fingerprint}: k-NN {value['knn']:.1%}, linear {value['linear']:.1%} "
        f"({value['images']:,} pictures, {len(value['classes'])} classes, {value['folds']} folds)"
    )
    terminal.result(value, text)


@export_app.command("collection")
def export_collection(
    name: Annotated[str, typer.Argument(help="The collection's name.")],
    format_: Annotated[str, typer.Option("--format", help="csv or json.")] = "csv",
    home: HomeOption = None,
    json_: JsonOption = False,
) -> None:
    """Every image of a collection with its class and prediction."""
    from app.engine import Engine
    from app.exporting import rows, to_csv

    terminal, workspace = _start(json_, home)
    target = collection_named(workspace.engine, name)
    found = rows(Engine(workspace), target)
    value = {"collection": name, "model": target.active_model, "images": found}
    if format_ not in ("csv", "json"):
        raise BadInput(f"{format_!r} is not a format: use csv or json.")
    terminal.result(value, to_csv(found) if format_ == "csv" else json.dumps(value, ensure_ascii=False))


@app.command()
def collections(home: HomeOption = None, json_: JsonOption = False) -> None:
    """The collections, their sizes and active models."""
    terminal, workspace = _start(json_, home)
    found = [{**asdict(c), "images": count_images(workspace.engine, c)} for c in all_collections(workspace.engine)]
    lines = [f"{c['name']}\t{c['images']:,} images\tmodel {c['active_model'] or '-'}" for c in found]
    terminal.result({"collections": found}, "\n".join(lines) or "No collections yet: likeness import PATH")


@app.command()
def models(home: HomeOption = None, json_: JsonOption = False) -> None:
    """The models, oldest first, and where each is active."""
    terminal, workspace = _start(json_, home)
    known = all_collections(workspace.engine)
    found = [
        {**asdict(info), "active_in": [c.name for c in known if c.active_model == info.fingerprint]}
        for info in all_models(workspace.home)
    ]
    lines = [
        f"{m['fingerprint']}\t{m['backbone']}, {m['preparation']['image_size']} px\tfrom {m['started_from']}\t"
        + (f"active in {', '.join(m['active_in'])}" if m["active_in"] else "")
        for m in found
    ]
    terminal.result({"models": found}, "\n".join(lines) or "No models yet: likeness pretrain")


@app.command("jobs")
def jobs_(home: HomeOption = None, json_: JsonOption = False) -> None:
    """The latest jobs of the workers."""
    from app import jobs

    terminal, workspace = _start(json_, home)
    found, _ = jobs.listed(workspace.engine, None, None, 0, 50)
    lines = [f"{j.id}\t{j.kind} of {j.collection}\t{j.state}\t{j.progress:.0%}\t{j.error or j.message}" for j in found]
    terminal.result({"jobs": [job.public() for job in found]}, "\n".join(lines) or "No jobs yet.")


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The page's port.")] = None,
    api_port: Annotated[int | None, typer.Option(help="The API's own port.")] = None,
    home: HomeOption = None,
) -> None:
    """Start the page, the API and the workers, and print one URL. Ctrl-C stops them."""
    _serve(_open(home, host=host, port=port, api_port=api_port), Terminal(as_json=False))


@app.command()
def worker(
    lane: Annotated[str, typer.Option(help="pictures (import, index) or learning (training).")],
    home: HomeOption = None,
) -> None:
    """Do the jobs of one lane until stopped; `likeness serve` starts one for each."""
    import logging

    from app.jobs import LANES
    from app.worker import run_worker, stop_on_signals

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if lane not in LANES.values():
        raise BadInput(f"There is no lane {lane!r}: use pictures or learning.")
    run_worker(_open(home), lane, stop_on_signals())


@app.command()
def doctor(home: HomeOption = None, json_: JsonOption = False) -> None:
    """Versions, hardware, disk, and whether catalog and indexes are sound."""
    from app.doctor import examine

    terminal, workspace = _start(json_, home)
    value = examine(workspace)
    lines = [f"{name}: {what}" for name, what in value.items() if name != "problems"]
    lines += [f"problem: {what}" for what in value["problems"]] or ["no problems found"]
    terminal.result(value, "\n".join(lines))
    if value["problems"]:
        raise typer.Exit(1)


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Argument(help="Your own pictures instead of the demo collection.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Fetch EuroSAT, Flowers102, OxfordIIITPet or CIFAR10 instead (online).")
    ] = None,
    serve_: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve the page afterwards.")] = True,
    port: Annotated[int | None, typer.Option(help="The page's port.")] = None,
    api_port: Annotated[int | None, typer.Option(help="The API's own port.")] = None,
    home: HomeOption = None,
    json_: JsonOption = False,
) -> None:
    """The whole loop on the demo collection: import, pretrain, index, label, search; then serve the page."""
    from app.loop import whole_loop

    terminal, workspace = _start(json_, home, port=port, api_port=api_port)
    value = whole_loop(workspace, folder, dataset, terminal)
    if json_:
        terminal.result(value, "")
    if serve_:
        _serve(workspace, terminal)


def _start(json_: bool, home: Path | None, **given: Any) -> tuple[Terminal, Workspace]:
    terminal = Terminal(json_)
    terminal.watch_signals()
    return terminal, _open(home, **given)


def _serve(workspace: Workspace, terminal: Terminal) -> None:
    from app.serve import serve as run

    workspace.engine.dispose()  # opened only to fail here, in a sentence, when it cannot be
    run(workspace.settings, lambda url: terminal.say(f"Likeness is at {url} (Ctrl-C stops it)"))


def _examples(workspace: Workspace, collection: Any, names: list[str]) -> list[int | str | bytes]:
    """Files of the collection and ids as image ids; any other file as the preview that an import would make."""
    known = find_by_path(workspace.engine, collection, [name for name in names if not name.isdigit()])
    found: list[int | str | bytes] = []
    for name in names:
        if name.isdigit() and not os.path.exists(name):
            found.append(int(name))
        elif name in known:
            found.append(known[name])
        else:
            try:
                found.append(make_preview(Path(name).read_bytes(), name).data)
            except OSError as error:
                raise CannotDecode(name, f"cannot be read ({error.strerror})") from error
    return found


def _read_csv(file: Path) -> list[tuple[str, str]]:
    """Rows path,class; a first row that says so is a header. Paths may be relative to the CSV's folder."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            rows = [row for row in csv.reader(opened) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{file} cannot be read as CSV ({error}): write rows path,class in UTF-8.") from error
    if rows and [cell.strip().lower() for cell in rows[0][:2]] == ["path", "class"]:
        rows = rows[1:]
    for number, row in enumerate(rows, 1):
        if len(row) < 2 or not row[0].strip() or not row[1].strip():
            raise BadInput(f"{file}, row {number}: expected path,class and found {','.join(row)!r}.")
    beside = [(file.parent / row[0].strip(), row) for row in rows]
    return [(str(path) if path.exists() else row[0].strip(), row[1].strip()) for path, row in beside]


def _table(classes: tuple[str, ...], confusion: list[list[int]]) -> str:
    width = max(5, *(len(name) for name in classes)) + 2
    head = "label \\ said".ljust(max(width, 14)) + "".join(name.rjust(width) for name in classes)
    rows = [name.ljust(max(width, 14)) + "".join(str(n).rjust(width) for n in row)
            for name, row in zip(classes, confusion, strict=True)]  # fmt: skip
    return "\n".join([head, *rows])


if __name__ == "__main__":
    raise SystemExit(main())
