"""The page of Likeness: what is common to every page, then the page that was asked for.

Streamlit runs this file again for every click. All HTTP is in `ui/client.py`; what must be quick to the hand is in
`ui/grid/` and talks to the API from the browser.
"""

from __future__ import annotations

import time
from pathlib import Path

import streamlit as st

from ui import components
from ui.faults import in_one_sentence
from ui.state import api, choose, chosen
from ui.words import say

ICON = str(Path(__file__).parent / "icon.png")
SIDEBAR = 232  # pixels

# The pictures get the room: Streamlit's own margins are made for text.
STYLE = """
<style>
  [data-testid="stMainBlockContainer"] { padding-left: 1.25rem; padding-right: 1.25rem; max-width: none; }
  [data-testid="stMain"] { scrollbar-gutter: auto; }
  [data-testid="stHeader"] { background: transparent; }
  h1 { padding: 0 0 .25rem !important; }
  [data-testid="stCaptionContainer"] { color: inherit; opacity: .78; }
  [data-testid="stCaptionContainer"] p { color: inherit; }
  [data-testid="stSidebarHeader"] { padding-left: 1.1rem; }
  [data-testid="stSidebarHeader"] [data-testid="stLogoSpacer"] { display: none; }
  [data-testid="stSidebarHeader"] .stLogo { height: 1.5rem; }
  [data-testid="stSidebarHeader"] > :first-child::after {
    content: "Likeness"; margin-left: .5rem; font-weight: 650; font-size: 1.05rem; vertical-align: middle;
  }
</style>
"""


def sidebar() -> None:
    """The chosen collection and what is running."""
    names = [one["name"] for one in api().collections()]
    wanted = st.query_params.get("c") or chosen()
    place = st.sidebar.container()  # also when it stays empty, so that the tray below does not move
    if names:
        choose(wanted if wanted in names else names[0])
        if st.session_state.get("box") != chosen():
            st.session_state["box"] = chosen()
        place.selectbox(say("common.collection"), names, key="box", on_change=change_collection)
        if wanted is not None and wanted not in names:
            st.toast(say("common.no_such_collection", name=wanted))
    else:
        choose(None)
    with st.sidebar:
        components.tray()


def change_collection() -> None:
    """Another collection: what the address said about the old one goes."""
    st.query_params.clear()
    st.session_state.pop("into", None)
    choose(st.session_state["box"])


# A file of our own: a material or emoji icon here would be fetched from a server of Google's.
st.set_page_config(page_title="Likeness", page_icon=ICON, layout="wide", initial_sidebar_state=SIDEBAR)
st.html(STYLE)
st.logo(ICON, size="small")
page = st.navigation(
    [
        st.Page("home.py", title=say("pages.home"), icon=":material/photo_library:", default=True),
        st.Page("gallery.py", title=say("pages.gallery"), icon=":material/grid_view:"),
        st.Page("search.py", title=say("pages.search"), icon=":material/image_search:"),
        st.Page("map.py", title=say("pages.map"), icon=":material/scatter_plot:"),
        st.Page("label.py", title=say("pages.label"), icon=":material/label:"),
        st.Page("train.py", title=say("pages.train"), icon=":material/model_training:"),
        st.Page("compare.py", title=say("pages.compare"), icon=":material/compare:"),
        st.Page("jobs.py", title=say("pages.jobs"), icon=":material/checklist:"),
    ]
)
if "go" in st.session_state:
    to, address, until = st.session_state["go"]
    if to != page.url_path and time.monotonic() < until:
        st.switch_page(f"{to}.py", query_params=address)
    del st.session_state["go"]
with in_one_sentence():
    sidebar()
    page.run()
