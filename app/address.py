"""The address: it names what a page shows, and each act of the reader is one entry of the browser's history.

Streamlit writes the address several times on the way from one page to another (`/bits?bit=5`, `/bits`, `/retrieval`),
and forgets the earlier value of a widget bound to it. The script makes of all that follows one press of a key or
button a single entry, so that the browser's Back leads to what was seen before.

A link to another page has no names in its address. Those that hold on every page (`kept`) are written there again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

KEPT = "kept"
"""Where the session keeps the values of the names that hold on every page."""

_ONE_ENTRY_AN_ACT = """<script>
if (!window.oneEntryAnAct) {
  window.oneEntryAnAct = true;
  let acted = false;
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history);
  for (const kind of ["pointerdown", "keydown"]) window.addEventListener(kind, () => { acted = true; }, true);
  window.addEventListener("popstate", () => { acted = false; }, true);
  history.pushState = history.replaceState = (state, title, url) => {
    const moves = url != null && new URL(url, location.href).href !== location.href;
    (moves && acted ? push : replace)(state, title, url);
    if (moves) acted = false;
  };
}
</script>"""


def keep_history() -> None:
    """Let the browser's Back and Forward lead from act to act."""
    with st.container(key="history"):  # hidden by the style
        st.html(_ONE_ENTRY_AN_ACT, unsafe_allow_javascript=True)


def asked(name: str) -> str:
    """The value of a name in the address; empty where it has none."""
    return str(st.query_params.get(name, ""))


def say(name: str, value: object) -> None:
    """Let the address name what is shown; an empty value takes the name out."""
    if asked(name) == str(value):
        return
    if str(value):
        st.query_params[name] = str(value)
    else:
        del st.query_params[name]


def named(
    options: Iterable[str], usual: str, *, key: str, name: str = "", unsaid: str | None = None
) -> Callable[[], None]:
    """Let the widget `key` show the option that the address names, `usual` where it names none; its `on_change`.

    Args:
        name: in the address; the key's if empty.
        unsaid: the option for which the address says nothing.
    """
    name = name or key
    st.session_state[key] = asked(name) if asked(name) in options else usual

    def changed() -> None:
        say(name, "" if st.session_state[key] == unsaid else st.session_state[key])

    return changed


def kept(name: str) -> str:
    """The value of a name that holds on every page: that of the address, else the one it had before; empty for none.

    Back and Forward lead to an address as it was: a name that it lacks has no value there.
    """
    values = st.session_state.setdefault(KEPT, {})
    if asked(name) or getattr(get_script_run_ctx(), "is_history_navigation", False):
        values[name] = asked(name)
    say(name, values.get(name, ""))
    return str(values.get(name, ""))


def keep(name: str, value: str) -> None:
    """Let a name have this value on every page; empty for none."""
    st.session_state.setdefault(KEPT, {})[name] = value
    say(name, value)
