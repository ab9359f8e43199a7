"""What a person sees when a page fails: one sentence, never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from ui.client import ApiError
from ui.words import problem, say

log = logging.getLogger("likeness.page")


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """Whatever goes wrong inside becomes a sentence on the page; a fault of ours also goes to the log.

    Streamlit's own reruns and page switches are not `Exception`s and pass through.
    """
    try:
        yield
    except ApiError as error:
        st.error(problem(error.error, error.detail, error.said))
    except Exception:
        log.exception("The page failed")
        st.error(say("common.page_failed"))
