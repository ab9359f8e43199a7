"""The gallery: every picture of the collection, with the tools of the grid."""

from typing import Any

import streamlit as st

from ui import components
from ui.state import FILTER_KEYS, collection_or_stop, go_to_similar, keep_in_address

NAMES = ("sort", *FILTER_KEYS)  # of a view, here and in the address

collection = collection_or_stop()


def remember(view: dict[str, Any]) -> None:
    """Keep the view in the address."""
    keep_in_address(**{name: view.get(name, "") for name in NAMES})


components.gallery(
    collection,
    {name: st.query_params[name] for name in NAMES if name in st.query_params},
    mode="images",
    on_similar=lambda ids: go_to_similar(collection, ids),
    on_view=remember,
)
