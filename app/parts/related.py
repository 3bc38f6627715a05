"""Bits that say nearly the same as a bit, or the opposite; pointing at one shows its images."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from app.hover import hover_links
from app.pictured import pictured_exemplars, pictured_rows
from app.state import View
from app.widgets import open_bit, reason, show_code
from codelab.analysis.sections import SECTIONS
from codelab.core.result import Skipped, only
from codelab.images.cards import card
from codelab.measures.bit_dependence import BitDependence
from codelab.semantics.exemplars import Exemplars, exemplars

NAME, TITLE = "related", "Related bits"

SHOWN = 10
PICTURES = 3
"""Images of each side on a hover card."""


def dependence(view: View) -> BitDependence | str:
    """How every two bits depend, or why that was not measured."""
    results = view.results(section for section in SECTIONS if section.name == "bit_dependence")
    found = only(BitDependence, results)
    skipped = next(iter(results.values()))
    return found or (skipped.reason if isinstance(skipped, Skipped) else "bit_dependence: not measured")


def few(view: View, bit: int) -> Exemplars:
    """A few images of each side, among those with a picture where only some have one, or in a sample of many."""
    rows = pictured_rows(view)
    if rows is None and view.large:
        rows = view.sample_rows
    if rows is not None:
        return pictured_exemplars(view, bit, rows, count=PICTURES, classes=1, bins=1, histogram=False)
    return exemplars(view.codes, bit, count=PICTURES, classes=1, bins=1, group=view.group)


def show(view: View, bit: int) -> None:
    found = dependence(view)
    if isinstance(found, str):
        reason(found)
        return
    phi = found.phi[bit].copy()
    phi[bit] = 0
    order = np.argsort(-np.abs(phi), kind="stable")[:SHOWN]
    order = order[np.abs(phi[order]) > 0]
    if not len(order):
        st.info("No other bit depends on this one.", icon=":material/info:")
        return
    st.markdown(
        f"The {len(order)} bits whose correlation with bit {bit} is furthest from 0. Point at one to see its images; "
        "click to open it."
    )
    cards = []
    for other in order.tolist():
        known = view.measured("few", other, PICTURES, make=partial(few, view, other))
        sides = {
            side: [card(view.codes, int(row), view.pictures) for row in getattr(known, side)]
            for side in ("zero", "one")
        }
        facts = [f"phi {phi[other]:+.2f}", f"shares {found.information[bit, other]:.3f} bit"]
        q = float(found.q_value[bit, other])
        facts.append("q < 0.001" if q < 0.001 else f"q = {q:.3f}")
        if found.conditional is not None:
            facts.append(f"{found.conditional[bit, other]:.3f} bit within classes")
        cards.append((other, f"bit {other}  {phi[other]:+.2f}", facts, sides))
    clicked = hover_links(cards, f"related{bit}")
    if clicked is not None:
        open_bit(clicked)
    st.caption("Correlation over all images; a negative one means the opposite. Information is corrected for chance.")
    show_code(
        f"""
found = codelab.bit_dependence(codes, groups={view.group!r})
order = abs(found.phi[{bit}]).argsort()[::-1]
found.phi[{bit}][order[1:11]]
"""
    )
