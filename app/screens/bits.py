"""Bits: a table of all, and the page of one."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.address import asked, say
from app.pictured import pictured_exemplars, pictured_rows
from app.state import View
from app.widgets import chart, gallery, open_item, rows_to_pick, text
from codelab.analysis.section import Column
from codelab.analysis.sections import SECTIONS, bit_table
from codelab.core.errors import DataError
from codelab.core.formats import ordinal
from codelab.core.result import only
from codelab.images.cards import card
from codelab.measures.class_information import ClassInformation
from codelab.semantics.exemplars import Exemplars, exemplars
from codelab.semantics.signatures import class_shares

TITLE, ICON = "Bits", "grid_view"

TABLE = "bit_table"
SHOWN = 9
"""Images in each list of a bit's page; with three contrasts of 4 + 4 the page shows 60."""


def show(view: View) -> None:
    frame = view.kept("table", make=lambda: table(view))
    order = [int(bit) for bit in frame["bit"]]
    named = asked("bit")
    # the most telling bit is the one to meet first
    bit = bit_number(named, view.codes.bits)
    bit = order[0] if bit is None else bit
    say("bit", bit)
    left, right = st.columns([5, 10], gap="medium")
    with left:
        _table(view, frame, order, bit)
    with right:
        _one_bit(view, frame, order, bit)


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
    """The least q-value that is told apart from smaller ones: what that many permutations can show, else 0.001."""
    return round(max(1 / (permutations + 1), 0.001), 3) if permutations else 0.001


def q_text(q: float, floor: float) -> str:
    """A q-value with three decimals; never 0, as chance is never ruled out."""
    return f"< {floor:.3f}" if q < floor else f"{q:.3f}"


def _table(view: View, frame: pd.DataFrame, order: list[int], bit: int) -> None:
    st.markdown(f"#### {view.codes.bits} bits")

    columns = [column for section in SECTIONS for column in section.columns]
    columns = [column for column in columns if column.short and column.name in frame]
    columns.sort(key=lambda column: column.form not in ("bar", "q"))  # first what the table is sorted by
    floor = float(frame["floor"].iloc[0]) if "floor" in frame else 0.0
    texts: dict[str, Any] = {"percent": "{:.1%}", "q": partial(q_text, floor=floor)}
    shown = frame[["bit", *(column.name for column in columns)]].style
    rows_to_pick(
        shown.format({column.name: texts[column.form] for column in columns if column.form in texts}),
        TABLE,
        order.index(bit),
        lambda row: say("bit", order[row]),
        column_config={
            "bit": st.column_config.NumberColumn("bit", width=45, pinned=True),
            **{column.name: _config(column, frame[column.name]) for column in columns},
        },
        height=min(720, 38 + 35 * len(frame)),
    )
    st.caption("Click a row to open its bit; click a heading to sort.")


def _config(column: Column, values: pd.Series) -> Any:
    """How the narrow table shows a column."""
    about: dict[str, Any] = {"label": column.short, "help": column.help or None}
    if column.form == "bar":
        top = max(float(values.max()), 0.01)
        return st.column_config.ProgressColumn(format="%.3f", min_value=0.0, max_value=top, width=90, **about)
    if not pd.api.types.is_numeric_dtype(values):
        return st.column_config.TextColumn(width=60, **about)
    decimals = column.form == "number" and pd.api.types.is_float_dtype(values)
    return st.column_config.NumberColumn(format="%.3f" if decimals else None, width=60, **about)


def _one_bit(view: View, frame: pd.DataFrame, order: list[int], bit: int) -> None:
    bits = view.codes.bits

    def typed() -> None:
        if st.session_state["bit"] is not None:  # an emptied field shows the bit again
            say("bit", st.session_state["bit"])

    st.session_state["bit"] = bit
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input("Bit", 0, bits - 1, None, step=1, key="bit", on_change=typed, width=110)
        for label, icon, other in (
            ("Previous", "chevron_left", (bit - 1) % bits),
            ("Next", "chevron_right", (bit + 1) % bits),
            ("Random", "shuffle", random.randrange(bits)),
        ):
            st.button(label, icon=f":material/{icon}:", on_click=say, args=("bit", other))
    rank = order.index(bit)
    _figures(view, frame.iloc[rank], rank + 1)

    found = _exemplars(view, bit)
    _sides(view, found)
    _classes(view, found)


