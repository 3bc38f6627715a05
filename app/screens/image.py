"""Image: one image's code as a barcode of named bits, where each looks, and what lies near."""

from __future__ import annotations

import random

import numpy as np
import plotly.graph_objects as go
import pyarrow.compute as pc
import streamlit as st

from app.address import asked, say
from app.parts.naming import names_of
from app.parts.where import BLUE_AND_ORANGE, HOW, heatmap_of, method_of, over_picture, picture_of
from app.pictured import pictured_rows
from app.screens.bits import bit_number
from app.state import View
from app.widgets import PAGES, bit_links, chart, gallery, open_bit, show_code, text
from codelab.core.codes import Codes
from codelab.core.drawing import ONE, ZERO, blank, plain_name
from codelab.core.errors import DataError
from codelab.images.cards import card
from codelab.neighbours.search import search

NEAR, ONE_AWAY = 12, 36
"""Images that are shown: the nearest, and at most so many of those one bit away."""
SURE = 8


def show(view: View) -> None:
    st.title("What is this image's code?")
    if len(view.codes) == 0:
        raise DataError("there are no codes in this set")
    row = _chosen(view)
    if row is None:
        return
    left, right = st.columns([2, 7], gap="large")
    shown = card(view.codes, row, view.pictures)
    with left:
        gallery([shown], "image", size=150)
        if shown.label:
            st.caption(text(f"class: {shown.label}"))
        st.page_link(
            st.session_state[PAGES]["retrieval"],
            label="What lies near it",
            icon=":material/image_search:",
            query_params={"item": shown.id},
        )
    with right:
        _barcode(view, row)
    _certain(view, row)
    _near(view, row)
    show_code(
        f"""
row = codes.items["id"].to_pylist().index({shown.id!r})
codes.code(row)                      # a bitarray
codes.logits[row]                    # how sure each bit is, where logits are kept
codelab.search(codes, codes[[row]], k={NEAR + 1})
"""
    )


def _chosen(view: View) -> int | None:
    """The row of the image that the address names."""
    ids = view.codes.items["id"]
    kept = pictured_rows(view)

    def other(step: int) -> str:
        return str(ids[(row + step) % len(ids)].as_py())

    def any_one() -> None:
        say("item", ids[random.randrange(len(ids)) if kept is None else random.choice(kept.tolist())].as_py())

    def typed() -> None:
        say("item", st.session_state["item"])

    if not asked("item"):
        say("item", ids[0 if kept is None else int(kept[0])].as_py())
    name = st.session_state["item"] = asked("item")
    row = int(pc.index(ids, name).as_py())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Id of the image", key="item", on_change=typed, width=320)
        if row >= 0:
            st.button(
                "Previous", icon=":material/chevron_left:", on_click=say, args=("item", other(-1)), shortcut="Left"
            )
            st.button("Next", icon=":material/chevron_right:", on_click=say, args=("item", other(1)), shortcut="Right")
        st.button("Random", icon=":material/shuffle:", on_click=any_one)
    if row < 0:
        st.warning(text(f"No image has the id {name[:200]!r}."), icon=":material/search_off:")
        return None
    return row


def _barcode(view: View, row: int) -> None:
    st.markdown("**Every bit**, by how sure it is" if view.codes.logits is not None else "**Every bit**")
    picked = chart(_bars(view, row), f"barcode-{row}", on_select="rerun", selection_mode="points")
    points = picked.selection.points
    if points:
        open_bit(int(points[0]["customdata"][0]))
    st.caption("Blue: 1, orange: 0. Click a bar to open its bit.")


def _bars(view: View, row: int) -> go.Figure:
    bits = np.frombuffer(view.codes.code(row).unpack(), dtype=bool)
    sure = np.where(bits, 1.0, -1.0) if view.codes.logits is None else view.codes.logits[row].astype(np.float64)
    names = names_of(view)
    figure = blank("bit", "" if view.codes.logits is None else "logit", height=230)
    figure.add_bar(
        x=np.arange(len(bits)),
        y=sure,
        marker_color=[ONE if bit else ZERO for bit in bits],
        customdata=[[b, plain_name(names.get(b, "unnamed"))] for b in range(len(bits))],
        hovertemplate="bit %{customdata[0]}, %{customdata[1]}: %{y:+.2f}<extra></extra>",
    )
    figure.update_layout(bargap=0.1, showlegend=False)
    if view.codes.logits is None:
        figure.update_yaxes(visible=False)
    return figure


