"""Search: start from a picture (or several), see what is like it, say ✓ and ✗ to refine."""

import streamlit as st

from ui import components
from ui.state import FILTER_KEYS, collection_or_stop, ids_in, ids_out, in_text, keep_in_address

WISHES = ("min_score", "group", "variety")

collection = collection_or_stop()


def remember(query: components.Query) -> None:
    """Keep the search in the address, so that a link reopens it."""
    like, unlike = ids_out(query["positive"]), ids_out(query["negative"])
    narrowed = {name: in_text(query["filter"].get(name)) for name in FILTER_KEYS}
    wished = {name: in_text(query["wish"].get(name)) for name in WISHES}
    keep_in_address(**{"like": like, "not": unlike, "query": "", **narrowed, **wished})


address = st.query_params
components.search(
    collection,
    {
        "positive": ids_in(address.get("like", "")) + ids_in(address.get("query", "")),
        "negative": ids_in(address.get("not", "")),
        "filter": {name: address[name] for name in FILTER_KEYS if name in address},
        "wish": {name: address[name] for name in WISHES if name in address},
    },
    on_query=remember,
)
