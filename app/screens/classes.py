"""Classes: what tells each from the rest, two of them compared, and which are confused."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.address import asked, say
from app.on_request import on_request
from app.pictured import among_pictured
from app.screens.bits import q_text
from app.state import View
from app.widgets import (
    bit_links,
    chart,
    downloads,
    gallery,
    open_bit,
    open_item,
    reason,
    rows_to_open,
    show_code,
    text,
)
from codelab.core.drawing import BLUE, ORANGE, blank, plain_name
from codelab.core.errors import CodelabError
from codelab.images.cards import card
from codelab.measures.shared_codes import shared_codes
from codelab.semantics.class_signatures import ClassSignatures, Signature, class_signatures

SHOWN = 12
MOST = 60
"""Classes in the heat map, at most."""


def show(view: View) -> None:
    st.title("What tells the classes apart?")
    found = signatures(view)
    if isinstance(found, str):
        reason(found)
    if found is None or isinstance(found, str):
        return
    names = [one.label for one in found.signatures]
    # the class with most bits of its own is the one to meet first
    telling = max(found.signatures, key=lambda one: int((one.q_value < 0.05).sum())).label
    chosen = asked("class") if asked("class") in names else telling
    say("class", chosen)
    left, right = st.columns(2, gap="medium")
    with left:
        _table(found, names)
    with right:
        _one(view, found, names, chosen)
    _two(view, found, names, chosen)
    _heat(view, found)
    _confused(view)
    show_code(
        f"""
