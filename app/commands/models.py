"""Models: learning one, indexing with one, which there are, and how good they are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands.common import CollectionOption, in_workspace
from app.terminal import Terminal
from app.workspace import Workspace, all_models, find_model
from indexer.catalog import all_collections, collection_named
from indexer.published import sentence
from model.errors import BadInput


@in_workspace
def pretrain(
    terminal: Terminal,
    workspace: Workspace,
    collection: CollectionOption = "photos",
    init: Annotated[str, typer.Option(help="default, random, timm:NAME[=FILE] or a fingerprint.")] = "default",
    backbone: Annotated[str, typer.Option(help="Any timm network: resnet18, resnet50, resnet101, ...")] = "resnet18",
    epochs: Annotated[int | None, typer.Option(help="Passes over the pictures.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of a view, px.")] = None,
    preset: Annotated[str | None, typer.Option(help="What counts as the same: photo, texture, ...")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its peak.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, lars (large batches) or adamw.")] = None,
    scaling: Annotated[str | None, typer.Option(help="Of the learning rate with the batch: linear or sqrt.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the loss.")] = None,
    loss: Annotated[str | None, typer.Option(help="nt-xent or decoupled.")] = None,
    views: Annotated[int | None, typer.Option(help="Of each picture in a batch; 2 to 8.")] = None,
    grow_from: Annotated[int | None, typer.Option(help="Side of the first epochs' views, px.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto (bfloat16 where that is fast), float32, bfloat16.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Decides all randomness.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    adopt: Annotated[str, typer.Option(help="Make it the active model: better, always or never.")] = "never",
    preview_pairs: Annotated[
        Path | None, typer.Option(help="Don't train: show what would count as the same, as a picture in this file.")
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Don't train: measure ten seconds of it, and say what it would cost.")
    ] = False,
) -> None:
    """Learn from the collection's own pictures (SimCLR), and report against the model it started from."""
    from app import training
    from app.views import write_sheet

    chosen = {
        "init": init, "backbone": backbone, "adopt": adopt, "epochs": epochs, "batch_size": batch_size,
        "image_size": image_size, "preset": preset, "learning_rate": learning_rate, "optimizer": optimizer,
        "scaling": scaling, "temperature": temperature, "loss": loss, "views": views, "grow_from": grow_from,
        "precision": precision, "seed": seed, "device": device,
    }  # fmt: skip
    given = {name: value for name, value in chosen.items() if value is not None}
    target = collection_named(workspace.engine, collection)
    if preview_pairs is not None:
        result = write_sheet(workspace, target, given, preview_pairs)
        lines = [f"{preview_pairs}: what preset {result['preset']} takes for the same", *result["warnings"]]
        terminal.result(result, "\n".join(lines))
        return
    if estimate:
        from app.estimate import estimated

        cost = estimated(workspace, target, given, terminal.progress, terminal.stop)
        terminal.result(cost, f"{cost['reason']}\n{cost['sentence']}")
        return
    result = training.train(workspace, target, given, terminal.progress, terminal.stop, terminal.say)
    otherwise = f"Search with it: likeness index --collection {collection} --model {result['model']}"
    _tell(terminal, workspace, result, otherwise)


