"""What a bit agrees with: classes, attribute values and image statistics, and pairs that differ in one attribute."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from app.on_request import on_request
from app.state import View
from app.widgets import downloads, reason, show_code, text
from codelab.core.errors import CodelabError
from codelab.core.formats import p_phrase
from codelab.semantics.alignment import Alignment, align_attributes
from codelab.semantics.pairs import AttributePairs, attribute_pairs

NAME, TITLE = "meaning", "Meaning"

SHOWN = 12
"""Questions in the table."""


def alignment(view: View) -> Alignment | str | None:
    """How every bit agrees with every question, or why that cannot be measured; None before a person asks."""

    def make(view: View) -> Alignment:
        return align_attributes(view.sample, groups=view.group)

    return on_request(view, "alignment", "Compare every bit with every class and attribute", make, ask=view.large)


def show(view: View, bit: int) -> None:
    found = alignment(view)
    st.markdown("#### Which question does it answer?")
    if isinstance(found, str):
        reason(found)
    elif found is not None:
        _questions(found, bit)
        if view.sampled:
            st.caption(view.sampled)
    st.markdown("#### What changes it, when all else stays equal?")
    paired = _pairs(view, bit)
    lines = []
    if found is not None and not isinstance(found, str):
        lines += [f"found = codelab.align_attributes(codes, groups={view.group!r})"]
        lines += [f"print(found.to_frame().iloc[{bit}])"]
    if paired:
        lines += [f"for name in {paired!r}:"]
        lines += [f"    print(codelab.attribute_pairs(codes, name, groups={view.group!r}).to_frame().iloc[{bit}])"]
    show_code("\n".join(lines))


def _questions(found: Alignment, bit: int) -> None:
    target, phi = str(found.target[bit]), float(found.phi[bit])
    side = "1" if found.side[bit] else "0"
    facts = f"**{text(target)}** where the bit is {side}: phi {phi:.2f}, IoU {float(found.iou[bit]):.2f}, "
    facts += f"F1 {float(found.f1[bit]):.2f}, {p_phrase('p', float(found.p_value[bit]))} over all bits."
    st.markdown(facts)
    if len(found.random_phi):
        beside = "A random direction of the same features that is 1 as often, with its own best question: phi "
        st.markdown(f"{beside}{float(found.random_phi[bit]):.2f}.")
    order = np.argsort(-np.abs(found.phi_of[bit]), kind="stable")[:SHOWN]
    frame = pd.DataFrame({"question": [found.targets[i] for i in order], "phi": found.phi_of[bit][order]})
    st.dataframe(
        frame,
        hide_index=True,
        key=f"questions{bit}",
        column_config={"phi": st.column_config.NumberColumn(format="%.3f")},
    )
    downloads(frame, f"bit{bit}-questions")
    st.caption(
        f"Chosen among {len(found.targets)} questions on one half of the images, scored on the other "
        f"({found.n_scored:,} images). Phi is the correlation of two yes/no columns; a negative one reads the 0 side."
    )


def _pairs(view: View, bit: int) -> list[str]:
    """A table of the attributes that were measured, which it gives."""
    names = [name for name in view.attributes if name != view.group]
    label = "Look for pairs that differ in one attribute"
    every = on_request(view, "attribute pairs", label, _all_pairs, ask=view.large)
    if every is None or isinstance(every, str):
        return []
    rows, why = [], []
    for name, found in zip(names, every, strict=True):
        if isinstance(found, str):
            why.append(found)
            continue
        rows.append(
            {
                "attribute": name,
                "flips in": float(found.flip_rate[bit]),
                "effect": float(found.effect[bit]),
                "at": str(found.value[bit]),
                "q": float(found.q_value[bit]),
                "selectivity": float(found.selectivity[bit]),
                "sets": found.sets,
            }
        )
    if rows:
        downloads(pd.DataFrame(rows), f"bit{bit}-pairs")
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            key=f"pairs{bit}",
            column_config={
                "flips in": st.column_config.NumberColumn(
                    format="percent", help="Share of pairs that differ in the attribute alone whose bits differ"
                ),
                "effect": st.column_config.NumberColumn(
                    format="%+.3f", help="Share of ones at the value, less elsewhere"
                ),
                "q": st.column_config.NumberColumn(format="%.3f"),
                "selectivity": st.column_config.NumberColumn(
                    format="%+.3f", help="Flip rate less the highest among the other attributes"
                ),
            },
        )
    elif not names:
        reason("attribute_pairs: these codes have no attribute columns")
    if why:
        with st.expander(f"Not measured: {len(why)} of {len(names)} attributes"):
            for line in why:
                st.caption(text(line))
    return [str(row["attribute"]) for row in rows]


def _all_pairs(view: View) -> list[AttributePairs | str]:
    """What changes with each attribute, or why that cannot be measured."""
    found: list[AttributePairs | str] = []
    for name in view.attributes:
        if name != view.group:
            try:
                found.append(attribute_pairs(view.sample, name, groups=view.group))
            except CodelabError as error:
                found.append(str(error))
    return found
