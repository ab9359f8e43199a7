"""Label: one picture after another or a group at a time, then what the classifier makes of the rest."""

import streamlit as st

from ui import components
from ui.state import collection_or_stop, go_to_similar, keep_in_address
from ui.words import say

VIEWS = ("one", "groups", "predictions", "accuracy")

collection = collection_or_stop()


def ask_for(kind: str) -> None:
    """Go on to label pictures of one kind."""
    st.session_state["view"] = "one"
    keep_in_address(view="", kind=kind)


given = st.query_params.get("view", "one")
if given in VIEWS and st.session_state.get("view") is None:
    st.session_state["view"] = given
view = st.segmented_control(
    say("label.view"),
    VIEWS,
    format_func=lambda v: say(f"label.view_{v}"),
    key="view",
    label_visibility="collapsed",
    required=True,
)
keep_in_address(view=view if view and view != "one" else "")

if view == "groups":
    components.label_groups(collection)
elif view == "predictions":
    components.gallery(
        collection,
        {"predicted": st.query_params.get("predicted", "")},
        mode="predictions",
        on_similar=lambda ids: go_to_similar(collection, ids),
        on_view=lambda now: keep_in_address(predicted=now.get("predicted", "")),
    )
elif view == "accuracy":
    components.probe_report(
        collection,
        on_similar=lambda ids: go_to_similar(collection, ids),
        on_queue=ask_for,
    )
else:
    components.label_queue(collection, st.query_params.get("kind", ""))
