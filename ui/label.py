"""Label: one picture after another, then what the classifier makes of the rest."""

import streamlit as st

from ui import components
from ui.state import collection_or_stop, go, go_to_similar, keep_in_address
from ui.words import say

VIEWS = ("one", "predictions", "accuracy")

collection = collection_or_stop()
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

if view == "predictions":
    components.gallery(
        collection,
        {"predicted": st.query_params.get("predicted", "")},
        mode="predictions",
        on_similar=lambda ids: go_to_similar(collection, ids),
        on_view=lambda now: keep_in_address(predicted=now.get("predicted", "")),
    )
elif view == "accuracy":
    components.probe_report(collection, on_pictures=lambda cell: go("gallery", c=collection, **cell))
else:
    components.label_queue(collection)
