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
from codelab.core.errors import DataError
from codelab.core.formats import ordinal
from codelab.images.cards import card
from codelab.measures.bit_reuse import BitReuse
from codelab.measures.bit_usage import BitUsage
from codelab.measures.class_information import ClassInformation
from codelab.semantics.exemplars import Exemplars, exemplars
from codelab.semantics.signatures import class_shares

TABLE = "bit_table"
SHOWN = 9
"""Images in each list of a bit's page; with three contrasts of 4 + 4 the page shows 60."""

_COLUMNS = {
    "bit": st.column_config.NumberColumn("bit", width=45, pinned=True),
    "q_value": st.column_config.NumberColumn(
        "q", help="Share of false finds among bits with this value or less; shuffled labels", width=65
    ),
    "p": st.column_config.NumberColumn("ones", help="Share of images with bit = 1", width=60),
    "entropy": st.column_config.NumberColumn("entropy", help="Entropy in bits", format="%.3f", width=65),
    "split": st.column_config.NumberColumn(
        "splits", help="Classes in which the bit is 1 in 20% to 80% of the images", width=55
    ),
    "state": st.column_config.TextColumn("state", width=60),
}
_ORDER = ("bit", "information", "q_value", "p", "entropy", "split", "state")


def show(view: View) -> None:
    frame = table(view)
    order = [int(bit) for bit in frame["bit"]]
    named = asked("bit")
    # the most telling bit is the one to meet first
    bit = int(named) if named.isdecimal() and int(named) < view.codes.bits else order[0]
    say("bit", bit)
    left, right = st.columns([5, 10], gap="medium")
    with left:
        _table(view, frame, order, bit)
    with right:
        _one_bit(view, frame, order, bit)


def table(view: View) -> pd.DataFrame:
    """All bits, the most informative first; in their own order where there are no labels."""
    usage, information, reuse = (view.result(name) for name in ("bit_usage", "class_information", "bit_reuse"))
    frame = usage.to_frame() if isinstance(usage, BitUsage) else pd.DataFrame({"bit": range(view.codes.bits)})
    if isinstance(information, ClassInformation):
        frame = frame.merge(information.to_frame()[["bit", "information", "q_value", "plugin", "uncertainty"]])
        if isinstance(reuse, BitReuse):
            frame = frame.merge(reuse.to_frame()[["bit", "split"]])
        frame["floor"] = q_floor(information.permutations)
        frame = frame.sort_values("information", ascending=False, kind="stable")
    return frame.reset_index(drop=True)


def q_floor(permutations: int) -> float:
    """The least q-value that is told apart from smaller ones: what that many permutations can show, else 0.001."""
    return round(max(1 / (permutations + 1), 0.001), 3) if permutations else 0.001


def q_text(q: float, floor: float) -> str:
    """A q-value with three decimals; never 0, for chance is never ruled out."""
    return f"< {floor:.3f}" if q < floor else f"{q:.3f}"


def _table(view: View, frame: pd.DataFrame, order: list[int], bit: int) -> None:
    st.markdown(f"#### {view.codes.bits} bits")

    names = [name for name in _ORDER if name in frame.columns]
    columns = dict(_COLUMNS)
    texts: dict[str, Any] = {"p": "{:.1%}"}
    if "information" in frame.columns:
        columns["information"] = st.column_config.ProgressColumn(
            "class info",
            help="Information about the class in bits, corrected for chance",
            format="%.3f",
            min_value=0.0,
            max_value=max(float(frame["information"].max()), 0.01),
            width=90,
        )
        texts["q_value"] = partial(q_text, floor=float(frame["floor"].iloc[0]))
    rows_to_pick(
        frame[names].style.format(texts),
        TABLE,
        order.index(bit),
        lambda row: say("bit", order[row]),
        column_config=columns,
        height=min(720, 38 + 35 * len(frame)),
    )
    st.caption("Click a row to open its bit; click a heading to sort.")


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
    """Images that show the bit; where only some have a picture, a switch says whether to choose among those."""
    rows = pictured_rows(view)
    if rows is not None and st.toggle(
        f"Only images with a picture ({len(rows):,} of {len(view.codes):,})",
        True,
        key="pictured",
        help="Only a part of these images has a picture kept beside its code.",
    ):
        return pictured_exemplars(view, bit, rows, count=SHOWN, classes=3)
    return exemplars(view.codes, bit, count=SHOWN, classes=3, group=view.group)


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
        chart(found.plot(), f"margins{found.bit}")
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
        st.caption("No logits were kept, so nothing says how near an image is to the threshold: export with --logits.")
    st.caption(text(f"Images {found.chosen}. Hover for details; click an image for what lies near it."))


def _classes(view: View, found: Exemplars) -> None:
    st.markdown("#### Class by class")
    try:
        shares = class_shares(view.codes, found.bit)
    except DataError as error:
        st.info(text(str(error)), icon=":material/info:")
        return
    chart(shares.plot(), f"shares{found.bit}")
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
    cards = [card(view.codes, int(row)) for row in rows]
    marks = ["one" if column[int(row)] else "zero" for row in rows]
    clicked = gallery(cards, f"{key}-{bit}", notes=notes, marks=marks, size=60)
    if clicked is not None:
        open_item(view.codes.items["id"][clicked].as_py())