def _exemplars(view: View, bit: int) -> Exemplars:
    """Images that show the bit; where only some have a picture, a switch restricts the choice to those."""
    rows = pictured_rows(view)
    if rows is not None and st.toggle(
        f"Only images with a picture ({len(rows):,} of {len(view.codes):,})",
        True,
        key="pictured",
        help="Only a part of these images has a picture kept beside its code.",
    ):
        return view.kept("pictured", bit, make=lambda: pictured_exemplars(view, bit, rows, count=SHOWN, classes=3))
    return view.kept(
        "exemplars", bit, make=lambda: exemplars(view.codes, bit, count=SHOWN, classes=3, group=view.group)
    )


def _figures(view: View, row: pd.Series, rank: int) -> None:
    facts = [("Share of ones", f"{row['p']:.1%}", f"95% interval {row['low']:.1%} to {row['high']:.1%}")]
    facts.append(("Entropy", f"{row['entropy']:.3f} bit", f"{row['state']}"))
    bits = view.codes.bits
    if "information" in row:
        says = f"{row['uncertainty']:.0%} of its entropy" if row["entropy"] > 0 else "never changes"
        facts.append(("Information", f"{row['information']:.3f} bit", f"{says}; plug-in {row['plugin']:.3f}"))
        sure = "beyond chance" if row["q_value"] < 0.05 else "no better than chance"
        facts.append(("q-value", q_text(row["q_value"], row["floor"]), sure))
        facts.append(("Rank", f"{ordinal(rank)} of {bits}", "by information about the class"))
    with st.container(key="facts"):
        columns = st.columns(len(facts))
    for column, (name, value, note) in zip(columns, facts, strict=True):
        with column.container(gap=None):
            st.caption(name)
            st.markdown(f"#### {value}")
            st.caption(text(note))


def _sides(view: View, found: Exemplars) -> None:
    ranked = view.codes.logits is not None
    if ranked:
        chart(view.kept("margins", found.bit, found.chosen, make=found.plot), f"margins{found.bit}")
    order = "surest first" if ranked else "drawn at random"
    lists = [("0 side", order, found.zero, "zero"), ("1 side", order, found.one, "one")]
    if ranked:
        lists.insert(1, ("Threshold", "the least sure", found.threshold, "threshold"))
    for column, (title, note, rows, key) in zip(st.columns(len(lists)), lists, strict=True):
        with column:
            st.markdown(f"**{title}**, {note}")
            if len(rows):
                _images(view, found.bit, rows, key)
            else:
                st.caption("No image on this side.")
    if ranked:
        st.markdown("**The whole range**, in even steps from the surest 0 to the surest 1")
        _images(view, found.bit, found.quantiles, "range")
    else:
        st.caption("No logits were kept, so how near an image is to the threshold is not known: export with --logits.")
    st.caption(text(f"Images {found.chosen}. Hover for details; click an image for what lies near it."))


def _classes(view: View, found: Exemplars) -> None:
    st.markdown("#### Class by class")
    try:
        shares = view.kept("shares", found.bit, make=lambda: class_shares(view.codes, found.bit).plot())
    except DataError as error:
        st.info(text(str(error)), icon=":material/info:")
        return
    chart(shares, f"shares{found.bit}")
    if not found.contrasts:
        st.caption("No class has images on both sides.")
        return
    st.markdown("**Within one class**: what changes when the class does not?")
    for number, contrast in enumerate(found.contrasts):
        st.caption(text(contrast.label))
        zero, one = st.columns(2)
        with zero:
            _images(view, found.bit, contrast.zero, f"contrast{number}zero")
        with one:
            _images(view, found.bit, contrast.one, f"contrast{number}one")


def _signed(value: float) -> str:
    return f"{value:+.2f}" if abs(value) >= 0.005 else "≈ 0"


def _images(view: View, bit: int, rows: np.ndarray, key: str) -> None:
    """A gallery with the bit's logit under each image, in the colour of its side."""
    column, logits = view.codes.column(bit), view.codes.logits
    notes = [_signed(float(logits[row, bit])) for row in rows] if logits is not None else []
    cards = [card(view.codes, int(row), view.pictures) for row in rows]
    marks = ["one" if column[int(row)] else "zero" for row in rows]
    clicked = gallery(cards, f"{key}-{bit}", notes=notes, marks=marks, size=60)
    if clicked is not None:
        open_item(view.codes.items["id"][clicked].as_py())
