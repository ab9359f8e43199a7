"""Pictures: finding those that look alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from app.commands.common import CollectionOption, in_workspace
from app.terminal import Terminal
from app.workspace import Workspace
from indexer.catalog import Collection, collection_named
from indexer.filters import Filter
from indexer.images import find_by_path, get_images, path_of
from indexer.sources import readable
from model.errors import CannotDecode
from model.images import make_preview


@in_workspace
def search(
    terminal: Terminal,
    workspace: Workspace,
    images: Annotated[list[str], typer.Argument(help="Pictures to resemble: files, or ids of images.")],
    not_: Annotated[list[str] | None, typer.Option("--not", help="A picture not to resemble; may be repeated.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=500, help="How many.")] = 20,
    collection: CollectionOption = "photos",
) -> None:
    """The pictures of a collection that look most like the ones given."""
    from app.engine import Engine

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


def _examples(workspace: Workspace, collection: Collection, names: list[str]) -> list[int | str | bytes]:
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
