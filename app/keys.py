"""Keys: `?` opens the sheet of keys, `/` goes to the search field; pages give their own buttons a `shortcut`."""

from __future__ import annotations

import streamlit as st

SHEET = """
| key | does |
|---|---|
| `/` | search: a bit's number or name, a class, an image's id |
| `←` `→` | the bit, class or image before and after, where a page shows one |
| `Esc` | clear the selection |
| `Shift` or `Alt` while drawing on the map | add to the selection, or take from it |
| `?` | this sheet |
| the browser's back and forward | undo and redo what you chose |
"""

SEARCH, BUTTON = "search", "keys"
"""Keys of the search field and of the button that opens the sheet."""

# Streamlit's shortcuts take letters, digits and special keys alone
_PUNCTUATION = """<script>
if (!window.punctuationKeys) {
  window.punctuationKeys = true;
  addEventListener("keydown", event => {
    const typing = event.target.closest?.("input, textarea, [contenteditable=true]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = {"/": ".st-key-search input", "?": ".st-key-keys button"}[event.key];
    const found = place && document.querySelector(place);
    if (!found) return;
    event.preventDefault();
    if (event.key === "/") found.focus(); else found.click();
  });
}
</script>"""


@st.dialog("Keys")
def _sheet() -> None:
    st.markdown(SHEET)


def keys() -> None:
    """Listen for `/` and `?`, with a button in the sidebar for those who do not know them."""
    with st.sidebar, st.container(key="punctuation"):  # hidden by the style
        st.html(_PUNCTUATION, unsafe_allow_javascript=True)
    with st.sidebar:
        if st.button("Keys", key=BUTTON, icon=":material/keyboard:", help="Also the key ?", type="tertiary"):
            _sheet()
