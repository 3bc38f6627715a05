"""Images of a bit: its two sides, its threshold, quantile bins, and contrasts within one class."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from app.pictured import pictured_exemplars, pictured_rows
from app.state import View
from app.widgets import chart, gallery, open_item, show_code, text
from codelab.images.cards import card
from codelab.semantics.exemplars import Exemplars, exemplars

NAME, TITLE = "images", "Images"

SHOWN = 8
"""Images in each list; with three contrasts of 4 + 4, and two images of six bins, the page shows 60."""
BINS, EACH = 5, 2
"""Quantile bins, one of which the threshold divides, and images of each."""
COUNTS: dict[str, Any] = {"count": SHOWN, "classes": 3, "bins": BINS}


def show(view: View, bit: int) -> None:
    found = shown_exemplars(view, bit)
    _sides(view, found)
    if found.contrasts:
        st.markdown("**Within one class**: what changes when the class does not?")
    for number, contrast in enumerate(found.contrasts):
        st.caption(text(contrast.label))
        zero, one = st.columns(2)
        with zero:
            images(view, bit, contrast.zero, f"contrast{number}zero")
        with one:
            images(view, bit, contrast.one, f"contrast{number}one")
    show_code(
        f"""
found = codelab.exemplars(codes, {bit}, count={SHOWN}, classes=3, bins={BINS}, group={view.group!r})
found.zero, found.threshold, found.one  # row numbers; codes.items has their ids
[(str(part), part.rows) for part in found.bins]
found.plot()
"""
    )


def shown_exemplars(view: View, bit: int) -> Exemplars:
    """Images that show the bit; where only some have a picture, a switch restricts the choice to those."""
    rows = pictured_rows(view)
    if rows is not None and st.toggle(
        f"Only images with a picture ({len(rows):,} of {len(view.codes):,})",
        True,
        key="pictured",
        bind="query-params",
        help="Only a part of these images has a picture kept beside its code.",
    ):
        return view.measured("pictured", bit, make=lambda: pictured_exemplars(view, bit, rows, **COUNTS))
    with st.spinner("Looking for images …"):
        return view.measured("exemplars", bit, make=lambda: exemplars(view.codes, bit, group=view.group, **COUNTS))


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
                images(view, found.bit, rows, key)
            else:
                st.caption("No image on this side.")
    _bins(view, found)
    if not ranked:
        st.caption("No logits were kept, so how near an image is to the threshold is not known: export with --logits.")
    st.caption(text(f"Images {found.chosen}. Hover for details; click an image for what lies near it."))


def _bins(view: View, found: Exemplars) -> None:
    """Images drawn from every part of the range, with the share of the images that lie there."""
    if not found.bins:
        return
    by = "logit" if view.codes.logits is not None else "agreement with related bits"
    st.markdown(f"**The whole range** by {by}, lowest first: images drawn at random from each part")
    with st.container(key="bins"):
        columns = st.columns(len(found.bins))
    for number, (column, part) in enumerate(zip(columns, found.bins, strict=True)):
        with column:
            where, _, share = str(part).partition(": ")
            st.caption(f"**{text(where)}** {share}")
            images(view, found.bit, part.rows[:EACH], f"bin{number}")


def images(view: View, bit: int, rows: np.ndarray, key: str, *, notes: list[str] | None = None) -> None:
    """A gallery in the colours of the bit's sides, with its logit under each image where there are no other notes."""
    logits = view.codes.logits
    if notes is None:
        notes = [signed(float(logits[row, bit])) for row in rows] if logits is not None else []
    cards = [card(view.codes, int(row), view.pictures) for row in rows]
    marks = ["one" if view.codes.code(int(row))[bit] else "zero" for row in rows]
    clicked = gallery(cards, f"{key}-{bit}", notes=notes, marks=marks, size=60)
    if clicked is not None:
        open_item(view.codes.items["id"][clicked].as_py())


def signed(value: float) -> str:
    return f"{value:+.2f}" if abs(value) >= 0.005 else "≈ 0"
