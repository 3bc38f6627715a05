"""Retrieval: what lies near an image, and which bits differ."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import streamlit as st
from bitarray import bitarray

from app.address import asked, named, say
from app.nearest import OVERSAMPLE, Query, counting, database, near_copies, nearest
from app.parts.naming import names_of
from app.pictured import among_pictured, pictured_rows
from app.queries import typed_code
from app.retrieval_code import code_lines, image_lines, item_lines, search_lines
from app.retrieval_parts import bit_weights, show_curves, weights_in_address
from app.screens.bits import bit_number
from app.state import View
from app.widgets import bit_links, downloads, gallery, rows_to_pick, show_code, text
from codelab.core.codes import Codes
from codelab.core.errors import CodelabError, DataError
from codelab.core.files import find_checkpoint
from codelab.images.cards import Card, card, label_text, picture_uri
from codelab.images.imageset import decode
from codelab.retrieval.measures import retrieval_map

COPIES = "The image whose nearest other is nearest of all; again, the next one."
CHOICE, MOST_DRAWS = 24, 10**6
"""Images to choose a query from, and how often others are drawn."""
MOST = 60
"""Images on the page, at most."""
PLACE = "place"
"""What the address calls the place among the neighbours, from 0, whose differing bits are shown."""
PER_LINE = 16
"""Digits of a code in one line."""
SOURCES = OURS, YOURS, TYPED = "from the codes", "an image of yours", "a code"
"""Where the query comes from; the address names it, but the first."""
UPLOADS = ("png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff")
UPLOAD_MEGABYTES = 20
UPLOAD_PIXELS = 25_000_000
"""Width times height of an uploaded image, at most: a camera's 24 megapixels pass."""


def show(view: View) -> None:
    st.title("What lies near an image?")
    if len(view.codes) == 0:
        raise DataError("there are no codes in this set")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = _source()
        k = st.segmented_control("Neighbours", [12, 24, 48], default=24, required=True, key="k", bind="query-params")
        left_out = False
        if view.group is not None:
            left_out = st.toggle(
                f"Leave out the same {text(view.group)}",
                True,
                key="leave_out",
                bind="query-params",
                help="Near copies of the query say little about a code.",
            )
        rescore = _rescoring(view)
    query = {OURS: _chosen, YOURS: _uploaded, TYPED: _typed}[source](view)
    if query is not None:
        rescore = rescore if rescore and getattr(query.code, rescore) is not None else None
        _neighbours(view, query, int(k), view.group if left_out else None, rescore)
    if source == OURS:
        _choose(view, MOST - 1 - int(k))
    show_curves(view)
    if query is not None:
        show_code(_lines_of(view, query, int(k), view.group if left_out else None, rescore))


def _lines_of(view: View, query: Query, k: int, group: str | None, rescore: str | None) -> str:
    """The Python lines of this search."""
    kept = query.row is not None and group is not None and view.codes.items[group][query.row].is_valid
    return search_lines(
        query.lines,
        k,
        is_item=query.row is not None,
        group=group if kept else None,
        weights=counting(query, weights_in_address(view)),
        rescore=rescore,
        oversample=OVERSAMPLE,
    )


def _source() -> str:
    """Where the query comes from, as the address names it; also for a click on a neighbour, which says it there."""
    changed = named(SOURCES, OURS, key="source", unsaid=OURS)
    return st.segmented_control("Query", SOURCES, required=True, key="source", on_change=changed) or OURS


def _rescoring(view: View) -> str | None:
    """By what the nearest codes are ranked again, if at all."""
    kept = [name for name in ("logits", "features") if getattr(view.codes, name) is not None]
    if not kept:
        return None
    chosen = st.segmented_control(
        "Rescore by",
        ["no", *kept],
        default="no",
        required=True,
        key="rescore",
        bind="query-params",
        help=f"Fetch {OVERSAMPLE} times as many by Hamming distance, and order them by the cosine of what is kept.",
    )
    return None if chosen == "no" else chosen


def _chosen(view: View) -> Query | None:
    """The item named by its id."""
    ids = view.codes.items["id"]
    rows = pictured_rows(view)

    def random_item() -> None:
        row = random.randrange(len(ids)) if rows is None else random.choice(rows.tolist())
        say("item", ids[row].as_py())

    def next_copy() -> None:
        near = view.kept("near copies", make=lambda: near_copies(view))
        place = st.session_state["copy"] = (st.session_state.get("copy", -1) + 1) % len(near)
        say("item", ids[int(near[place])].as_py())

    def typed() -> None:
        say("item", st.session_state["item"])

    if "item" not in st.query_params:
        say("item", ids[0 if rows is None else int(rows[0])].as_py())
    name = st.session_state["item"] = asked("item")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Id of the image", key="item", on_change=typed, width=320)
        st.button("Random", icon=":material/shuffle:", on_click=random_item)
        st.button("Near copies", icon=":material/content_copy:", on_click=next_copy, help=COPIES)
    row = pc.index(ids, name).as_py() if name else -1
    if row < 0:
        st.warning(text(f"No image has the id {name!r}. Choose one below."), icon=":material/search_off:")
        return None
    return Query(view.codes[[row]], card(view.codes, row, view.pictures), item_lines(name), row)


