"""Bits: a table of all, a map of the code, and which bits depend on which."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.address import asked, named
from app.bit_columns import COLUMNS, added
from app.parts.naming import names_of
from app.parts.related import dependence
from app.state import View
from app.widgets import chart, downloads, open_bit, reason, rows_to_open, show_code
from codelab.analysis.section import Column
from codelab.analysis.sections import SECTIONS, bit_table
from codelab.core.drawing import BLUE, ORANGE, blank
from codelab.core.result import only
from codelab.measures.class_information import ClassInformation

TABLE = "bit_table"
DEAD = "dead"
ORDERS = {
    "information": ("the most informative first", False),
    "entropy": ("the least balanced first", True),
    "split": ("those that vary in most classes first", False),
    "p": ("the most often 1 first", False),
    "bit": ("by number", True),
}
"""Orders of the table, by column: their words, and whether the lowest value is first."""


def show(view: View) -> None:
    st.title("What does each bit carry?")
    frame = view.kept("table", make=lambda: table(view))
    if asked("first") == "dependence":
        _dependence(view)
    left, right = st.columns([7, 4], gap="large")
    with left:
        _table(view, frame)
    with right:
        _map(view, frame)
    if asked("first") != "dependence":
        _dependence(view)
    show_code(
        f"""
results = codelab.analyze(codes, groups={view.group!r})
results["bit_usage"].to_frame()
results["class_information"].to_frame()
results["bit_dependence"].phi
"""
    )


def bit_number(named: str, bits: int) -> int | None:
    """The bit that a value in the address names; None where it names none."""
    # Python refuses to read a number of more than 4,300 digits
    return int(named) if named.isdecimal() and len(named) < 10 and int(named) < bits else None


def table(view: View) -> pd.DataFrame:
    """All bits, the most informative first; in their own order where there are no labels."""
    results = view.results(section for section in SECTIONS if section.columns)
    frame = bit_table(results)
    if frame is None:
        return pd.DataFrame({"bit": range(view.codes.bits)})
    information = only(ClassInformation, results)
    return frame if information is None else frame.assign(floor=q_floor(information.permutations))


def q_floor(permutations: int) -> float:
    """The least q-value that smaller ones differ from: what that many permutations can show, else 0.001."""
    return round(max(1 / (permutations + 1), 0.001), 3) if permutations else 0.001


def q_text(q: float, floor: float) -> str:
    """A q-value with three decimals; never 0, as chance is never ruled out."""
    return f"< {floor:.3f}" if q < floor else f"{q:.3f}"


def _table(view: View, frame: pd.DataFrame) -> None:
    """All bits but the dead ones; more columns, which take longer, when they are asked for."""
    shown, by = frame, _order(frame)
    dead = int((frame["state"] == DEAD).sum()) if "state" in frame else 0
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.text_input("Filter", key="filter", placeholder="a number, a name, a state", bind="query-params")
        st.toggle("Meaning", key="more", bind="query-params", help="Questions that bits answer, reuse of an attribute")
        st.toggle("Worth", key="worth", bind="query-params", help="Value for retrieval, and how often changes flip it")
        if dead:
            everything = st.toggle(f"Show {dead} dead bit{'s' * (dead != 1)} anyway", key="dead", bind="query-params")
            shown = shown if everything else shown[shown["state"] != DEAD]
    names = names_of(view)
    if names:
        shown = shown.assign(name=[names.get(int(bit), "") for bit in shown["bit"]])
    shown = added(view, shown)
    shown = _matching(shown.sort_values(by, ascending=ORDERS[by][1], kind="stable"), wanted).reset_index(drop=True)
    if not len(shown):
        words = "No bit matches." if wanted.strip() or not dead else "No bit matches: all are dead, and hidden."
        st.info(words, icon=":material/search_off:")
        return
    columns = [column for section in SECTIONS for column in section.columns]
    columns = [column for column in columns if column.short and column.name in shown]
    columns.sort(key=lambda column: column.form not in ("bar", "q"))  # first what the table is sorted by
    extra = [name for name in ("name", *COLUMNS) if name in shown]
    floor = float(frame["floor"].iloc[0]) if "floor" in frame else 0.0
    texts: dict[str, Any] = {"percent": "{:.1%}", "q": partial(q_text, floor=floor)}
    visible = shown[["bit", *extra, *(column.name for column in columns)]]
    rows_to_open(
        visible.style.format({column.name: texts[column.form] for column in columns if column.form in texts}),
        TABLE,
        lambda row: open_bit(int(visible["bit"].iloc[row])),
        column_config={
            "bit": st.column_config.NumberColumn("bit", width=45, pinned=True),
            **COLUMNS,
            **{column.name: _config(column, frame[column.name]) for column in columns},
        },
        height=min(560, 38 + 35 * len(visible)),
    )
    st.caption(f"{len(visible)} of {view.codes.bits} bits. Click a row to open its bit; click a heading to sort.")
    downloads(visible, "bits")


def _order(frame: pd.DataFrame) -> str:
    """The column by which the table is sorted, as the address names it."""
    known = [name for name in ORDERS if name in frame]
    changed = named(known, known[0], key="sort")
    return st.selectbox(
        "Bits", known, key="sort", format_func=lambda name: ORDERS[name][0], on_change=changed, width=230
    )


def _matching(frame: pd.DataFrame, wanted: str) -> pd.DataFrame:
    """The rows that have these words in their number, name, state or question."""
    words = wanted.casefold().split()
    if not words:
        return frame
    texts = frame[[name for name in ("bit", "name", "state", "question") if name in frame]].astype(str)
    joined = texts.agg(" ".join, axis=1).str.casefold()
    return frame[
        [all(word in line.split() or (not word.isdecimal() and word in line) for word in words) for line in joined]
    ]


def _config(column: Column, values: pd.Series) -> Any:
    """How the table shows a column."""
    about: dict[str, Any] = {"label": column.short, "help": column.help or None}
    if column.form == "bar":
        top = max(float(values.max()), 0.01)
        return st.column_config.ProgressColumn(format="%.3f", min_value=0.0, max_value=top, width=90, **about)
    if not pd.api.types.is_numeric_dtype(values):
        return st.column_config.TextColumn(width=60, **about)
    decimals = column.form == "number" and pd.api.types.is_float_dtype(values)
    return st.column_config.NumberColumn(format="%.3f" if decimals else None, width=60, **about)


def _map(view: View, frame: pd.DataFrame) -> None:
    """The code as a square of cells, one a bit, coloured by a column of the table."""
    by = {name: words for name, words in _MAPPED.items() if name in frame}
    if not by:
        return
    changed = named(by, next(iter(by)), key="coloured")
    name = st.selectbox(
        "The code, coloured by", list(by), format_func=by.__getitem__, key="coloured", on_change=changed
    )
    picked = chart(
        view.kept("map", name, make=lambda: _cells(frame, name, by[name])),
        f"map-{name}",
        on_select="rerun",
        selection_mode="points",
    )
    if picked.selection.points:
        open_bit(int(picked.selection.points[0]["customdata"][0]))
    st.caption("One cell a bit, bit 0 top left. Click a cell to open its bit.")


_MAPPED = {
    "p": "share of ones",
    "entropy": "entropy",
    "information": "information about the class",
    "split": "classes in which it varies",
}


def _cells(frame: pd.DataFrame, name: str, words: str) -> go.Figure:
    ordered = frame.sort_values("bit")
    bits = len(ordered)
    wide = int(np.ceil(np.sqrt(bits)))
    x, y = np.arange(bits) % wide, np.arange(bits) // wide
    figure = blank("", "", height=420)
    figure.add_scattergl(
        x=x,
        y=y,
        mode="markers",
        marker={
            "symbol": "square",
            "size": max(6, 330 // wide),
            "color": ordered[name].to_numpy(dtype=np.float64),
            "colorscale": "Cividis",
            "colorbar": {"title": {"text": words, "side": "right"}, "thickness": 12},
        },
        customdata=np.column_stack([ordered["bit"], ordered[name]]),
        hovertemplate="bit %{customdata[0]:d}: %{customdata[1]:.3f}<extra></extra>",
    )
    figure.update_xaxes(visible=False, range=[-0.6, wide - 0.4])
    figure.update_yaxes(visible=False, range=[(bits - 1) // wide + 0.6, -0.6], scaleanchor="x")
    figure.update_layout(showlegend=False, margin={"l": 4, "r": 4, "t": 4, "b": 4})
    return figure


def _dependence(view: View) -> None:
    st.markdown("#### Which bits say the same?")
    found = dependence(view)
    if isinstance(found, str):
        reason(found)
        return
    chart(view.kept("dependence", make=lambda: _heat(found.phi[np.ix_(found.order, found.order)], found.order)), "phi")
    st.caption(
        f"Correlation of every two bits, like bits side by side. {len(found.duplicates)} pairs are duplicates, "
        f"{len(found.complements)} complements."
    )


def _heat(phi: np.ndarray, order: np.ndarray) -> go.Figure:
    names = [str(bit) for bit in order]
    figure = blank("", "", height=560)
    figure.add_heatmap(
        z=phi.astype(np.float32).round(3),
        x=names,
        y=names,
        zmin=-1,
        zmax=1,
        colorscale=[[0, ORANGE], [0.5, "#FFFFFF"], [1, BLUE]],
        colorbar={"title": {"text": "phi"}, "thickness": 12},
        hovertemplate="bits %{x} and %{y}: phi %{z:.2f}<extra></extra>",
    )
    figure.update_xaxes(type="category", showticklabels=len(names) <= 64, tickfont={"size": 9})
    figure.update_yaxes(type="category", showticklabels=len(names) <= 64, autorange="reversed", tickfont={"size": 9})
    return figure
