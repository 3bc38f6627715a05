"""What a selection holds: its images, its classes, the formula of bits that describes it, and its ids to take home."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from app.on_request import on_request
from app.pictured import among_pictured
from app.selection import Selection, select
from app.state import View
from app.widgets import downloads, gallery, open_item, reason, text
from codelab.core.attributes import labelling
from codelab.core.formats import p_phrase
from codelab.images.cards import card
from codelab.semantics.formulas import Description, describe

SHOWN = 24
LONGEST = 200
"""Values of an attribute in the table."""


def show_selected(view: View, found: Selection) -> None:
    """The panel that Query and Map share."""
    count = int(found.rows.sum())
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{count:,} of {len(found.rows):,} images**: {text(found.words)}", width="content")
        st.button("Clear", icon=":material/close:", on_click=select, args=("",), shortcut="Esc", key="clear")
    if not count:
        st.info("No image is selected.", icon=":material/info:")
        return
    _gallery(view, found)
    left, right = st.columns(2, gap="large")
    with left:
        _formula(view, found)
    with right:
        _mix(view, found)
    ids = view.codes.items["id"].filter(found.rows).to_pandas()
    downloads(pd.DataFrame({"id": ids}), "selection")


def _gallery(view: View, found: Selection) -> None:
    rows = among_pictured(view, np.flatnonzero(found.rows))
    draw = np.random.default_rng(0).permutation(len(rows))
    if view.group is not None:  # near copies would fill the row
        groups = view.codes.items[view.group].take(rows[draw]).to_pandas()
        draw = draw[~(groups.duplicated() & groups.notna()).to_numpy()]
    shown = rows[np.sort(draw[:SHOWN])]
    clicked = gallery([card(view.codes, int(row), view.pictures) for row in shown], "selected", size=74)
    if clicked is not None:
        open_item(view.codes.items["id"][clicked].as_py())
    st.caption(f"{len(shown)} of them, drawn at random. Click an image for what lies near it.")


def _formula(view: View, found: Selection) -> None:
    st.markdown("#### In bits")

    def describes(view: View) -> Description:
        chosen = found.rows[view.sample_rows] if view.large else found.rows
        return describe(view.sample, chosen, groups=view.group)

    label = "Look for the formula that describes the selection"
    made = on_request(view, "description", label, describes, found.text, ask=view.large)
    if isinstance(made, str):
        reason(made)
    if made is None or isinstance(made, str):
        return
    st.code(made.formula, language=None)
    st.markdown(
        f"On the half of the images that did not choose it: precision **{made.precision:.2f}**, recall "
        f"**{made.recall:.2f}**, IoU **{made.iou:.2f}**. Formulas of permuted selections: IoU {made.null_iou:.2f} "
        f"({p_phrase('p', made.p_value)})."
    )
    if found.text != f"where {made.formula}":
        st.button("Select by this formula", on_click=select, args=(f"where {made.formula}",), key="by-formula")
    st.caption(f"The best of {made.tried:,} formulas of up to four bits. {view.sampled}")


def _mix(view: View, found: Selection) -> None:
    """How often each value of the class or an attribute is among the selected, and among all."""
    st.markdown("#### Who is in it")
    codes = view.codes
    choices = [*(["class"] if codes.labelled and not codes.multilabel else []), *view.attributes]
    if not choices:
        st.caption("These codes have neither classes nor attributes.")
        return
    name = st.selectbox("Share of each", choices, key="mix", bind="query-params")
    frame = view.kept("mix", found.text, name, make=lambda: mix(view, found.rows, name))
    downloads(frame, "shares")
    st.dataframe(
        frame.head(LONGEST),
        hide_index=True,
        key="mix-table",
        column_config={
            "of them": st.column_config.NumberColumn(format="percent", help="Share of these that is selected"),
            "here": st.column_config.NumberColumn(format="percent", help="Share of the selection"),
            "everywhere": st.column_config.NumberColumn(format="percent", help="Share of all images"),
        },
    )


def mix(view: View, rows: np.ndarray, name: str) -> pd.DataFrame:
    """One row a value, the most frequent among the selected first."""
    found = labelling(view.codes, name)
    known = found.labels >= 0
    total = np.bincount(found.labels[known], minlength=len(found.names))
    inside = np.bincount(found.labels[known & rows], minlength=len(found.names))
    frame = pd.DataFrame(
        {
            "value": list(found.names),
            "selected": inside,
            "of": total,
            "of them": inside / np.maximum(total, 1),
            "here": inside / max(int(inside.sum()), 1),
            "everywhere": total / max(int(total.sum()), 1),
        }
    )
    return frame.sort_values(["selected", "of"], ascending=[False, True], kind="stable").reset_index(drop=True)
