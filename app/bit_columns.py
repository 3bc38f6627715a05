"""Columns of the table of bits that take longer: measured when a person asks for them, and then kept."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.on_request import on_request
from app.parts.meaning import alignment
from app.parts.value import flips, value
from app.state import View
from app.widgets import reason
from codelab.measures.attribute_reuse import AttributeReuse, attribute_reuse

COLUMNS = {
    "question": st.column_config.TextColumn(help="The question that the bit answers best"),
    "phi": st.column_config.NumberColumn(format="%.3f", help="Its correlation, on images that did not choose it"),
    "reuse": st.column_config.NumberColumn(
        format="%.2f",
        help="How parallel the effects of the attribute on this bit are across classes: 1, the same in all; 0, in one "
        "alone; none, where the effects are not above noise",
    ),
    "value": st.column_config.NumberColumn(format="%+.4f", help="What mAP loses when the bit is masked"),
    "flips": st.column_config.NumberColumn(format="percent", help="Mean share of images whose change flips the bit"),
}
"""By name, in the order of the table."""


def added(view: View, frame: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns of the toggles that are on, and with those that are measured already."""
    if st.session_state.get("more"):
        frame = _reuse(view, _meaning(view, frame))
    worth = bool(st.session_state.get("worth"))
    if worth or view.is_measured("value"):
        frame = _with(frame, "value", on_request(view, "value", "Measure the value of every bit", value), "masked")
    if not worth and not view.is_measured("flips"):
        return frame
    found = on_request(view, "flips", "Change images and code them again", flips)
    if found is None or isinstance(found, str):
        return _with(frame, "flips", found, "")
    return frame.assign(flips=found.flip_rate.mean(axis=0)[frame["bit"].to_numpy()])


def _meaning(view: View, frame: pd.DataFrame) -> pd.DataFrame:
    found = alignment(view)
    return _with(_with(frame, "question", found, "target"), "phi", None if isinstance(found, str) else found, "phi")


def _reuse(view: View, frame: pd.DataFrame) -> pd.DataFrame:
    """Of one attribute: the column `reuse`."""
    attributes = [name for name in view.attributes if name != view.group]
    if not attributes:
        return frame
    attribute = st.selectbox("Reuse of", attributes, key="reuse", bind="query-params", width=230)

    def measure(view: View) -> AttributeReuse:
        return attribute_reuse(view.sample, attribute, groups=view.group)

    return _with(
        frame,
        "reuse",
        on_request(view, "reuse", f"Compare classes by {attribute}", measure, attribute, ask=view.large),
        "reuse",
    )


def _with(frame: pd.DataFrame, name: str, found: object, attribute: str) -> pd.DataFrame:
    """The table with a column that is an attribute `[B]` of a result; the reason is shown where there is none."""
    if isinstance(found, str):
        reason(found)
    if found is None or isinstance(found, str):
        return frame
    return frame.assign(**{name: getattr(found, attribute)[frame["bit"].to_numpy()]})
