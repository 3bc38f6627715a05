"""Compare: two codes of the same images, figure by figure and bit by bit."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import streamlit as st

from app.address import asked, say
from app.on_request import on_request
from app.state import View, codes_in, command_line, content_of, open_codes, relabelled, stamp
from app.two_maps import show_two_maps
from app.widgets import downloads, gallery, open_item, reason, rows_to_open, show_code, text
from app.widgets import open_bit as open_bit_page
from codelab.analysis.comparison import CodeComparison, compare_codes
from codelab.core.codes import Codes
from codelab.core.errors import CodelabError
from codelab.images.cards import card
from codelab.neighbours.changes import neighbour_changes

SHOWN = 12
NEAREST = 10


def show(view: View) -> None:
    st.title("How do two codes differ?")
    given = [
        str(path) for path in command_line(*sys.argv[1:]).codes or [] if Path(path).resolve() != view.path.resolve()
    ]
    named = asked("with") or (given[0] if given else "")

    def typed() -> None:
        say("with", st.session_state["with"].strip())

    st.session_state["with"] = named
    st.text_input(
        "Compare with", key="with", on_change=typed, help="Codes of the same images, in the explorer's folder"
    )
    if len(given) > 1:
        with st.container(horizontal=True):
            for path in given:
                label = text(Path(path).stem)
                st.button(label, key=f"with-{path}", on_click=say, args=("with", path), help=text(path))
    if not named:
        st.info(
            "Name other codes of the same images: of another run, another seed, or before training. "
            "`codelab explore A B` offers B here.",
            icon=":material/info:",
        )
        return
    try:
        opened = _other(view, named)
    except CodelabError as error:
        st.error(text(str(error)), icon=":material/error:")
        return
    if opened is None:
        st.error(text(f"{named[:200]!r}: no codes in the explorer's folder"), icon=":material/error:")
        return
    other = opened
    found = _compared(view, other)
    if isinstance(found, str):
        reason(found)
    if found is None or isinstance(found, str):
        return
    _figures(found, view.path, Path(named))
    _bits(found)
    _neighbours(view, other)
    show_two_maps(view, other)
    show_code(_lines(view, other))


def _other(view: View, named: str) -> View | None:
    """The other codes as the sidebar asks for these; None where they are not in the explorer's folder."""
    path = codes_in(view.root, named)
    if path is None:
        return None
    key = stamp(path)
    codes = open_codes(path, key)
    content, key = content_of(path, key), (key, view.label)
    labelled = relabelled(codes, key, view.label)
    order = _order(view.codes, labelled)
    if order is not None:
        content, key = f"{content} in the order of {view.content}", (key, view.key)
        labelled = view.kept("in order", key, make=lambda: labelled[order])
    return replace(view, path=path, key=key, content=content, codes=labelled)


def _order(a: Codes, b: Codes) -> np.ndarray | None:
    """The rows of b in the order of a, by id; None where they stand so, or are other images."""
    ids, others = a.items["id"], b.items["id"].combine_chunks()
    if len(ids) != len(others) or ids.equals(b.items["id"]) or pc.count_distinct(others).as_py() < len(others):
        return None
    rows = pc.index_in(ids, value_set=others)
    return None if rows.null_count else rows.to_numpy()


def _lines(view: View, other: View) -> str:
    """The Python lines that compare both codes."""
    same = """
place = {name: row for row, name in enumerate(b.items["id"].to_pylist())}
b = b[[place[name] for name in a.items["id"].to_pylist()]]""".rstrip()
    ordered = same if other.content.endswith(view.content) and other.content != view.content else ""
    return f"""
a, b = codes, codelab.load({str(other.path)!r}){ordered}
found = codelab.compare_codes(a, b, groups={view.group!r})
found.to_frame(), found.matching.to_frame()
"""


def _compared(view: View, other: View) -> CodeComparison | str | None:
    def make(view: View) -> CodeComparison:
        return compare_codes(view.codes, other.codes, groups=view.group)

    return on_request(
        view, "compared", "Measure both codes and their differences", make, other.content, ask=view.large
    )


def _figures(found: CodeComparison, one: Path, two: Path) -> None:
    st.markdown(f"**a**: {text(one.name)}. **b**: {text(two.name)}.")
    frame = pd.DataFrame(found.table(), columns=["figure", "a", "b", "a minus b (95% interval)"])
    st.dataframe(frame, hide_index=True, key="figures-compared")
    downloads(found.to_frame(), "compared")
    st.caption("Retrieval is compared query by query; figures without an interval have no paired test.")


def _bits(found: CodeComparison) -> None:
    st.markdown("#### Which bit is which?")
    matching = found.matching
    st.markdown(text(matching.headline()))
    left, right = st.columns([2, 1], gap="large")
    frame = matching.to_frame()
    with left:
        rows_to_open(
            frame,
            "matched",
            lambda row: open_bit_page(int(frame["a"].iloc[row])),
            height=min(420, 38 + 35 * len(frame)),
            column_config={
                "phi": st.column_config.NumberColumn(format="%+.3f", help="Below 0: the other's complement")
            },
        )
        downloads(frame, "matched-bits")
    with right:
        st.markdown(f"**Lost**: bits of a without a partner in b\n\n{_few(matching.lost)}")
        st.markdown(f"**New**: bits of b without a partner in a\n\n{_few(matching.new)}")
        st.caption(
            f"A partner has |phi| above {matching.threshold:.3f}, which permuted images reach in 1 of 20 matchings."
        )


def _few(bits: np.ndarray) -> str:
    shown = ", ".join(str(bit) for bit in bits[:40].tolist())
    return f"{len(bits)}: {shown}{' …' if len(bits) > 40 else ''}" if len(bits) else "none"


def _neighbours(view: View, other: View) -> None:
    st.markdown("#### Where did neighbours change?")
    if len(view.codes) <= NEAREST:
        st.caption("Too few images.")
        return
    with st.spinner("Searching in both codes …"):
        found = view.measured(
            "changes",
            other.content,
            make=lambda: neighbour_changes(view.codes, other.codes, k=NEAREST, sample=1000),
        )
    st.markdown(
        f"Of the {NEAREST} nearest images, {found.value:.0%} are the same in both codes, on average over "
        f"{len(found.rows):,} images (by chance {found.chance:.1%})."
    )
    order = np.argsort(found.shared, kind="stable")[:SHOWN]
    rows = found.rows[order]
    notes = [f"{share:.0%} kept" for share in found.shared[order]]
    clicked = gallery([card(view.codes, int(row), view.pictures) for row in rows], "changed", notes=notes, size=74)
    if clicked is not None:
        open_item(view.codes.items["id"][clicked].as_py())
    st.caption("Those whose neighbours changed most. Click one for what lies near it in a.")
