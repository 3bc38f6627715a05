"""One bit, at its own address: what it says, shown and measured."""

from __future__ import annotations

import random
from importlib import import_module

import pandas as pd
import streamlit as st

from app.address import asked, say
from app.parts.naming import names_of
from app.screens.bits import bit_number, q_text, table
from app.state import View
from app.widgets import text
from codelab.core.formats import ordinal

PARTS = ("images", "classes", "meaning", "related", "pairs", "value", "where", "naming")
"""Files of `app/parts`, in order; the first is shown first."""


def show(view: View) -> None:
    frame = view.kept("table", make=lambda: table(view))
    order = [int(bit) for bit in frame["bit"]]
    # the most telling bit is the one to meet first
    bit = bit_number(asked("bit"), view.codes.bits)
    bit = order[0] if bit is None else bit
    say("bit", bit)
    _head(view, bit)
    rank = order.index(bit)
    _figures(view, frame.iloc[rank], rank + 1)
    parts = {part.NAME: part for part in (import_module(f"app.parts.{name}") for name in PARTS)}
    wanted = asked("part") if asked("part") in parts else next(iter(parts))

    def chosen() -> None:
        say("part", st.session_state["part"])

    st.session_state["part"] = wanted
    st.segmented_control(
        "Show",
        list(parts),
        key="part",
        format_func=lambda name: parts[name].TITLE,
        required=True,
        on_change=chosen,
        label_visibility="collapsed",
    )
    parts[wanted].show(view, bit)


def _head(view: View, bit: int) -> None:
    """The bit's number and name, and the way to others."""
    bits = view.codes.bits

    def typed() -> None:
        if st.session_state["bit"] is not None:  # an emptied field shows the bit again
            say("bit", st.session_state["bit"])

    name = names_of(view).get(bit)
    st.title(f"Bit {bit}" + (f": {text(name)}" if name else ""))
    st.session_state["bit"] = bit
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input("Bit", 0, bits - 1, None, step=1, key="bit", on_change=typed, width=130)
        for label, icon, key, other in (
            ("Previous", "chevron_left", "Left", (bit - 1) % bits),
            ("Next", "chevron_right", "Right", (bit + 1) % bits),
            ("Random", "shuffle", None, random.randrange(bits)),
        ):
            st.button(label, icon=f":material/{icon}:", on_click=say, args=("bit", other), shortcut=key)


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
