"""Columns of the table of bits that take longer: measured when a person asks for them, and then kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pandas as pd
import streamlit as st

from app.on_request import on_request
from app.parts.meaning import alignment
from app.parts.value import flips, value
from app.state import View
from app.widgets import reason, text
from codelab.measures.attribute_reuse import AttributeReuse, attribute_reuse

T = TypeVar("T")

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
        valued = on_request(view, "value", "Measure the value of every bit", value)
        frame = _with(frame, valued, lambda found: {"value": found.masked})
    if worth or view.is_measured("flips"):
        flipped = on_request(view, "flips", "Change images and code them again", flips)
        frame = _with(frame, flipped, lambda found: {"flips": found.flip_rate.mean(axis=0)})
    return frame


def _meaning(view: View, frame: pd.DataFrame) -> pd.DataFrame:
    return _with(frame, alignment(view), lambda found: {"question": found.target, "phi": found.phi})


def _reuse(view: View, frame: pd.DataFrame) -> pd.DataFrame:
    """Of one attribute: the column `reuse`."""
    attributes = [name for name in view.attributes if name != view.group]
    if not attributes:
        return frame
    attribute = st.selectbox("Reuse of", attributes, key="reuse", bind="query-params", width=230)

    def measure(view: View) -> AttributeReuse:
        return attribute_reuse(view.sample, attribute, groups=view.group)

    found = on_request(view, "reuse", f"Compare classes by {attribute}", measure, attribute, ask=view.large)
    if isinstance(found, AttributeReuse):
        st.caption(text(found.headline()))  # also why the column is empty
    return _with(frame, found, lambda found: {"reuse": found.reuse})


def _with(frame: pd.DataFrame, found: T | str | None, columns: Callable[[T], dict[str, np.ndarray]]) -> pd.DataFrame:
    """The table with columns `[B]` of a result; where there is none, the reason is shown."""
    if isinstance(found, str):
        reason(found)
    if found is None or isinstance(found, str):
        return frame
    return frame.assign(**{name: values[frame["bit"].to_numpy()] for name, values in columns(found).items()})
