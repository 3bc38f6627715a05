"""What takes long is measured when a person asks for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import streamlit as st

from app.state import View
from codelab.core.errors import CodelabError

T = TypeVar("T")


def on_request(
    view: View,
    name: str,
    label: str,
    measure: Callable[[View], T],
    *arguments: Hashable,
    ask: bool = True,
) -> T | str | None:
    """A result that is measured once for all sessions; None before a person asks, the reason where there is none.

    Args:
        name, arguments: what it is kept under.
        label: of the button that starts it.
        ask: show the button first; without, it is measured at once.
    """
    asked = st.session_state.setdefault("requested", set())
    which = (view.key, view.group, name, *arguments)
    known = not ask or which in asked or view.is_measured(name, *arguments)
    if not known and not st.button(label, key=f"ask-{name}-{view.content[:12]}", icon=":material/hourglass_empty:"):
        st.caption(f"With {len(view.codes):,} images this can take minutes; the result is kept.")
        return None
    asked.add(which)

    def make() -> T | str:
        try:
            return measure(view)
        except CodelabError as error:
            return str(error)

    with st.spinner(f"{label}: seconds to minutes; the result is kept …"):
        return view.measured(name, *arguments, make=make)
