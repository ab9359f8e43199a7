"""Jobs: what is running and what has run, in every collection."""

import streamlit as st

from ui import components
from ui.words import say

st.title(say("pages.jobs"))
components.job_list()
