"""Galleries, links from page to page, charts and escaped text that the pages share."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from codelab.core.verdict import plain_reason
from codelab.images.cards import Card

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

PAGES = "pages"
"""Where the session keeps its pages, by name, so that one page can open another."""

LOADED = "loaded"
"""Where the session keeps the Python lines that open the codes as the sidebar has them."""

FIGURES = "figures"
"""Where the session keeps the format of figures that are saved, svg or png."""


_STYLE = """<style>
.stMainBlockContainer { padding: 2.6rem 3rem 3rem; }
[data-testid="stSidebarHeader"] { height: 1.5rem; }
h1 { font-size: 2rem !important; } h3 { font-size: 1.5rem !important; } h4 { font-size: 1.15rem !important; }
.st-key-history, .st-key-punctuation { display: none; }
[data-testid="stCaptionContainer"], button kbd { opacity: .8 !important; }
button kbd { color: inherit !important; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p { color: inherit !important; }
.js-plotly-plot .main-svg text { fill: currentColor !important; }
.js-plotly-plot .hoverlayer text { fill: #1F2933 !important; }
.js-plotly-plot .gridlayer path { stroke: currentColor !important; stroke-opacity: .12 !important; }
.js-plotly-plot .shapelayer path[style*="rgb(31, 41, 51)"] { stroke: currentColor !important; }
.js-plotly-plot .errorbar path[style*="rgb(68, 68, 68)"] { stroke: currentColor !important; }
[data-testid="stPageLink-NavLink"] * { white-space: normal !important; }
[data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
[data-testid="stColumn"] { min-width: min(100%, 11rem); }
.st-key-verdicts [data-testid="stColumn"] { min-width: max(30%, 12rem); }
.st-key-charts [data-testid="stColumn"] { min-width: min(100%, 18rem); }
.st-key-bins [data-testid="stColumn"] { min-width: 7rem; }
.st-key-facts [data-testid="stColumn"] { min-width: 7rem; }
@media (max-width: 900px) { .stMainBlockContainer { padding: 2.6rem 1.5rem 3rem; } }
</style>"""
"""Columns go below each other before their words break and their pictures overlap; figures have the theme's ink."""


def style() -> None:
    """Less air above the page, calmer headings than Streamlit's own, and columns that stack on a narrow page."""
    st.html(_STYLE)


def chart(figure: go.Figure, key: str, **options: Any) -> Any:
    """A figure in its own colours and the theme's ink; pointing at it shows a button that saves it, see `FIGURES`."""
    saved = {"format": st.session_state.get(FIGURES, "svg"), "filename": key, "scale": 2}
    config = {"displaylogo": False, "modeBarButtons": [["toImage"]], "toImageButtonOptions": saved}
    return st.plotly_chart(figure, key=key, theme=None, config=config, **options)


def show_code(lines: str) -> None:
    """The Python lines that make what a page shows, from the opening of the codes on."""
    with st.expander("Show the code", icon=":material/code:"):
        st.code(f"{st.session_state[LOADED]}\n\n{lines.strip()}", language="python")


def downloads(frame: pd.DataFrame, name: str) -> None:
    """Buttons that save a table as CSV and as Parquet; the files are made when one is pressed."""
    with st.container(horizontal=True, gap="small"):
        for kind, make in (
            ("csv", lambda: frame.to_csv(index=False).encode()),
            ("parquet", lambda: _parquet(frame)),
        ):
            st.download_button(
                kind.upper() if kind == "csv" else "Parquet",
                make,
                f"{name}.{kind}",
                key=f"{name}-{kind}",
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
            )


def _parquet(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out, index=False)
    return out.getvalue()


def rows_to_open(data: Any, key: str, on_open: Callable[[int], None], **options: Any) -> None:
    """A table; a click anywhere on a row calls `on_open` with its number, and leaves nothing marked."""
    selection = st.dataframe(
        data,
        key=key,
        on_select="rerun",
        selection_mode=["single-row", "single-cell"],
        hide_index=True,
        **options,
    ).selection
    rows = [cell[0] for cell in selection.cells] or selection.rows
    if rows:
        on_open(int(rows[0]))


def rows_to_pick(data: Any, key: str, row: int, on_pick: Callable[[int], None], **options: Any) -> None:
    """A table with one row marked; a click anywhere on another calls `on_pick` with its number."""

    def picked() -> None:
        selection = st.session_state[key].selection
        rows = [cell[0] for cell in selection.cells] or selection.rows
        if rows:
            on_pick(int(rows[0]))

    # the marked row and no cell: so a click on any cell is news, on the one clicked last too
    st.session_state[key] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    st.dataframe(
        data,
        key=key,
        on_select=picked,
        selection_mode=["single-row-required", "single-cell"],
        hide_index=True,
        **options,
    )


def open_bit(bit: int) -> None:
    """Go to a bit's own page."""
    st.switch_page(st.session_state[PAGES]["bit"], query_params={"bit": str(bit)})


def open_item(item: str) -> None:
    """Go to what lies near an image."""
    st.switch_page(st.session_state[PAGES]["retrieval"], query_params={"item": item})


def bit_links(bits: list[int], most: int = 24) -> None:
    """A row of links to bits' own pages."""
    with st.container(horizontal=True, gap="small"):
        for bit in bits[:most]:
            page = st.session_state[PAGES]["bit"]
            st.page_link(page, label=f"bit {bit}", query_params={"bit": str(bit)}, width="content")
        if len(bits) > most:
            st.markdown(f"and {len(bits) - most} more", width="content")


def reason(words: str) -> None:
    """Why something was not measured."""
    st.info(text(plain_reason(words)), icon=":material/info:")


_ACTED_ON = re.compile(
    r"(?<=:)(?=//|[\w+-]+:|material/)"  # https://, :smile:, :material/home:
    r"|(?i:(?<=www)(?=\.))|(?<=@)(?=[-\w]+\.\w)"
    r"|(?<!\S)(?=(?:<->|->|<-|--|<=|>=|~=)(?!\S))"  # arrows and signs
)
"""Where Streamlit makes a link, a picture or another sign of words after it has read all backslashes."""
WORD_JOINER = "\u2060"
"""Invisible, and without a break of the line."""


def text(words: str) -> str:
    """Words that markdown shows as they are, in one line: names of classes and files are data, not formatting."""
    line = _ACTED_ON.sub(WORD_JOINER, re.sub(r"\s*[\r\n\v\f\x85\u2028\u2029]\s*", " ", words).strip())
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~<>$:&])", r"\\\1", line)


_CSS = """
.gallery { display: grid; gap: 8px; min-width: 0; font-family: var(--st-font); }
button { all: unset; box-sizing: border-box; min-width: 0; cursor: pointer; border: 1px solid var(--st-border-color);
  border-radius: 8px; padding: 5px; background: var(--st-background-color); color: var(--st-text-color);
  display: flex; flex-direction: column; gap: 3px;
  transition: box-shadow .12s, transform .12s; }
button:hover { box-shadow: 0 2px 10px rgba(31, 41, 51, .16); transform: translateY(-1px); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 1px; }
img, .missing { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 4px;
  background: #fff; }
.missing { display: flex; align-items: center; justify-content: center; text-align: center; font-size: 11px;
  line-height: 1.25; background: var(--st-secondary-background-color); }
.caption { font-size: 11px; line-height: 1.25; text-align: center; overflow: hidden;
  white-space: nowrap; text-overflow: ellipsis; }
.note { font-size: 11px; line-height: 1.25; text-align: center; font-weight: 600; }
.same { border-bottom: 3px solid #009E73; } .different { border-bottom: 3px solid #D55E00; }
.one { border-bottom: 3px solid #0072B2; } .zero { border-bottom: 3px solid #E69F00; }
"""

_JS = """
export default function ({ parentElement, data, setTriggerValue }) {
  const box = document.createElement("div");
  box.className = "gallery";
  box.style.gridTemplateColumns = `repeat(auto-fill, minmax(min(${data.size}px, 100%), 1fr))`;
  for (const card of data.cards) {
    const button = document.createElement("button");
    button.title = card.details;
    button.dataset.row = card.row;
    if (card.mark) button.classList.add(card.mark);
    let picture;
    if (card.picture) {
      picture = document.createElement("img");
      picture.src = card.picture;
      picture.alt = card.caption;
    } else {
      picture = document.createElement("div");
      picture.className = "missing";
      picture.textContent = card.missing;
    }
    button.append(picture);
    for (const name of ["note", "caption"]) {
      if (!card[name]) continue;
      const line = document.createElement("div");
      line.className = name;
      line.textContent = card[name];
      button.append(line);
    }
    button.onclick = () => setTriggerValue("clicked", card.row);
    box.append(button);
  }
  parentElement.querySelector(".gallery")?.remove();
  parentElement.append(box);
}
"""

_component = st.components.v2.component("codelab_gallery", css=_CSS, js=_JS)


def gallery(
    cards: Sequence[Card],
    key: str,
    *,
    notes: Sequence[str] = (),
    marks: Sequence[str] = (),
    size: int = 76,
    on_click: Callable[[int], None] | None = None,
) -> int | None:
    """Show images one can click.

    Args:
        cards: the images.
        key: unique on the page.
        notes: a short line under each image.
        marks: `same`, `different`, `one`, `zero` or empty for each image: the colour under it.
        size: the least width of an image, in pixels.
        on_click: called with the row of a clicked image before the page runs again: the place to set a widget.

    Returns:
        The row of the image that was clicked just now, or None.
    """
    shown: list[dict[str, Any]] = [
        {
            "row": card.row,
            "picture": card.picture,
            "caption": card.caption,
            "details": card.details,
            "missing": card.missing,
            "note": notes[i] if notes else "",
            "mark": marks[i] if marks else "",
        }
        for i, card in enumerate(cards)
    ]

    def clicked() -> None:
        row = st.session_state[key].clicked
        if on_click is not None and row is not None:
            on_click(int(row))

    result = _component(data={"cards": shown, "size": size}, key=key, on_clicked_change=clicked)
    return None if result.clicked is None else int(result.clicked)
