"""Jobs: what is running and what has run, in every collection."""

import streamlit as st

from ui import components

st.title("Jobs")
components.job_list("list")
