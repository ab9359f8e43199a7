"""The parts of the page that are written in JavaScript, as Python functions.

Each is one `st.components.v2.component`, its files read from `ui/grid/`: no build step, nothing from outside. They talk
to `/v1` themselves and tell Python what navigation needs, through the `on_…` functions. Those run before the script:
what was told is not lost when another rerun interrupts this one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import streamlit as st

from ui import words
from ui.faults import in_one_sentence

HERE = Path(__file__).parent / "grid"
BASE = ("words", "talk", "common")  # of every component, in this order


def _component(name: str, scripts: Sequence[str], styles: Sequence[str]) -> Callable[..., Any]:
    """Join the files into one module; only the last script exports. `data` tells each which language to speak."""
    texts = f"const WORDS = {json.dumps(words.tables(), ensure_ascii=False)};"
    js = "\n".join([texts, *((HERE / f"{script}.js").read_text("utf-8") for script in (*BASE, *scripts))])
    css = "\n".join((HERE / f"{style}.css").read_text("utf-8") for style in ("common", *styles))
    mounted = st.components.v2.component(f"likeness.{name}", js=js, css=css)
    return lambda *, data, **how: mounted(data={**data, "language": words.language()}, **how)


_BOARD = (
    "menu",
    "filters",
    "labels",
    "layout",
    "tile",
    "selection",
    "grid",
    "export",
    "chosen",
    "drawbox",
    "shortcuts",
    "viewer",
    "board",
)
_gallery = _component("gallery", (*_BOARD, "learned", "accept", "gallery"), ("grid", "menu", "viewer"))
_search = _component(
    "search", (*_BOARD, "strip", "ticked", "remembered", "why", "search"), ("grid", "menu", "viewer", "search")
)
_map = _component(
    "map",
    (
        *_BOARD,
        "points",
        "marks",
        "faces",
        "plothand",
        "plot",
        "colouring",
        "clusters",
        "pointcard",
        "redraw",
        "maptools",
        "map",
    ),
    ("grid", "menu", "viewer", "map"),
)
_ANSWERING = ("labels", "outbox", "learned", "naming", "shortcuts", "classlist", "classes", "classsteps", "answering")
_queue = _component("queue", (*_ANSWERING, "toggling", "ahead", "why", "queue"), ("menu", "queue"))
_groups = _component("groups", (*_ANSWERING, "groups"), ("menu", "queue", "groups"))
_probe = _component("probe", (*_BOARD, "learned", "figures", "behind", "probe"), ("grid", "menu", "viewer", "report"))
_upload = _component("upload", ("sending", "reopen", "upload"), ("upload",))
_train = _component(
    "train",
    ("reopen", "jobcards", "following", "curve", "watched", "cost", "pairs", "setup", "course", "models", "train"),
    ("jobs", "train"),
)
_compare = _component("compare", ("following", "compare"), ("compare",))
_jobs = _component("jobs", ("reopen", "jobcards", "jobs"), ("jobs",))
_tray = _component("tray", ("reopen", "jobcards", "outbox", "tray"), ("jobs",))


def _nothing() -> None:
    """A callback for what needs only the rerun that comes with it."""


class Query(TypedDict):
    """What a search starts from: ids of pictures in the collection, or of queries."""

    positive: list[int | str]
    negative: list[int | str]
    filter: dict[str, Any]  # as the API's, or as an address holds it
    wish: dict[str, Any]  # min_score, group, variety


def _told(key: str, name: str, then: Callable[[Any], None]) -> Callable[[], None]:
    """A callback that hands on what component `key` said under `name`."""

    def callback() -> None:
        said = st.session_state[key].get(name)
        if said is not None:
            with in_one_sentence():
                then(said)

    return callback


def gallery(
    collection: str,
    view: dict[str, Any],
    mode: str,
    on_similar: Callable[[list[int | str]], None],
    on_view: Callable[[dict[str, Any]], None],
) -> None:
    """The grid of a collection, or (mode "predictions") of what the classifier makes of it.

    `on_similar` gets ids to search with, `on_view` what the grid is filtered by.
    """
    key = f"gallery-{mode}-{collection}"
    _gallery(
        data={"collection": collection, "view": view, "mode": mode},
        key=key,
        on_similar_change=_told(key, "similar", on_similar),
        on_view_change=_told(key, "view", on_view),
    )


def search(collection: str, query: Query, on_query: Callable[[Query], None]) -> None:
    """The search; `on_query` gets what the person has made of it."""
    key = f"search-{collection}"
    _search(data={"collection": collection, "query": query}, key=key, on_query_change=_told(key, "query", on_query))


def picture_map(
    collection: str,
    view: dict[str, Any],
    on_similar: Callable[[list[int | str]], None],
    on_varied: Callable[[list[int | str]], None],
    on_view: Callable[[dict[str, Any]], None],
) -> None:
    """The 2-D map with what is chosen on it.

    `on_similar` gets ids to search with, `on_varied` ids to walk on from, `on_view` what the map is coloured by.
    """
    key = f"map-{collection}"
    _map(
        data={"collection": collection, "view": view},
        key=key,
        on_similar_change=_told(key, "similar", on_similar),
        on_varied_change=_told(key, "varied", on_varied),
        on_view_change=_told(key, "view", on_view),
    )


def label_queue(collection: str, kind: str) -> None:
    """Suggestions to label, one picture at a time: of one `kind`, or what teaches most where that is empty."""
    _queue(data={"collection": collection, "kind": kind}, key=f"queue-{collection}-{kind}")


def label_groups(collection: str) -> None:
    """Groups of alike pictures to label, one group at a time."""
    _groups(data={"collection": collection}, key=f"groups-{collection}")


def probe_report(
    collection: str, on_similar: Callable[[list[int | str]], None], on_queue: Callable[[str], None]
) -> None:
    """How good the classifier is, and the pictures behind each cell of its confusion.

    `on_similar` gets ids to search with, `on_queue` the kind of suggestions that the person wants to label next.
    """
    key = f"probe-{collection}"
    told = {"on_similar_change": _told(key, "similar", on_similar), "on_queue_change": _told(key, "queue", on_queue)}
    _probe(data={"collection": collection}, key=key, **told)


def train(collection: str) -> None:
    """A training from its set-up to its report, and the models to choose from."""
    _train(data={"collection": collection}, key=f"train-{collection}")


def compare(collection: str, pair: list[str], image: int | None, on_pair: Callable[[list[str]], None]) -> None:
    """Two models compared blind, first about `image`; `on_pair` gets the fingerprints that the person chose."""
    key = f"compare-{collection}"
    data = {"collection": collection, "pair": pair, "image": image}
    _compare(data=data, key=key, on_pair_change=_told(key, "pair", on_pair))


def drop_zone(collection: str, exists: bool, on_show: Callable[[str], None]) -> None:
    """Three ways in: files, folders and zips; a path that the server can see; the demo. The collection is made when it
    does not exist yet.

    `on_show` gets the collection whose pictures the person wants to see.
    """
    data = {"collection": collection, "exists": exists}
    _upload(data=data, key="upload", on_show_change=_told("upload", "show", on_show), on_finished_change=_nothing)


def job_list() -> None:
    """Every job as it runs. When one finishes the page runs again, so that what Python has drawn is new."""
    _jobs(data={"mode": "list"}, key="jobs-list", on_finished_change=_nothing)


def tray() -> None:
    """The foot of the sidebar: what runs now, whether all is saved, and the language."""
    chosen = st.context.cookies.get(words.COOKIE)
    data = {"mode": "tray", "languages": words.NAMES, "cookie": words.COOKIE, "chosen": chosen}
    _tray(data=data, key="tray", on_finished_change=_nothing)
