"""Compare: two models asked the same, side by side, without a name on either."""

import streamlit as st

from ui import components
from ui.state import collection_or_stop, keep_in_address
from ui.words import say

collection = collection_or_stop()
st.title(say("pages.compare"))
st.markdown(say("compare.about"))
image = st.query_params.get("image", "")
components.compare(
    collection,
    [st.query_params.get("a", ""), st.query_params.get("b", "")],
    int(image) if image.isdigit() else None,
    on_pair=lambda pair: keep_in_address(a=pair[0], b=pair[1]),
)