def _typed(view: View) -> Query | None:
    """A code as bits, hex digits or a pattern."""
    bits = view.codes.bits
    words = st.text_input(
        "Code",
        key="typed",
        bind="query-params",
        max_chars=4 * bits + 100,
        placeholder=f"{'10*' * 3}…, or {-(-bits // 8) * 2} hex digits",
        help="0 and 1, bit 0 first; * is a bit that does not count.",
    )
    if not words.strip():
        st.info(f"Type up to {bits} of 0, 1 and *, or the code in hex.", icon=":material/info:")
        return None
    try:
        found = typed_code(words, bits)
    except CodelabError as error:
        st.error(text(str(error)), icon=":material/error:")
        return None
    count = int(found.fixed.sum())
    if not count:
        st.info("No bit is fixed: every image has this pattern.", icon=":material/info:")
        return None
    shown = Card(-1, "", "", f"{count} bits fixed", "", f"{count} of {bits} bits", "a code")
    return Query(found.code, shown, code_lines(found.code), fixed=found.fixed)


def _uploaded(view: View) -> Query | None:
    """The code of an image a person brings."""
    encoder = view.encoder()
    blocked = isinstance(encoder, str)
    file = st.file_uploader("An image", UPLOADS, disabled=blocked, key="upload", max_upload_size=UPLOAD_MEGABYTES)
    if isinstance(encoder, str):
        st.info(text(encoder), icon=":material/info:")
        return None
    st.caption("An uploaded image is not kept: a copied link opens this page without it.")
    if file is None:
        return None
    if file.size > UPLOAD_MEGABYTES * 2**20:  # the browser refuses it first, if it is one
        st.error(text(f"{file.name}: larger than {UPLOAD_MEGABYTES} MB"), icon=":material/error:")
        return None
    data = file.getvalue()
    try:
        image = decode(data, file.name, most_pixels=UPLOAD_PIXELS)
        picture = picture_uri(data, file.name)
    except DataError as error:
        st.error(text(str(error)), icon=":material/error:")
        return None
    features, logits = encoder.encode(encoder.transform(image)[None])
    shown = Card(-1, file.name, picture, file.name, "", file.name)
    checkpoint = find_checkpoint(view.codes, view.path, root=view.root)
    return Query(Codes.from_logits(logits, features=features), shown, image_lines(file.name, str(checkpoint)))


def _neighbours(view: View, query: Query, k: int, group: str | None, rescore: str | None) -> None:
    keep = database(view.codes, query.row, group)
    others = int(keep.sum())
    weights = bit_weights(view)
    left, right = st.columns([2, 7], gap="medium")
    with left:
        st.markdown("**Query**")
        gallery([query.card], "query", size=120)
        if query.card.label:
            st.caption(text(f"class: {query.card.label}"))
        if query.row is not None and others:
            _average_precision(query, view.codes, keep)
    with right:
        if not others:
            st.info("There is no other image to compare with.", icon=":material/info:")
            return
        near, distances, second = nearest(view.codes, query, keep, min(k, others), weights, rescore)
        by = "by Hamming distance" if weights is None else "by the weights of their bits"
        again = "" if second is None else f", then by {rescore}"
        st.markdown(f"**The {len(near)} nearest of {others:,}** {by}{again}")
        same = [_same_class(view.codes, query.row, int(row)) for row in near]
        signs = {True: "✓", False: "✗", None: ""}
        words = {True: "same", False: "different", None: ""}
        cards = [card(view.codes, int(row), view.pictures) for row in near]

        def choose(row: int) -> None:
            say("source", "")
            say("item", view.codes.items["id"][row].as_py())

        notes = [f"{d:g} {signs[s]}" for d, s in zip(distances.tolist(), same, strict=True)]
        if second is not None:
            notes = [f"{note.split()[0]} · {c:.2f} {signs[s]}" for note, c, s in zip(notes, second, same, strict=True)]
        gallery(cards, "near", notes=notes, marks=[words[s] for s in same], size=84, on_click=choose)
        if query.card.label:
            st.caption("The number is the distance; ✓ shares the query's class, ✗ does not. Click an image to go on.")
        else:
            differ = "how many bits differ" if weights is None else "the weights of the bits that differ"
            st.caption(f"The number is the distance: {differ}. Click an image to go on.")
    left, right = st.columns([3, 8], gap="medium")
    with left:
        st.markdown("#### The query's code")
        _code(query.code)
    with right:
        _differences(view, query, near, distances, [signs[s] for s in same])