def _certain(view: View, row: int) -> None:
    """The bits that are furthest from their threshold, and nearest to it."""
    if view.codes.logits is None:
        st.caption("No logits were kept, so how sure a bit is is not known: export with --logits.")
        return
    order = np.argsort(-np.abs(view.codes.logits[row].astype(np.float32)), kind="stable")
    names = names_of(view)
    left, right = st.columns(2, gap="large")
    for column, title, bits in (
        (left, "Surest", order[:SURE]),
        (right, "Nearest to the threshold", order[::-1][:SURE]),
    ):
        with column:
            st.markdown(f"**{title}**")
            bit_links(bits.tolist())
            named = [f"bit {bit}: {names[bit]}" for bit in bits.tolist() if bit in names]
            if named:
                st.caption(text("; ".join(named)))
    encoder = view.encoder()
    if isinstance(encoder, str):
        return
    picture = picture_of(view, row)
    if isinstance(picture, str):
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        bit, method = _looking(view, order.tolist()), method_of(encoder)
    made = heatmap_of(view, encoder, picture, bit, row, method)
    left, right = st.columns(2, gap="large")
    with left:
        chart(over_picture(made.values, picture), f"looks-{bit}-{row}-{method}")
    with right:
        st.markdown(text(made.headline()))
        st.caption(f"{BLUE_AND_ORANGE} {HOW[method]}")


def _looking(view: View, order: list[int]) -> int:
    """The bit whose heat map is shown, as the address names it; the surest where it names none."""

    def chosen() -> None:
        say("looks", st.session_state["looks"])

    asked_for = bit_number(asked("looks"), view.codes.bits)
    st.session_state["looks"] = order[0] if asked_for is None else asked_for
    return int(
        st.selectbox("Where does it look?", order, format_func=lambda b: f"bit {b}", key="looks", on_change=chosen)
    )


def _near(view: View, row: int) -> None:
    """The nearest images, and those whose code differs in one bit alone."""
    if len(view.codes) < 2:
        st.info("There is no other image to compare with.", icon=":material/info:")
        return
    st.markdown("#### Nearest images")
    rows, away = _nearest(view.codes, row)
    _row(view, rows[:NEAR], [f"{d} bit{'s' * (d != 1)}" for d in away[:NEAR].tolist()], "nearest")
    st.markdown("#### One bit away")
    ones = rows[away == 1]
    if not len(ones):
        st.caption("No image's code differs from this one in a single bit.")
        return
    if len(ones) > ONE_AWAY:
        st.caption(f"{ONE_AWAY} of {len(ones):,} images.")
    ones = ones[:ONE_AWAY]
    mine = view.codes.code(row)
    notes = [f"bit {next(iter((view.codes.code(int(other)) ^ mine).search(1)))}" for other in ones]
    _row(view, ones, notes, "one-away")


def _nearest(codes: Codes, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Other rows by distance, and their distances: at least `NEAR`, and all that are one bit away or less."""
    bare, k = Codes(codes.packed, codes.bits), NEAR + 1
    while True:
        found = search(bare, bare[[row]], k=min(k, len(codes)))
        rows, away = found.indices[0], found.distances[0]
        if len(rows) == len(codes) or (away[-1] > 1 and row in rows):
            return rows[rows != row], away[rows != row]
        k *= 8


def _row(view: View, rows: np.ndarray, notes: list[str], key: str) -> None:
    def go_to(row: int) -> None:
        say("item", view.codes.items["id"][row].as_py())

    gallery([card(view.codes, int(r), view.pictures) for r in rows], key, notes=notes, size=74, on_click=go_to)
