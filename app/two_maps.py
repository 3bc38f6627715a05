"""The maps of two codes of the same images, with one selection."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from app.drawn import HELD, OUTLINE, select_drawn
from app.held import listen
from app.selection import METHODS, lassos, projection, select, selected, selected_text
from app.state import View
from app.widgets import chart, reason, text
from codelab.core.arrays import even_rows
from codelab.core.drawing import BLUE, GREY, blank
from codelab.core.errors import CodelabError
from codelab.neighbours.projection import Projection

MOST = 3000
"""Points of each map."""
CONTEXT = "rgba(138, 145, 156, 0.3)"
"""What is not selected."""


def show_two_maps(view: View, other: View) -> None:
    """What is selected in one lies where in the other? The selection is that of the pages Map and Query."""
    st.markdown("#### One selection on both maps")
    try:
        drawn = lassos(selected_text())
    except CodelabError:
        drawn = None
    method, seed = (METHODS[0], 0) if drawn is None else (drawn.method, drawn.seed)
    maps = []
    for one, name in ((view, "a"), (other, "b")):
        found = projection(one, method, seed, ask=name == "a")  # one click for both, where they are small
        if isinstance(found, str):
            reason(f"{name}: {found}")
        if found is None or isinstance(found, str):
            return
        maps.append(found)
    try:
        chosen = selected(view)
    except CodelabError as error:
        st.error(text(str(error)), icon=":material/error:")
        chosen = None
    lit = None if chosen is None else chosen.rows
    with st.container(key="two-maps"):
        columns = st.columns(2, gap="medium")
    for column, found, name in zip(columns, maps, "ab", strict=True):
        with column:
            st.markdown(f"**{name}**")
            _map(found, lit, name)
    listen("two-maps", HELD)
    if chosen is None:
        st.caption("Draw around points of a: the same images are lit in b.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        count = f"**{int(chosen.rows.sum()):,} of {len(chosen.rows):,} images**"
        st.markdown(f"{count}: {text(chosen.words)} of a; the same images in b", width="content")
        st.button("Clear", icon=":material/close:", on_click=select, args=("",), shortcut="Esc", key="clear")


def _map(found: Projection, lit: np.ndarray | None, name: str) -> None:
    rows = _drawn(len(found.coordinates), lit)
    parts = [(rows, GREY)] if lit is None else [(rows[~lit[rows]], CONTEXT), (rows[lit[rows]], BLUE)]
    figure = blank("", "", height=420)
    for part, colour in parts:
        # as SVG: browsers have few WebGL contexts
        figure.add_scatter(
            x=found.coordinates[part, 0].astype(np.float32),
            y=found.coordinates[part, 1].astype(np.float32),
            customdata=part,
            mode="markers",
            marker={"color": colour, "size": 4},
            hoverinfo="skip",
            unselected={"marker": {"opacity": 1}},
        )
    figure.update_layout(showlegend=False, margin={"l": 4, "r": 4, "t": 4, "b": 4})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    key = f"map-of-{name}-{found.method}-{found.seed}"
    if name == "b":
        chart(figure, key)
        return
    figure.update_layout(dragmode="lasso", newselection=OUTLINE)
    chart(figure, key, on_select=partial(select_drawn, key, found, "New"), selection_mode=("lasso", "box"))


def _drawn(n: int, lit: np.ndarray | None) -> np.ndarray:
    """Rows to draw: an even sample, the same in both maps, of what is selected and of the rest."""
    if n <= MOST:
        return np.arange(n)
    if lit is None:
        return even_rows(n, MOST)
    parts = (np.flatnonzero(lit), np.flatnonzero(~lit))
    return np.sort(np.concatenate([rows[even_rows(len(rows), min(len(rows), MOST // 2))] for rows in parts]))
