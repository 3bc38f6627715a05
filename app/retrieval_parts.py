"""Parts of the retrieval page: weights of bits, and how well all images retrieve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.address import asked, say
from app.on_request import on_request
from app.parts.naming import names_of
from app.queries import weights_of, weights_text
from app.state import View
from app.widgets import chart, downloads, reason, text
from codelab.core.arrays import even_rows
from codelab.core.codes import Codes
from codelab.core.drawing import BLUE, GREY, blank
from codelab.core.errors import CodelabError
from codelab.retrieval.measures import PrecisionRecallCurve, precision_recall_curve
from codelab.retrieval.oversampling import OversamplingCurve, oversampling_curve
from codelab.retrieval.shorter import BudgetCurve, bit_budget_curve

WEIGHTS = "weights"
MOST = 20_000
"""Images that rank each other for a curve, at most."""


def weights_in_address(view: View) -> np.ndarray | None:
    """The weight of each bit, as the address has them; None where all count once, or it holds none."""
    try:
        return weights_of(asked(WEIGHTS), view.codes.bits)
    except CodelabError:
        return None


def bit_weights(view: View) -> np.ndarray | None:
    """The weight of each bit, as the address has them; None where all count once."""
    try:
        weights = weights_of(asked(WEIGHTS), view.codes.bits)
    except CodelabError as error:
        st.error(text(str(error)), icon=":material/error:")
        weights = None
    with st.expander("Which bits count, and how much", icon=":material/tune:", expanded=weights is not None):
        names = names_of(view)
        now = np.ones(view.codes.bits) if weights is None else weights
        frame = pd.DataFrame(
            {
                "bit": range(view.codes.bits),
                "counts": now > 0,
                "weight": now,
                "name": [names.get(b, "") for b in range(view.codes.bits)],
            }
        )
        # a new key with each state of the address: the editor's own changes are then part of it
        key = f"editor {weights_text(now)}"

        def edited() -> None:
            changed = now.copy()
            for row, cells in st.session_state[key]["edited_rows"].items():
                if "weight" in cells:
                    changed[row] = max(float(cells["weight"] or 0), 0)
                elif "counts" in cells:
                    changed[row] = float(cells["counts"]) and (now[row] or 1)
            if changed.any():
                say(WEIGHTS, weights_text(changed))

        st.data_editor(
            frame,
            key=key,
            on_change=edited,
            hide_index=True,
            height=240,
            disabled=["bit", "name"],
            column_config={
                "bit": st.column_config.NumberColumn(width=60),
                "counts": st.column_config.CheckboxColumn(width=60),
                "weight": st.column_config.NumberColumn(min_value=0, max_value=1000, step=0.5, width=80),
            },
        )
        st.button("All bits alike", on_click=say, args=(WEIGHTS, ""), disabled=weights is None, key="alike")
    return weights


def show_curves(view: View) -> None:
    """How well all images retrieve: precision against recall, shorter codes, and how much to fetch."""
    st.markdown("#### How well do these codes retrieve?")
    tabs: dict[str, tuple[str, Callable[[View], Any], Callable[[Any], go.Figure]]] = {
        "Precision and recall": ("precision-recall", _precision_recall, _draw_precision_recall),
        "Fewer bits": ("budget", _budget, _draw_budget),
        "Oversampling": ("oversampling", _oversampling, lambda found: found.plot()),
    }
    chosen = st.segmented_control("Curve", list(tabs), key="curve", bind="query-params", label_visibility="collapsed")
    if chosen is None:
        st.caption("Choose a curve; each is measured once and kept.")
        return
    name, measure, draw = tabs[chosen]
    found = on_request(view, name, f"Measure: {chosen.lower()}", measure)
    if found is None:
        return
    if isinstance(found, str):
        reason(found)
        return
    chart(draw(found), f"curve-{name}")
    sample = f" On an even sample of {MOST:,} images." if len(view.codes) > MOST and name != "oversampling" else ""
    st.caption(text(found.headline()) + sample)
    downloads(found.to_frame(), name)


def _precision_recall(view: View) -> PrecisionRecallCurve:
    return precision_recall_curve(_some(view.codes), groups=view.group, exclude_self=view.group is None)


def _budget(view: View) -> BudgetCurve:
    return bit_budget_curve(_some(view.codes), groups=view.group)


def _oversampling(view: View) -> OversamplingCurve:
    return oversampling_curve(view.codes, groups=view.group)


def _some(codes: Codes) -> Codes:
    """All codes, or an even sample: each image ranks all others."""
    return codes if len(codes) <= MOST else codes[even_rows(len(codes), MOST)]


def _draw_precision_recall(found: PrecisionRecallCurve) -> go.Figure:
    figure = blank("recall", "precision")
    figure.add_scatter(x=found.recall, y=found.precision, mode="lines", line={"color": BLUE}, name="codes")
    figure.update_yaxes(range=[0, 1.02])
    return figure


def _draw_budget(found: BudgetCurve) -> go.Figure:
    frame = found.to_frame()
    figure = blank("bits", "mAP@ALL")
    figure.add_scatter(
        x=frame["bits"], y=frame["leading"], mode="lines+markers", name="the first bits", line={"color": GREY}
    )
    figure.add_scatter(
        x=frame["bits"], y=frame["random"], mode="lines+markers", name="random bits", line={"color": BLUE}
    )
    return figure
