"""Overview: is the code healthy?"""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from app.state import View
from app.widgets import chart, open_bit, reason, text
from codelab.core.verdict import Verdict
from codelab.measures.bit_usage import BitUsage
from codelab.measures.block_entropy import BlockEntropy
from codelab.measures.class_information import ClassInformation
from codelab.measures.pair_distances import PairDistances
from codelab.reporting.verdict import overall, verdicts

_ICONS = {"good": "check_circle", "watch": "visibility", "bad": "error", "note": "info"}
_SECTIONS = (
    "bit_usage",
    "pair_distances",
    "block_entropy_contiguous",
    "block_entropy_random",
    "degrees_of_freedom",
    "block_entropy_dependent",
    "class_information",
)
_COLOURS = {"good": "green", "watch": "orange", "bad": "red", "note": "gray"}


def show(view: View) -> None:
    st.title("Is the code healthy?")
    results = {section: view.result(section) for section in _SECTIONS}
    lines = verdicts(results)
    answer = overall(lines)
    box = {"good": st.success, "watch": st.warning, "bad": st.error, "note": st.info}[answer.level]
    box(f"**{answer.title}.** {text(answer.text)}", icon=f":material/{_ICONS[answer.level]}:")
    _lines(lines)

    with st.container(key="charts"):
        left, right = st.columns(2, gap="large")
    usage = results.get("bit_usage")
    distances = results.get("pair_distances")
    information = results.get("class_information")
    with left:
        st.markdown("#### How often each bit is 1")
        if isinstance(usage, BitUsage):
            _bit_chart(usage.plot(), "usage")
        st.markdown("#### What each bit says about the class")
        if isinstance(information, ClassInformation):
            _bit_chart(information.plot(), "information")
        else:
            reason(information)
    with right:
        st.markdown("#### How far apart codes lie")
        if isinstance(distances, PairDistances):
            chart(distances.plot(), "distances")
        else:
            reason(distances)
        st.markdown("#### How full blocks of bits are")
        found = [results.get(f"block_entropy_{name}") for name in ("contiguous", "random", "dependent")]
        blocks = [result for result in found if isinstance(result, BlockEntropy)]
        if blocks:
            chart(blocks[0].plot(*blocks[1:]), "blocks")
        else:
            reason(found[0])

    with st.expander("Where these codes come from", icon=":material/receipt_long:"):
        st.json({"file": str(view.path), "sha256": view.codes.sha256, **view.codes.meta})


def _bit_chart(figure: go.Figure, key: str) -> None:
    """A chart whose points are bits: a click opens the bit's page."""
    picked = chart(figure, key, on_select="rerun", selection_mode="points")
    points = picked.selection.points
    if points:
        trace = figure.data[points[0]["curve_number"]]
        open_bit(int(trace.customdata[points[0]["point_index"]][0]))
    st.caption("Click a bit to open its page.")


def _lines(lines: list[Verdict]) -> None:
    with st.container(key="verdicts"):
        columns = st.columns(len(lines))  # three in a row, fewer on a narrow page: see the style
    for column, line in zip(columns, lines, strict=True):
        with column.container(border=True, height="stretch", gap="xsmall"):
            st.markdown(f":{_COLOURS[line.level]}[:material/{_ICONS[line.level]}:] **{line.title}**")
            if line.figure:
                st.markdown(f"### {line.figure}")
            st.markdown(text(line.text))
            if line.limits:
                st.caption(text(line.limits))
