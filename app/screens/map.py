"""Map: all codes in two dimensions, beside the same map of shuffled bits; a lasso selects."""

from __future__ import annotations

from functools import partial

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app.drawn import HELD, HOW, OUTLINE, select_drawn
from app.held import listen
from app.selected import show_selected
from app.selection import METHODS, Selection, projection, selected
from app.state import View
from app.widgets import chart, reason, show_code, text
from codelab.core.arrays import even_rows
from codelab.core.attributes import labelling
from codelab.core.drawing import BLUE, GREEN, GREY, ONE, ORANGE, PURPLE, SKY, VERMILLION, ZERO, blank, plain_name
from codelab.core.errors import CodelabError
from codelab.neighbours.projection import Projection
from codelab.semantics.signatures import bit_values

RASTER = 200
"""Cells on a side of the raster of all points, where there are more."""
BESIDE = 3000
"""Points of the control."""
MOST = 50_000 - BESIDE
"""Points of the map: with those of the control, all that the browser gets."""
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)
CONTEXT = "rgba(138, 145, 156, 0.3)"
"""What is not selected."""
SHAPES = {"Lasso": "lasso", "Box": "select"}
"""Plotly's name of what one draws."""


def show(view: View) -> None:
    st.title("What lies near what?")
    if len(view.codes) == 0:
        st.info("There are no codes in this set.", icon=":material/info:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.segmented_control(
            "By", METHODS, default=METHODS[0], required=True, key="method", bind="query-params"
        )
        seed = st.number_input("Seed", 0, 99, 0, key="seed", bind="query-params", width=120)
        choices = _choices(view)
        colour = st.selectbox("Colour", choices, key="colour", bind="query-params", width=240)
        bit = 0
        if colour == "a bit":
            bit = int(st.number_input("Bit", 0, view.codes.bits - 1, 0, key="bit", bind="query-params", width=120))
        shape = st.segmented_control(
            "Draw", list(SHAPES), default="Lasso", required=True, key="shape", bind="query-params"
        )
        how = st.segmented_control(
            f"A {shape.lower()}", list(HOW), default="New", required=True, key="how", bind="query-params"
        )
    found = projection(view, method, int(seed))
    if isinstance(found, str):
        reason(found)
    if found is None or isinstance(found, str):
        return
    try:
        chosen = selected(view)
    except CodelabError as error:
        st.error(text(str(error)), icon=":material/error:")
        chosen = None
    left, right = st.columns([7, 3], gap="medium")
    with left:
        _map(view, found, colour, bit, chosen, shape, how)
    with right:
        _control(found)
    if chosen is not None:
        show_selected(view, chosen)
    show_code(
        f"""
found = codelab.project(codes, method={method!r}, seed={seed}, groups={view.group!r})
found.coordinates, found.trustworthiness, found.control_trustworthiness
"""
    )


def _choices(view: View) -> list[str]:
    own = ["class"] if view.codes.labelled and not view.codes.multilabel else []
    return [*own, *view.attributes, "a bit", "nothing"]


