"""Pieces that several pages show."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from codelab.verdict import plain_reason

PAGES = "pages"
"""Where the session keeps its pages, by name, so that one page can open another."""


_STYLE = """<style>
.stMainBlockContainer { padding: 2.6rem 3rem 3rem; }
[data-testid="stSidebarHeader"] { height: 1.5rem; }
h1 { font-size: 2rem !important; } h3 { font-size: 1.5rem !important; } h4 { font-size: 1.15rem !important; }
.st-key-history { display: none; }
[data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
[data-testid="stColumn"] { min-width: min(100%, 11rem); }
.st-key-verdicts [data-testid="stColumn"] { min-width: max(30%, 12rem); }
.st-key-charts [data-testid="stColumn"] { min-width: min(100%, 18rem); }
.st-key-facts [data-testid="stColumn"] { min-width: 7rem; }
@media (max-width: 900px) { .stMainBlockContainer { padding: 2.6rem 1.5rem 3rem; } }
</style>"""
"""Columns go below each other before their words break and their pictures overlap."""


def style() -> None:
    """Less air above the page, calmer headings than Streamlit's own, and columns that stack on a narrow page."""
    st.html(_STYLE)


def chart(figure: go.Figure, key: str, **options: Any) -> Any:
    """A figure in its own colours, without the tool bar that covers it."""
    return st.plotly_chart(figure, key=key, theme=None, config={"displayModeBar": False}, **options)


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
    st.switch_page(st.session_state[PAGES]["bits"], query_params={"bit": str(bit)})


def open_item(item: str) -> None:
    """Go to what lies near an image."""
    st.switch_page(st.session_state[PAGES]["retrieval"], query_params={"item": item})


def bit_links(bits: list[int], most: int = 24) -> None:
    """A row of links to bits' own pages."""
    with st.container(horizontal=True, gap="small"):
        for bit in bits[:most]:
            page = st.session_state[PAGES]["bits"]
            st.page_link(page, label=f"bit {bit}", query_params={"bit": str(bit)}, width="content")
        if len(bits) > most:
            st.markdown(f"and {len(bits) - most} more", width="content")


def reason(result: Any) -> None:
    """Why something was not measured."""
    st.info(text(plain_reason(getattr(result, "reason", "not measured"))), icon=":material/info:")


def text(words: str) -> str:
    """Words that markdown shows as they are: names of classes and files are data, not formatting."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~<>$:])", r"\\\1", words)
