"""Pairs of real images that differ in a bit and in few others."""

from __future__ import annotations

import streamlit as st

from app.parts.images import images
from app.state import View
from app.widgets import reason, show_code
from codelab.core.errors import DataError
from codelab.core.formats import number
from codelab.semantics.pairs import minimal_pairs

NAME, TITLE = "pairs", "Minimal pairs"

PAIRS = 12


def show(view: View, bit: int) -> None:
    try:
        with st.spinner("Looking for pairs …"):
            found = view.measured(
                "minimal pairs", bit, make=lambda: minimal_pairs(view.codes, bit, count=PAIRS, groups=view.group)
            )
    except DataError as error:
        reason(str(error))
        return
    st.markdown("Two real images whose codes differ in this bit and in as few others as there are.")
    notes = [f"{n} other{'s' * (n != 1)}" for n in found.others.tolist()]
    for column, rows, side in zip(st.columns(2), (found.zero, found.one), (0, 1), strict=True):
        with column:
            st.markdown(f"**bit = {side}**")
            images(view, bit, rows, f"pair{side}", notes=notes)
    st.caption(
        f"The same place on both sides is one pair. Random pairs differ in {number(found.random)} other bits (median)."
    )
    show_code(f"codelab.minimal_pairs(codes, {bit}, count={PAIRS}, groups={view.group!r}).to_frame()")