def _labels(view: View, colour: str, bit: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The colour's number of each image, -1 for none, and its names."""
    if colour == "a bit":
        return bit_values(view.codes, bit).astype(np.int32), (f"bit {bit} = 0", f"bit {bit} = 1")
    if colour == "nothing":
        return np.zeros(len(view.codes), np.int32), ("images",)
    found = view.kept("labelling", colour, make=lambda: labelling(view.codes, colour))
    return found.labels, tuple(found.names)


def _map(view: View, found: Projection, colour: str, bit: int, chosen: Selection | None, shape: str, how: str) -> None:
    labels, names = _labels(view, colour, bit)
    rows = view.kept("drawn", colour, bit, MOST, make=lambda: _drawn(labels))
    figure = _figure(found.coordinates, rows, labels, names, None if chosen is None else chosen.rows)
    figure.update_layout(dragmode=SHAPES[shape])
    some = len(rows) < len(labels)
    if some:
        raster = view.kept("raster", found.method, found.seed, make=lambda: _raster(found.coordinates))
        figure.add_trace(raster)
    key = f"map-{found.method}-{found.seed}"
    with st.container(key="lasso"):
        chart(figure, key, on_select=partial(select_drawn, key, found, how), selection_mode=("lasso", "box"))
    listen("lasso", HELD)
    few = f"{len(rows):,} of {len(labels):,} points are drawn; grey shows where all lie, and a selection takes all. "
    st.caption(
        f"Trustworthiness {found.trustworthiness:.3f}, of the control {found.control_trustworthiness:.3f}. "
        f"{few if some else ''}Draw around points: a {shape.lower()} {HOW[how]}; with Shift held it adds, with Alt it "
        "subtracts. Sizes of clusters and distances between them say nothing; what another seed does not show may be "
        "chance."
    )


def _drawn(labels: np.ndarray) -> np.ndarray:
    """Rows to draw: all, or a sample in which each colour has its share."""
    n = len(labels)
    if n <= MOST:
        return np.arange(n)
    order = np.random.default_rng(0).permutation(n)
    order = order[np.argsort(labels[order], kind="stable")]
    return np.sort(order[even_rows(n, MOST)])


def _figure(
    points: np.ndarray, rows: np.ndarray, labels: np.ndarray, names: tuple[str, ...], chosen: np.ndarray | None
) -> go.Figure:
    """One trace a colour; what is not selected is grey context below."""
    figure = blank("", "", height=600)
    total = np.bincount(labels[labels >= 0], minlength=len(names))
    inside = total if chosen is None else np.bincount(labels[(labels >= 0) & chosen], minlength=len(names))
    order = np.argsort(-inside, kind="stable")[: len(COLOURS)]
    lit = np.ones(len(rows), bool) if chosen is None else chosen[rows]
    kept = np.isin(labels[rows], order) & lit
    _add(figure, points[rows[~lit]], CONTEXT, "not selected")
    _add(figure, points[rows[lit & ~kept]], GREY, "others")
    colours = _colours(order, np.argsort(-total, kind="stable")[: len(COLOURS)])
    for label in order.tolist():
        colour = colours[label] if not (len(names) == 2 and names[0].startswith("bit ")) else (ZERO, ONE)[label]
        count = f"{total[label]:,}" if chosen is None else f"{inside[label]:,} of {total[label]:,}"
        _add(figure, points[rows[kept & (labels[rows] == label)]], colour, f"{plain_name(names[label])} ({count})")
    figure.update_layout(margin={"l": 4, "r": 4, "t": 60, "b": 4})
    figure.update_layout(legend={"itemsizing": "constant"}, newselection=OUTLINE)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return figure


def _colours(shown: np.ndarray, largest: np.ndarray) -> dict[int, str]:
    """The colour of each label that is shown: a selection changes none of the largest, others take what is free."""
    own = dict(zip(largest.tolist(), COLOURS, strict=False))
    free = [colour for label, colour in own.items() if label not in shown] + list(COLOURS[len(own) :])
    return {label: own[label] if label in own else free.pop(0) for label in shown.tolist()}


def _raster(points: np.ndarray) -> go.Heatmap:
    """How many of all points lie in each cell of a raster, as the logarithm in 256 steps: a picture, not points.

    It lies below the points, which WebGL draws.
    """
    counts, x, y = np.histogram2d(points[:, 0], points[:, 1], bins=RASTER)
    shade = np.log1p(counts.T)
    return go.Heatmap(
        x=(x[:-1] + x[1:]) / 2,
        y=(y[:-1] + y[1:]) / 2,
        z=(255 * shade / shade.max()).astype(np.uint8),
        colorscale=[[0, "rgba(138, 145, 156, 0)"], [1, "rgba(138, 145, 156, 0.8)"]],
        showscale=False,
        hoverinfo="skip",
    )


def _add(figure: go.Figure, points: np.ndarray, colour: str, name: str) -> None:
    if len(points):
        figure.add_scattergl(
            x=points[:, 0].astype(np.float32),
            y=points[:, 1].astype(np.float32),
            mode="markers",
            name=name,
            marker={"color": colour, "size": 4 if len(points) < 20_000 else 3, "opacity": 0.8},
            hoverinfo="skip",
            # Streamlit dims what a lasso leaves out; here the selection itself is drawn
            unselected={"marker": {"opacity": 0.8}},
        )


def _control(found: Projection) -> None:
    """The same map of shuffled bits: what the method draws where there is nothing to see."""
    st.markdown("**The same, bits shuffled**")
    rows = np.random.default_rng(0).permutation(len(found.control))[:BESIDE]
    figure = blank("", "", height=340)
    # no second WebGL context: browsers have few
    figure.add_scatter(
        x=found.control[rows, 0],
        y=found.control[rows, 1],
        mode="markers",
        marker={"color": GREY, "size": 3, "opacity": 0.6},
        hoverinfo="skip",
    )
    figure.update_layout(showlegend=False, margin={"l": 4, "r": 4, "t": 4, "b": 4})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    chart(figure, f"control-{found.method}-{found.seed}")
    st.caption("Each bit permuted over the images on its own. Shapes in here are the method's, not the code's.")
