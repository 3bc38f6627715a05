"""Query: images by a formula over bits."""

from __future__ import annotations

import streamlit as st

from app.parts.naming import bits_named
from app.selected import show_selected
from app.selection import select, selected, selected_text
from app.state import View
from app.widgets import show_code, text
from codelab.core.errors import CodelabError


def show(view: View) -> None:
    st.title("Which images have these bits?")
    now = selected_text()

    def typed() -> None:
        words = st.session_state["query"].strip()
        select(f"where {words}" if words else "")

    st.session_state["query"] = now.removeprefix("where ") if now.startswith("where ") else ""
    st.text_input(
        "Formula",
        key="query",
        on_change=typed,
        placeholder='3 & ~17 | "class = cat"',
        help="Bits by number, or by name in quotes; & and, | or, ^ either, ~ not, and brackets.",
    )
    names = bits_named(view)
    if names:
        st.caption("Named bits: " + text(", ".join(f'"{name}" (bit {bit})' for name, bit in list(names.items())[:12])))
    try:
        found = selected(view)
    except CodelabError as error:
        st.error(text(str(error)), icon=":material/error:")
        return
    if found is None:
        st.info(
            "Type a formula, such as `0 & ~1`: the images whose bit 0 is 1 and whose bit 1 is 0. "
            "A selection on the map is shown here too.",
            icon=":material/info:",
        )
        return
    show_selected(view, found)
    if now.startswith("where "):
        query = now.removeprefix("where ")
        show_code(
            f"""
chosen = codes.where({query!r}, {names if names else "{}"})  # a bitarray, one bit an image
chosen.count()
codelab.describe(codes, chosen, groups={view.group!r})
"""
        )
