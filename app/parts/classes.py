"""A bit class by class, and its four cells for two classes."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.address import named
from app.parts.images import images
from app.pictured import among_pictured
from app.state import View
from app.widgets import chart, downloads, show_code, text
from codelab.core.errors import DataError
from codelab.semantics.signatures import ClassShares, bit_values, class_shares

NAME, TITLE = "classes", "Classes"

CELL = 6
"""Images in each of the four cells."""


def show(view: View, bit: int) -> None:
    try:
        found = view.measured("shares", bit, make=lambda: class_shares(view.codes, bit))
    except DataError as error:
        st.info(text(str(error)), icon=":material/info:")
        return
    chart(view.kept("shares-figure", bit, make=found.plot), f"shares{bit}")
    with st.expander(f"All {len(found.classes)} classes as a table", icon=":material/table:"):
        st.dataframe(found.to_frame(), hide_index=True, key=f"shares-table{bit}")
        downloads(found.to_frame(), f"bit{bit}-classes")
    if not view.codes.multilabel and len(found.classes) > 1:
        _cells(view, bit, found)
    show_code(f"codelab.class_shares(codes, {bit}).to_frame()")


def _class(title: str, classes: tuple[str, ...], usual: str) -> str:
    """A class to look at, as the address names it."""
    key = title.lower().replace(" ", "-")
    help = "By default those in which the bit is 1 most and least often."
    return str(st.selectbox(title, classes, key=key, on_change=named(classes, usual, key=key), help=help))


def _cells(view: View, bit: int, found: ClassShares) -> None:
    """Two classes, each on both sides of the bit."""
    st.markdown("#### Two classes, four cells")
    ends = (found.classes[0], found.classes[-1])
    chosen = []
    for column, title, usual in zip(st.columns(2), ("One class", "Another class"), ends, strict=True):
        with column:
            chosen.append(_class(title, found.classes, usual))
    values = bit_values(view.codes, bit)
    for name in dict.fromkeys(chosen):
        member = view.codes.labels == view.codes.classes.index(name)
        for column, side in zip(st.columns(2), (0, 1), strict=True):
            rows = np.flatnonzero(member & (values == side))
            with column:
                st.markdown(f"**{text(name)}, bit = {side}**: {len(rows):,} of {int(member.sum()):,} images")
                if len(rows):
                    rows = among_pictured(view, rows)
                    draw = np.random.default_rng(bit).permutation(len(rows))[:CELL]
                    images(view, bit, rows[np.sort(draw)], f"cell-{chosen.index(name)}-{side}")
                else:
                    st.caption("No image.")
    st.caption("Drawn at random from each cell.")
