"""Search: start from a picture (or several), see what is like it, say ✓ and ✗ to refine."""

import streamlit as st

from ui import components
from ui.state import collection_or_stop, ids_in, ids_out, keep_in_address

collection = collection_or_stop()


def remember(query: components.Query) -> None:
    """Keep the search in the address, so that a link reopens it."""
    like, unlike = ids_out(query["positive"]), ids_out(query["negative"])
    keep_in_address(**{"like": like, "not": unlike, "text": query["text"], "query": ""})


address = st.query_params
components.search(
    collection,
    {
        "positive": ids_in(address.get("like", "")) + ids_in(address.get("query", "")),
        "negative": ids_in(address.get("not", "")),
        "text": address.get("text", ""),
    },
    on_query=remember,
)
