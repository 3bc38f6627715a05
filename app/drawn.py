"""What a person draws on a map becomes the selection: a new one, or with what was selected before."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from app.held import held
from app.selection import MOST, Lassos, lassos, select, selected_text
from codelab.core.drawing import GREY
from codelab.core.errors import CodelabError
from codelab.neighbours.lasso import simplified
from codelab.neighbours.projection import Projection

HOW = {"New": "replaces the selection", "Add": "adds to it", "Subtract": "takes from it"}
KEYS = {"shift": "Add", "alt": "Subtract"}
"""What a key that is held while one draws does; without, the switch says it."""
HELD = "held"
OUTLINE = {"line": {"color": GREY, "width": 2, "dash": "dot"}}
"""The line that one draws: Plotly's own is nearly black, also on a dark page."""


def select_drawn(key: str, found: Projection, how: str) -> None:
    """Select what was drawn just now on the figure `key`, which shows the map `found`."""
    drawn = _new(polygons_of(st.session_state[key].selection), f"{key}-drawn")
    if not drawn:
        return
    made = with_drawn(drawn, found, KEYS.get(held(HELD), how)).text()
    if len(made) > MOST:
        st.toast("No more lassos fit into one address: this one is left out.", icon=":material/block:")
        return
    select(made)


def polygons_of(selection: Any) -> list[np.ndarray]:
    """What was drawn, as polygons of few corners."""
    found = [np.column_stack([one["x"], one["y"]]) for one in selection.get("lasso", []) if len(one["x"]) > 2]
    for one in selection.get("box", []):
        (x0, x1), (y0, y1) = one["x"], one["y"]
        found.append(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
    return [simplified(polygon) for polygon in found]


def _new(polygons: list[np.ndarray], key: str) -> list[np.ndarray]:
    """Those that were not there at the last call: while Shift or Alt is held the browser keeps the earlier ones."""
    before = st.session_state.get(key, [])
    st.session_state[key] = now = [polygon.tolist() for polygon in polygons]
    return [polygon for polygon, corners in zip(polygons, now, strict=True) if corners not in before]


def with_drawn(polygons: list[np.ndarray], found: Projection, how: str) -> Lassos:
    """The lassos of this map with what was drawn now."""
    before = None
    if how != "New":
        try:
            before = lassos(selected_text())
        except CodelabError:
            before = None
    own = before.parts if before and (before.method, before.seed) == (found.method, found.seed) else ()
    sign = -1 if how == "Subtract" else 1
    return Lassos(found.method, int(found.seed or 0), (*own, *((sign, polygon) for polygon in polygons)))