@in_workspace
def finetune(
    terminal: Terminal,
    workspace: Workspace,
    collection: CollectionOption = "photos",
    loss: Annotated[str | None, typer.Option(help="supervised (contrastive) or cross-entropy.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the labelled pictures.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of a view, px.")] = None,
    preset: Annotated[str | None, typer.Option(help="What counts as the same: photo, texture, ...")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its peak.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the supervised loss.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides all randomness.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    adopt: Annotated[str, typer.Option(help="Make it the active model: better, always or never.")] = "better",
) -> None:
    """Learn from the labels, when there are many: a better encoder than the active one, or the active one stays."""
    from app.finetuning import finetune as run

    chosen = {
        "loss": loss, "epochs": epochs, "batch_size": batch_size, "image_size": image_size, "preset": preset,
        "learning_rate": learning_rate, "temperature": temperature, "seed": seed, "device": device, "adopt": adopt,
    }  # fmt: skip
    target = collection_named(workspace.engine, collection)
    result = run(workspace, target, chosen, terminal.progress, terminal.stop)
    _tell(terminal, workspace, result, "The active model stays.")


@in_workspace
def int8(
    terminal: Terminal,
    workspace: Workspace,
    collection: CollectionOption = "photos",
    images: Annotated[
        Path | None, typer.Option("--images", help="Judge k-NN on a folder with one folder of pictures per class.")
    ] = None,
) -> None:
    """Encode faster on a CPU: an int8 copy of the active model, where it is as good on the collection's pictures."""
    from app.int8 import make_int8

    target = collection_named(workspace.engine, collection)
    result = make_int8(workspace, target, images, terminal.progress, terminal.stop)
    terminal.result(result, f"{result['sentence']}\nModel {result['model']} is the active one.")


def _tell(terminal: Terminal, workspace: Workspace, result: dict[str, Any], otherwise: str) -> None:
    """What came of a training; `otherwise` is said where the new model was not adopted."""
    from app.report import HTML

    page = workspace.home.model(result["model"]) / HTML
    after = "It is the active model now." if result["adopted"] else otherwise
    text = f"model {result['model']}\n{result['sentence']}\nThe report, to read in a browser: {page}\n{after}"
    terminal.result({**result, "report_file": str(page)}, text)


@in_workspace
def index(
    terminal: Terminal,
    workspace: Workspace,
    collection: CollectionOption = "photos",
    model: Annotated[str | None, typer.Option(help="A fingerprint; default: the active or newest model.")] = None,
) -> None:
    """Embed what is missing, publish the index, and make its model the active one."""
    from app import work

    target = collection_named(workspace.engine, collection)
    result = work.index(workspace, target, model, terminal.progress, terminal.stop)
    text = f"{result['indexed']:,} pictures indexed with model {result['model']} ({result['encoded']:,} encoded now)"
    text += f"\n{sentence(result['index'])}"
    if result["unreadable"]:
        text += f"\n{result['unreadable']:,} previews are missing or damaged: import their folders again"
    terminal.result(result, text)


@in_workspace
def map_(
    terminal: Terminal,
    workspace: Workspace,
    collection: CollectionOption = "photos",
    again: Annotated[bool, typer.Option("--again", help="Lay everything out anew, not only what came since.")] = False,
) -> None:
    """Lay the collection out as a 2-D map, with clusters and what fits nowhere."""
    from app.mapping import draw_map

    result = draw_map(
        workspace, collection_named(workspace.engine, collection), again, terminal.progress, terminal.stop
    )
    text = (
        f"{result['mapped']:,} pictures on the map ({result['placed']:,} placed now), "
        f"{result['clusters']} clusters, {result['outliers']} outliers, {result['seconds']} s"
    )
    terminal.result(result, text)


@in_workspace
def models(terminal: Terminal, workspace: Workspace) -> None:
    """The models, oldest first, and where each is active."""
    known = all_collections(workspace.engine)
    found = [
        {**asdict(info), "active_in": [c.name for c in known if c.active_model == info.fingerprint]}
        for info in all_models(workspace.home)
    ]
    lines = [
        f"{m['fingerprint']}\t{m['backbone']}, {m['preparation']['image_size']} px, {m['arithmetic']}\t"
        f"from {m['started_from']}\t" + (f"active in {', '.join(m['active_in'])}" if m["active_in"] else "")
        for m in found
    ]
    terminal.result({"models": found}, "\n".join(lines) or "No models yet: likeness pretrain")


@in_workspace
def export(
    terminal: Terminal,
    workspace: Workspace,
    model: Annotated[str, typer.Argument(help="Its fingerprint, or the beginning of it.")],
    format_: Annotated[str, typer.Option("--format", help="timm, torchvision or onnx.")] = "timm",
    out: Annotated[Path | None, typer.Option(help="A new folder; default: named after model and format.")] = None,
) -> None:
    """A model's weights, for plain timm, plain torchvision or ONNX Runtime."""
    from model.elsewhere import default_name, export_model, write_export

    info = find_model(workspace.home, model)
    folder = out or Path(default_name(info, format_))
    files = export_model(workspace.home.model(info.fingerprint), format_, folder.name)
    write_export(files, folder)
    value = {"model": info.fingerprint, "format": format_, "path": str(folder.absolute()), "files": sorted(files)}
    terminal.result(value, f"{folder}: {', '.join(sorted(files))}\nREADME.md says how to load it.")


@in_workspace
def evaluate(
    terminal: Terminal,
    workspace: Workspace,
    images: Annotated[Path, typer.Option("--images", help="A folder with one folder of pictures per class.")],
    model: Annotated[str | None, typer.Option(help="A fingerprint; default: the newest model.")] = None,
) -> None:
    """How good a model's vectors are on labelled pictures: SimCLR's linear evaluation, and k-NN."""
    from app.evaluation import evaluate_folder

    known = all_models(workspace.home)
    if not known:
        raise BadInput("There is no model yet: run `likeness index` or `likeness pretrain` first.")
    info = find_model(workspace.home, model) if model else known[-1]
    value = evaluate_folder(workspace, info, images, terminal.progress, terminal.stop)
    text = (
        f"model {info.fingerprint}: k-NN {value['knn']:.1%}, linear {value['linear']:.1%} "
        f"({value['images']:,} pictures, {len(value['classes'])} classes, {value['protocol']})"
    )
    terminal.result(value, text)
