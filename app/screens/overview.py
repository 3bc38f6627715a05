"""Overview: is anything wrong with these codes?"""

from __future__ import annotations

import shlex

import streamlit as st

from app.state import View
from app.widgets import PAGES, chart, downloads, open_bit, reason, show_code, text
from codelab.analysis.controls import MEANING, Controls
from codelab.analysis.sections import SECTIONS
from codelab.core.result import only
from codelab.core.verdict import Verdict
from codelab.reporting.charts import Drawing, drawings
from codelab.reporting.verdict import overall, verdicts

_ICONS = {"good": "check_circle", "watch": "visibility", "bad": "error", "note": "info"}
_COLOURS = {"good": "green", "watch": "orange", "bad": "red", "note": "gray"}

BEHIND: dict[str, tuple[str, str, dict[str, str]]] = {
    "Bit balance": ("The least balanced bits", "bits", {"sort": "entropy"}),
    "Bits in use": ("Dead and rare bits first", "bits", {"sort": "entropy", "dead": "true"}),
    "Independent bits": ("Bits related to a bit", "bit", {"part": "related"}),
    "Block entropy": ("Which bits say the same", "bits", {"first": "dependence"}),
    "Class in single bits": ("The most informative bit", "bit", {}),
    "Class in distances": ("Each class and its bits", "classes", {}),
    "Retrieval": ("What lies near an image", "retrieval", {}),
    "Against shuffled codes": ("Bits that vary in several classes", "bits", {"sort": "split"}),
    "Against random directions": ("A bit beside a random direction", "bit", {"part": "meaning"}),
}
"""Of each tile the link to the bits, classes or images behind it: its words, the page, and what its address names."""


def show(view: View) -> None:
    st.title("Is anything wrong with these codes?")
    results = view.results(section for section in SECTIONS if section.verdicts or section.chart)
    lines = verdicts(results)
    answer = overall(lines)
    box = {"good": st.success, "watch": st.warning, "bad": st.error, "note": st.info}[answer.level]
    box(f"**{answer.title}.** {text(answer.text)}", icon=f":material/{_ICONS[answer.level]}:")
    if copies := view.unnamed_copies():
        words = f"Near copies count as independent images: {copies}. Choose the column that names them in the sidebar."
        st.warning(text(words), icon=":material/content_copy:")
    _lines(lines)
    _controls(view, only(Controls, results))

    with st.container(key="charts"):
        columns = st.columns(2, gap="large")
    for place, drawing in enumerate(view.kept("drawings", make=lambda: drawings(results))):
        with columns[place % 2]:
            _chart(drawing)

    with st.expander("Where these codes come from", icon=":material/receipt_long:"):
        st.json({"file": str(view.path), "sha256": view.codes.sha256, **view.codes.meta})
    _measure_bits(view)
    show_code(
        f"""
from codelab.reporting.verdict import verdicts

results = codelab.analyze(codes, groups={view.group!r})
for line in verdicts(results):
    print(line.level, line.title, line.figure, line.text)
"""
    )


def _measure_bits(view: View) -> None:
    """What the table of bits and their dependence are made of, once, so that the first click on a bit is quick."""
    bits = [section for section in SECTIONS if section.columns or section.name == "bit_dependence"]
    view.results(section for section in bits if not view.is_measured("section", section.name))


def _chart(drawing: Drawing) -> None:
    """A figure, or why there is none; where its points are bits, a click opens the bit's page."""
    st.markdown(f"#### {drawing.chart.title}")
    figure = drawing.figure
    if figure is None:
        reason(drawing.text)
    elif not drawing.chart.bits:
        chart(figure, drawing.name)
    else:
        picked = chart(figure, drawing.name, on_select="rerun", selection_mode="points")
        points = picked.selection.points
        if points:
            trace = figure.data[points[0]["curve_number"]]
            open_bit(int(trace.customdata[points[0]["point_index"]][0]))
        st.caption("Click a bit to open its page.")


def _controls(view: View, found: Controls | None) -> None:
    """The figures beside those of random directions and shuffled codes."""
    if found is None:
        return
    st.markdown("#### Beside random directions and shuffled codes")
    st.dataframe(found.table(), hide_index=True, key="controls")
    downloads(found.table(), "controls")
    st.caption(text(f"{MEANING} {found.words()}".strip()))
    st.caption("More controls, and every measure that a paper prints; this takes minutes:")
    group = f" --group {shlex.quote(view.group)}" if view.group else ""
    st.code(f"codelab score {shlex.quote(str(view.path))}{group} --out scorecard.html", language="bash")


def _lines(lines: list[Verdict]) -> None:
    with st.container(key="verdicts"):
        columns = st.columns(len(lines))  # three in a row, fewer on a narrow page: see the style
    for column, line in zip(columns, lines, strict=True):
        with column.container(border=True, height="stretch", gap="xsmall"):
            st.markdown(f":{_COLOURS[line.level]}[:material/{_ICONS[line.level]}:] **{line.title}**")
            if line.figure:
                st.markdown(f"### {line.figure}")
            st.markdown(text(line.text))
            if line.beside:
                st.markdown(text(line.beside))
            if line.limits:
                st.caption(text(line.limits))
            label, page, names = BEHIND[line.title]
            st.page_link(
                st.session_state[PAGES][page], label=label, icon=":material/arrow_forward:", query_params=names
            )
