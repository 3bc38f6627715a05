"""Which key was held while a person drew on a figure: Streamlit reports what was drawn alone.

The key counts as it was when the drag began, as in Plotly; a finger holds none. It is sent when the drag ends, before
Plotly hears of it, so that what was drawn never arrives at the server before its key.
"""

from __future__ import annotations

import streamlit as st

_JS = """
export default function ({ parentElement, data, setStateValue }) {
  parentElement.forget?.();
  let held = null;
  const began = event => {
    const inside = event.target.closest?.(`.st-key-${data.figure}`);
    held = inside ? (event.altKey ? "alt" : event.shiftKey ? "shift" : "") : null;
  };
  const ended = () => {
    if (held !== null && held !== parentElement.sent) setStateValue("key", parentElement.sent = held);
    held = null;
  };
  parentElement.sent ??= null;  // the first drag is always sent: the server may hold that of another page
  window.addEventListener("pointerdown", began, true);
  for (const kind of ["pointerup", "pointercancel"]) window.addEventListener(kind, ended, true);
  parentElement.forget = () => {
    window.removeEventListener("pointerdown", began, true);
    for (const kind of ["pointerup", "pointercancel"]) window.removeEventListener(kind, ended, true);
  };
  return parentElement.forget;
}
"""

_component = st.components.v2.component("codelab_held", js=_JS)


def listen(figure: str, key: str) -> None:
    """Listen to drags in the container with the key `figure`."""
    _component(data={"figure": figure}, key=key, default={"key": ""}, on_key_change=lambda: None)


def held(key: str) -> str:
    """`shift`, `alt`, or empty: what was held in the last drag on the figure of `listen` with this key."""
    return str(getattr(st.session_state.get(key), "key", None) or "")
