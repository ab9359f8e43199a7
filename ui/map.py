"""Map: every picture where those like it are; what is drawn around becomes a selection."""

from typing import Any

import streamlit as st

from ui import components
from ui.state import collection_or_stop, go, go_to_similar, ids_out, keep_in_address

VARIETY = "0.5"  # of a walk from one picture to others that are like it, and unlike each other

collection = collection_or_stop()


def remember(view: dict[str, Any]) -> None:
    """Keep what the map is coloured by in the address."""
    keep_in_address(by=view.get("by", ""))


components.picture_map(
    collection,
    {name: st.query_params[name] for name in ("by",) if name in st.query_params},
    on_similar=lambda ids: go_to_similar(collection, ids),
    on_varied=lambda ids: go("search", c=collection, like=ids_out(ids), variety=VARIETY),
    on_view=remember,
)