def _code(code: Codes) -> None:
    """The query's code, to read and to copy."""
    bits, hexadecimal = code.code(0).to01(), code.packed[0].tobytes().hex()
    st.caption(f"{code.bits} bits, {PER_LINE} a line, bit 0 first")
    st.code(_lines(bits), language=None)
    st.caption("The same in hex")
    st.code(_lines(hexadecimal), language=None)


def _lines(digits: str) -> str:
    return "\n".join(digits[i : i + PER_LINE] for i in range(0, len(digits), PER_LINE))


def _same_class(codes: Codes, query: int | None, row: int) -> bool | None:
    """Whether two items share a class; None where one of them has none."""
    if query is None or not label_text(codes, query) or not label_text(codes, row):
        return None
    if codes.multilabel:
        return bool((codes.labels[query] & codes.labels[row]).any())
    return bool(codes.labels[query] == codes.labels[row])


def _average_precision(query: Query, codes: Codes, keep: np.ndarray) -> None:
    if not query.card.label:
        return
    left_out = np.ones(1, np.int64), (~keep).astype(np.int64)  # those left out are the query's own group
    try:
        values = [
            retrieval_map(query.code, codes, ties=ties, bootstrap=1, exclude_self=False, groups=left_out).value
            for ties in ("expected", "pessimistic", "optimistic")
        ]
    except CodelabError as error:
        st.caption(text(f"No average precision: {error}."))
        return
    expected, low, high = values
    with st.container(gap=None):
        st.caption("Average precision", help="Over all other images; 1 if the whole class came first.")
        st.markdown(f"### {expected:.3f}")
        st.caption(f"{low:.3f} to {high:.3f} as ties fall")


def _differences(view: View, query: Query, near: np.ndarray, distances: np.ndarray, signs: list[str]) -> None:
    st.markdown("#### Which bits differ")
    mine = query.code.code(0)
    counts = bitarray([True] * len(mine)) if query.fixed is None else bitarray(query.fixed.tolist())
    differing = [list(((view.codes.code(int(row)) ^ mine) & counts).search(1)) for row in near]
    names = names_of(view)
    frame = pd.DataFrame(
        {
            "place": range(1, len(near) + 1),
            "id": [view.codes.items["id"][int(row)].as_py() for row in near],
            "class": [label_text(view.codes, int(row)) for row in near],
            "same": signs,
            "distance": distances,
            "differing bits": [" ".join(map(str, bits)) or "none" for bits in differing],
            "by name": ["; ".join(names[bit] for bit in bits if bit in names) for bits in differing],
        }
    )
    if not names:
        frame = frame.drop(columns=["by name"])
    if not frame["class"].any():
        frame = frame.drop(columns=["class", "same"])
    place = bit_number(asked(PLACE), len(near)) or 0
    rows_to_pick(
        frame,
        "differences",
        place,
        lambda row: say(PLACE, row or ""),
        height=min(290, 38 + 35 * len(frame)),
        column_config={
            "place": st.column_config.NumberColumn(width=50),
            "same": st.column_config.TextColumn("✓", width=35),
            "distance": st.column_config.NumberColumn(width=70),
            "differing bits": st.column_config.TextColumn(width="large"),
        },
    )
    downloads(frame, "nearest")
    if differing[place]:
        st.markdown(f"Bits in which place {place + 1} differs from the query; open one:")
        bit_links(differing[place])
    else:
        st.markdown(f"Place {place + 1} has the query's own code.")
    st.caption("Click a row to see the bits of another place.")


def _choose(view: View, most: int) -> None:
    """A gallery to choose the query from."""
    st.markdown("#### Choose another image")
    codes = view.codes
    with st.container(horizontal=True, vertical_alignment="bottom"):
        of = "all"
        if codes.labelled and not codes.multilabel:
            of = st.selectbox("Class", ["all", *codes.classes], key="choose_class", bind="query-params", width=260)
        drawn = bit_number(asked("draw"), MOST_DRAWS) or 0
        st.button("Others", icon=":material/refresh:", on_click=say, args=("draw", drawn + 1))
    rows = np.arange(len(codes)) if of == "all" else np.flatnonzero(codes.labels == codes.classes.index(of))
    draw = np.random.default_rng(drawn)
    kept = among_pictured(view, rows)
    if len(kept) < len(rows):
        st.caption(f"Of the {len(kept):,} images with a picture.")
    rows = np.sort(draw.choice(kept, min(CHOICE, most, len(kept)), replace=False))

    def choose(row: int) -> None:
        say("item", codes.items["id"][row].as_py())

    gallery([card(codes, int(row), view.pictures) for row in rows], "choose", size=74, on_click=choose)
