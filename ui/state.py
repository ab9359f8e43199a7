"""What the pages share: the connection to the API and the collection that is chosen.

The address in the browser is the truth (`?c=photos&like=12`), so a link reopens what it was copied from. Streamlit
clears it when a page is chosen in the sidebar; the session remembers the collection over that.
"""

from __future__ import annotations

import os
import time

import streamlit as st

from ui.client import DEFAULT_URL, Likeness
from ui.words import say

LEAVING = 5.0  # seconds after which we stop trying to reach a page
# The API's filter, in the address as in its URLs.
FILTER_KEYS = (
    *("text", "class", "predicted", "min_probability", "labelled", "folder", "camera", "taken_from", "taken_to"),
    *("imported_since", "orientation", "min_side", "missing", "within", "cluster"),
)
FIRST_NAME = "photos"  # what the first collection is called when nobody says otherwise


@st.cache_resource
def api() -> Likeness:
    """The connection to the API, shared by all sessions."""
    return Likeness(os.environ.get("LIKENESS_API_URL", DEFAULT_URL), key=os.environ.get("LIKENESS_API_KEY"))


def chosen() -> str | None:
    """The name of the chosen collection; None when there is none yet."""
    return st.session_state.get("collection")


def collection_or_stop() -> str:
    """The chosen collection. Where there is none, one sentence and the way to make one, and the page ends here."""
    name = chosen()
    if name is None:
        st.info(say("common.no_pictures"))
        st.page_link("home.py", label=say("common.add_pictures"), icon=":material/add_photo_alternate:")
        st.stop()
    return name


def choose(name: str | None) -> None:
    """Make `name` the chosen collection, here and in the address."""
    st.session_state["collection"] = name
    if name is not None and st.query_params.get("c") != name:
        st.query_params["c"] = name


def go(page: str, **address: str) -> None:
    """Leave for another page; `main.py` does it, at the start of the run.

    Kept until we are there: a rerun that the browser asks for meanwhile still names the old page, and would win.
    """
    st.session_state["go"] = (page, address, time.monotonic() + LEAVING)


def go_to_similar(collection: str, ids: list[int | str]) -> None:
    """Leave for the pictures like these."""
    go("search", c=collection, like=",".join(str(one) for one in ids))


def keep_in_address(**values: str) -> None:
    """Write what the page shows into the address; an empty value leaves it."""
    for key, value in values.items():
        if value and st.query_params.get(key) != value:
            st.query_params[key] = value
        elif not value and key in st.query_params:
            del st.query_params[key]


def ids_in(text: str) -> list[int | str]:
    """Picture and query ids as an address holds them: "12,15,q3" is [12, 15, "q3"]."""
    return [int(one) if one.isdigit() else one for one in text.split(",") if one]


def ids_out(ids: list[int | str]) -> str:
    """The other way round."""
    return ",".join(str(one) for one in ids)


def in_text(value: str | float | bool | None) -> str:
    """A value as an address holds it: true and false in lower case, nothing as nothing."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else f"{value}"
