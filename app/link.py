"""A button that copies the page's address: all that is seen stands in it."""

from __future__ import annotations

import streamlit as st

_CSS = """
button { all: unset; box-sizing: border-box; cursor: pointer; padding: 4px 0; font: 14px var(--st-font);
  color: var(--st-text-color); }
button:hover { color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); }
"""

_JS = """
export default function ({ parentElement }) {
  if (parentElement.querySelector("button")) return;
  const button = document.createElement("button");
  button.textContent = "Copy link";
  button.title = "The address of what is seen";
  button.onclick = async () => {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy link"; }, 1500);
  };
  parentElement.append(button);
}
"""

_component = st.components.v2.component("codelab_link", css=_CSS, js=_JS)


def copy_link() -> None:
    """In the sidebar."""
    with st.sidebar:
        _component(key="link")
