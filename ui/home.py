"""Collections: pictures in, and what to do next with each."""

import streamlit as st

from ui import components
from ui.answers import Collection
from ui.client import ApiError
from ui.state import FIRST_NAME, api, choose, chosen, go


def add_pictures(names: list[str]) -> None:
    """Three ways in."""
    if not st.session_state.get("into"):
        st.session_state["into"] = chosen() or FIRST_NAME
    into = st.selectbox(
        "Add to",
        names or [FIRST_NAME],
        key="into",
        accept_new_options=True,
        help="Choose a collection, or type the name of a new one.",
        width=320,
    )
    drop, path, demo = st.tabs(["Drop pictures", "A path on this machine", "The demo"])
    with path:
        job = import_path(into, into in names)
    with drop:
        components.drop_zone(into, exists=into in names, job=job, on_show=lambda name: go("gallery", c=name))
    with demo:
        st.markdown("To see everything at work on pictures that come with Likeness, run this in a terminal:")
        st.code("likeness demo", language=None)


def import_path(into: str, exists: bool) -> int | None:
    """Ask for a folder that the server can see; the job that imports it, while it is the last one asked for."""
    with st.form("path", border=False):
        path = st.text_input("Folder, file or zip", placeholder="/home/me/Pictures")
        by_folder = st.checkbox("The folders are the classes: label each picture with the name of its folder")
        asked = st.form_submit_button("Import", type="primary")
    st.caption("The files stay where they are and are only ever read.")
    if asked and path.strip():
        try:
            if not exists:
                api().create_collection(into)
            st.session_state["import"] = api().import_path(into, path.strip(), by_folder)["id"]
            st.success("The import has begun: its progress is under “Drop pictures” and in the sidebar.")
        except ApiError as error:
            st.error(error.detail)
    return st.session_state.get("import")


def card(collection: Collection) -> None:
    """One collection: what is in it, what to do next, and the ways to change it."""
    name = collection["name"]
    with st.container(border=True):
        words, buttons = st.columns([5, 2], vertical_alignment="center")
        words.markdown(
            f"**{name}** &nbsp; {collection['images']:,} pictures · {collection['labelled']:,} labelled · "
            f"{collection['classes']} classes"
        )
        words.caption(collection["next_step"])
        if collection["index"]:
            words.caption(collection["index"]["sentence"])
        with buttons.container(horizontal=True, horizontal_alignment="right"):
            if st.button("Open", key=f"open-{name}"):
                st.switch_page("gallery.py", query_params={"c": name})
            with st.popover("More"):
                change(collection)


def change(collection: Collection) -> None:
    """Index again, rename, delete."""
    name = collection["name"]
    if st.button("Index now", key=f"index-{name}", help="Make pictures that are not in the index yet searchable."):
        api().index(name)
        st.toast("Indexing has begun.")
    other = st.text_input("Rename to", key=f"rename-{name}")
    if st.button("Rename", key=f"do-rename-{name}", disabled=not other.strip()):
        choose(api().change_collection(name, name=other.strip())["name"])
        st.rerun()
    sure = st.checkbox(f"Delete “{name}” with its labels. Files in your own folders stay.", key=f"sure-{name}")
    if st.button("Delete", key=f"delete-{name}", disabled=not sure):
        api().delete_collection(name)
        st.query_params.clear()
        choose(None)
        st.rerun()


collections = api().collections()
st.title("Collections" if collections else "Likeness")
# What comes and goes has a place of its own: the drop zone below must not move, or its uploads would stop.
with st.container():
    if not collections:
        st.markdown(
            "Likeness finds the pictures that look alike in your own collection, and turns a handful of your labels "
            "into a classifier; everything stays on this machine."
        )
with st.container():
    add_pictures([one["name"] for one in collections])
for one in collections:
    card(one)
