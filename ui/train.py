"""Train: let the encoder learn from the collection itself what "alike" means in it."""

import streamlit as st

from ui import components
from ui.state import collection_or_stop
from ui.words import say

collection = collection_or_stop()
st.title(say("pages.train"))
st.markdown(say("train.about"))
components.train(collection)
st.page_link("compare.py", label=say("train.compare"), icon=":material/compare:", query_params={"c": collection})
