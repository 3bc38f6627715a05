"""The search field: a bit's number, a class or an image's id leads to its page."""

from __future__ import annotations

import re

import pyarrow.compute as pc
import streamlit as st

from app.keys import SEARCH
from app.state import View
from app.widgets import PAGES, text

_WANTED = "search_for"
"""Where the session keeps what was typed until the page runs."""
MOST_SHOWN = 100


def search_field() -> None:
    """In the sidebar; `go_to_found` acts on what was typed."""

    def typed() -> None:
        st.session_state[_WANTED] = st.session_state[SEARCH]
        st.session_state[SEARCH] = ""

    st.text_input(
        "Search", key=SEARCH, on_change=typed, placeholder="bit 12, a class, an id", icon=":material/search:"
    )


def go_to_found(view: View) -> None:
    """Open the page of what was typed into the search field; one line where nothing has that name."""
    words = str(st.session_state.pop(_WANTED, "")).strip()
    if not words:
        return
    found = find(view, words)
    if found is None:
        st.warning(text(f"Nothing is named {words[:MOST_SHOWN]!r} here."), icon=":material/search_off:")
        return
    page, names = found
    st.switch_page(st.session_state[PAGES][page], query_params=names)


def find(view: View, words: str) -> tuple[str, dict[str, str]] | None:
    """The page of what has this name, and what its address says; None where nothing has."""
    from app.parts.naming import bits_named

    named = bits_named(view)
    if words in named:
        return "bit", {"bit": str(named[words])}
    number = re.fullmatch(r"(?:bit )?(\d{1,9})", words, re.IGNORECASE)
    if number and int(number[1]) < view.codes.bits:
        return "bit", {"bit": str(int(number[1]))}
    if pc.index(view.codes.items["id"], words).as_py() >= 0:
        return "retrieval", {"item": words}
    if words in view.codes.classes:
        return "classes", {"class": words}
    return None
