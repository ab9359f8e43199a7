"""Collections: pictures in, and what to do next with each."""

import streamlit as st

from ui import components
from ui.answers import Collection
from ui.state import FIRST_NAME, api, choose, chosen, go
from ui.words import said_so, say


def add_pictures(names: list[str]) -> None:
    """Three ways in, and the collection they lead to."""
    if not st.session_state.get("into"):
        st.session_state["into"] = chosen() or FIRST_NAME
    into = st.selectbox(
        say("arrive.add_to"),
        names or [FIRST_NAME],
        key="into",
        accept_new_options=True,
        help=say("arrive.add_to_help"),
        width=320,
    )
    components.drop_zone(into, exists=into in names, on_show=lambda name: go("gallery", c=name))


def card(collection: Collection) -> None:
    """One collection: what is in it, what to do next, and the ways to change it."""
    name = collection["name"]
    with st.container(border=True):
        words, buttons = st.columns([5, 2], vertical_alignment="center")
        images, labelled, classes = collection["images"], collection["labelled"], collection["classes"]
        counts = say("home.counts", n=images, labelled=labelled, classes=classes)
        words.markdown(f"**{name}** &nbsp; {counts}")
        words.caption(said_so(collection["next_step"], collection["next_step_said"]))
        if collection["index"]:
            words.caption(said_so(collection["index"]["sentence"], collection["index"]["said"]))
        with buttons.container(horizontal=True, horizontal_alignment="right"):
            if st.button(say("home.open"), key=f"open-{name}"):
                st.switch_page("gallery.py", query_params={"c": name})
            with st.popover(say("home.more")):
                change(collection)


def change(collection: Collection) -> None:
    """Index again, rename, delete."""
    name = collection["name"]
    if st.button(say("home.index"), key=f"index-{name}", help=say("home.index_help")):
        api().index(name)
        st.toast(say("home.index_begun"))
    other = st.text_input(say("home.rename_to"), key=f"rename-{name}")
    if st.button(say("home.rename"), key=f"do-rename-{name}", disabled=not other.strip()):
        choose(api().change_collection(name, name=other.strip())["name"])
        st.rerun()
    sure = st.checkbox(say("home.sure", name=name), key=f"sure-{name}")
    if st.button(say("home.delete"), key=f"delete-{name}", disabled=not sure):
        api().delete_collection(name)
        st.query_params.clear()
        choose(None)
        st.rerun()


collections = api().collections()
st.title(say("pages.home") if collections else "Likeness")
# What comes and goes has a place of its own: the drop zone below must not move, or its uploads would stop.
with st.container():
    if not collections:
        st.markdown(say("home.what_it_is"))
with st.container():
    add_pictures([one["name"] for one in collections])
for one in collections:
    card(one)