found = codelab.class_signatures(codes, groups={view.group!r})
found.to_frame()                    # the bits of each class
found.between({names[0]!r}, {names[-1]!r})
codelab.shared_codes(codes).to_frame()
"""
    )


def signatures(view: View) -> ClassSignatures | str | None:
    """The signature of every class, or why there is none; None before a person asks."""

    def make(view: View) -> ClassSignatures:
        return class_signatures(view.codes, groups=view.group)

    return on_request(view, "signatures", "Look for the bits of each class", make, ask=view.large)


def _table(found: ClassSignatures, names: list[str]) -> None:
    frame = pd.DataFrame(
        {
            "class": names,
            "images": [one.n for one in found.signatures],
            "own bits": [int((one.q_value < 0.05).sum()) for one in found.signatures],
            "spread": [one.spread for one in found.signatures],
            "nearest class": [one.nearest for one in found.signatures],
        }
    )
    rows_to_open(
        frame,
        "classes",
        lambda row: say("class", names[row]),
        height=min(420, 38 + 35 * len(frame)),
        column_config={
            "class": st.column_config.TextColumn(width=125),
            "images": st.column_config.NumberColumn(width=55),
            "own bits": st.column_config.NumberColumn(width=65, help="Of 8 chosen, at q < 0.05 on the other half"),
            "spread": st.column_config.NumberColumn(
                format="%.1f", width=55, help="Mean Hamming distance of two of its images"
            ),
        },
    )
    st.caption("Click a row to see the class.")
    downloads(found.to_frame(), "signatures")


def _one(view: View, found: ClassSignatures, names: list[str], chosen: str) -> None:
    place = names.index(chosen)
    one = found.signatures[place]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"### {text(chosen)}", width="content")
        for label, icon, key, step in (
            ("Previous", "chevron_left", "Left", -1),
            ("Next", "chevron_right", "Right", 1),
        ):
            other = names[(place + step) % len(names)]
            st.button(label, icon=f":material/{icon}:", on_click=say, args=("class", other), shortcut=key)
    st.markdown(
        f"{one.n:,} images, {one.spread:.1f} bits apart on average; nearest is **{text(one.nearest)}**, "
        f"{one.nearest_distance:.1f} bits away."
    )
    chart(_bars(one), f"signature-{place}")
    bit_links(one.bits.tolist())
    st.caption("Bits chosen on one half of the images; log-odds with their 95% interval on the other.")
    rows = among_pictured(view, np.flatnonzero(view.codes.labels == view.codes.classes.index(chosen)))
    shown = [one.medoid, *np.random.default_rng(0).permutation(rows[rows != one.medoid])[: SHOWN - 1].tolist()]
    notes = ["in the middle", *[""] * (len(shown) - 1)]
    clicked = gallery([card(view.codes, int(row), view.pictures) for row in shown], "members", notes=notes, size=70)
    if clicked is not None:
        open_item(view.codes.items["id"][clicked].as_py())


def _bars(one: Signature) -> go.Figure:
    figure = blank("log-odds of the bit in the class against the rest", "", height=90 + 26 * len(one.bits))
    names = [f"bit {bit} = {side}  " for bit, side in zip(one.bits, one.sides, strict=True)][::-1]
    odds, low, high = (values[::-1] for values in (one.log_odds, one.low, one.high))
    figure.add_bar(
        x=odds,
        y=names,
        orientation="h",
        marker_color=[BLUE if value > 0 else ORANGE for value in odds],
        error_x={"array": high - odds, "arrayminus": odds - low, "thickness": 1.2, "width": 3},
        customdata=np.column_stack([one.share[::-1], one.elsewhere[::-1]]),
        hovertemplate="%{customdata[0]:.0%} of the class, %{customdata[1]:.0%} elsewhere<extra></extra>",
    )
    figure.update_yaxes(showgrid=False)
    return figure


def _two(view: View, found: ClassSignatures, names: list[str], chosen: str) -> None:
    st.markdown("#### Two classes")
    others = [name for name in names if name != chosen]
    nearest = next(one.nearest for one in found.signatures if one.label == chosen)
    wanted = asked("other") if asked("other") in others else nearest if nearest in others else others[0]

    def picked() -> None:
        say("other", st.session_state["other"])

    st.session_state["other"] = wanted
    other = st.selectbox(f"{text(chosen)} and", others, key="other", on_change=picked)
    frame = view.kept(
        "between", chosen, other, make=lambda: found.between(chosen, other, view.codes, groups=view.group)
    ).drop(columns=["low", "high"])
    left, right = st.columns(2)
    config = {
        name: st.column_config.NumberColumn(name, format="percent", help="Share of ones") for name in (chosen, other)
    }
    config["difference"] = st.column_config.NumberColumn(format="percent")
    config["log_odds"] = st.column_config.NumberColumn(
        "log-odds", format="%+.2f", help=text(f"Of {chosen} against {other}")
    )
    config["q_value"] = st.column_config.Column("q", help="Over all bits")
    for column, title, part in (
        (left, "Bits that differ most", frame.head(SHOWN)),
        (right, "Bits that do not tell them apart", frame.tail(SHOWN)[::-1]),
    ):
        with column:
            st.markdown(f"**{title}**")
            shown = part.style.format({"q_value": partial(q_text, floor=0.001)})
            rows_to_open(shown, title, partial(_open, part["bit"].tolist()), column_config=config)
    st.caption(
        "Shares of ones on all images of the two classes, the largest difference first; click a row for its bit."
    )


def _open(bits: list[int], row: int) -> None:
    open_bit(bits[row])


def _heat(view: View, found: ClassSignatures) -> None:
    st.markdown("#### Every class and bit")
    kept = [found.classes.index(one.label) for one in sorted(found.signatures, key=lambda one: -one.n)[:MOST]]
    chart(
        view.kept("class-bit", make=lambda: _shares(found.shares[kept], [found.classes[c] for c in kept])), "class-bit"
    )
    more = len(found.signatures) - len(kept)
    st.caption("Share of ones of each bit in each class." + (f" {more} smaller classes are left out." if more else ""))


def _shares(shares: np.ndarray, names: list[str]) -> go.Figure:
    figure = blank("bit", "", height=140 + 16 * len(names))
    figure.add_heatmap(
        z=shares.astype(np.float32).round(3),
        y=[plain_name(name) for name in names],
        zmin=0,
        zmax=1,
        colorscale=[[0, ORANGE], [0.5, "#FFFFFF"], [1, BLUE]],
        colorbar={"title": {"text": "ones"}, "tickformat": ".0%", "thickness": 12},
        hovertemplate="%{y}, bit %{x}: %{z:.0%}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def _confused(view: View) -> None:
    st.markdown("#### Confused by equal codes")
    try:
        found = view.measured("shared codes", make=lambda: shared_codes(view.codes))
    except CodelabError as error:
        reason(str(error))
        return
    if not len(found.pairs):
        st.caption("No two classes have images with the same code.")
        return
    frame = found.to_frame()
    st.dataframe(
        frame.head(200),
        hide_index=True,
        key="confused",
        column_config={"expected": st.column_config.NumberColumn(format="%.1f", help="With classes drawn at random")},
    )
    downloads(frame, "shared-codes")
    st.caption("Pairs of images of two classes that have one code: no search by these codes can tell them apart.")
