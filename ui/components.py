"""The parts of the page that are written in JavaScript, as Python functions.

Each is one `st.components.v2.component`, its files read from `ui/grid/`: no build step, nothing from outside. They talk
to `/v1` themselves and tell Python what navigation needs, through the `on_…` functions. Those run before the script:
what was told is not lost when another rerun interrupts this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import streamlit as st

from ui.faults import in_one_sentence

HERE = Path(__file__).parent / "grid"


def _component(name: str, scripts: Sequence[str], styles: Sequence[str]) -> Any:
    """Join the files into one module; only the last script exports."""
    js = "\n".join((HERE / f"{script}.js").read_text("utf-8") for script in scripts)
    css = "\n".join((HERE / f"{style}.css").read_text("utf-8") for style in styles)
    return st.components.v2.component(f"likeness.{name}", js=js, css=css)


_BOARD = ("common", "labels", "grid", "viewer", "board")
_gallery = _component("gallery", (*_BOARD, "gallery"), ("common", "grid"))
_search = _component("search", (*_BOARD, "search"), ("common", "grid"))
_queue = _component("queue", ("common", "labels", "learned", "queue"), ("common", "queue"))
_probe = _component("probe", ("common", "learned", "probe"), ("common", "queue"))
_upload = _component("upload", ("common", "upload"), ("common", "upload"))
_pairs = _component("pairs", ("common", "pairs"), ("common", "pairs"))
_jobs = _component("jobs", ("common", "jobs"), ("common", "jobs"))


def _nothing() -> None:
    """A callback for what needs only the rerun that comes with it."""


class Query(TypedDict):
    """What a search starts from: ids of pictures in the collection, or of queries."""

    positive: list[int | str]
    negative: list[int | str]
    text: str


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
    on_similar: Callable[[list[int]], None],
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


def label_queue(collection: str) -> None:
    """Suggestions to label, one picture at a time."""
    _queue(data={"collection": collection}, key=f"queue-{collection}")


def probe_report(collection: str, on_pictures: Callable[[dict[str, str]], None]) -> None:
    """Accuracy and confusion; `on_pictures` gets {class, predicted} when a cell is opened."""
    key = f"probe-{collection}"
    _probe(data={"collection": collection}, key=key, on_pictures_change=_told(key, "pictures", on_pictures))


def pairs(collection: str, preset: str) -> None:
    """Pictures beside two views of each, as training with `preset` would see them, and where the two disagree."""
    _pairs(data={"collection": collection, "preset": preset}, key=f"pairs-{collection}")


def drop_zone(collection: str, exists: bool, job: int | None, on_show: Callable[[str], None]) -> None:
    """Files, folders and zips into a collection, made when it does not exist yet; also follows import `job` to its end.

    `on_show` gets the collection whose pictures the person wants to see.
    """
    data = {"collection": collection, "exists": exists, "job": job}
    _upload(data=data, key="upload", on_show_change=_told("upload", "show", on_show))


def job_list(mode: str, collection: str | None = None, job: int | None = None) -> None:
    """Jobs as they run: mode "list", "tray" (small, unfinished only) or "training" (with its curve).

    When one finishes the page runs again, so that what Python has drawn is new.
    """
    key = f"jobs-{mode}"
    data = {"mode": mode, "collection": collection, "job": job}
    _jobs(data=data, key=key, on_finished_change=_nothing)
