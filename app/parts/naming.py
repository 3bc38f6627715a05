"""Names of a bit: those proposed, those of people, and a form that scores a guess on images nobody has looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import streamlit as st

from app.on_request import on_request
from app.state import View
from app.widgets import reason, show_code, text
from codelab.core.errors import CodelabError, DataError
from codelab.core.inside import inside
from codelab.core.verdict import plain_reason
from codelab.semantics.names import BitName, BitNames, name_bits, read_ledger, score_name, write_ledger
from codelab.semantics.targets import targets

NAME, TITLE = "name", "Name"

LONGEST = 80
"""Characters of a name."""


def ledger(view: View) -> Path:
    """The file of names: beside the codes, or in the folder of codes in parts.

    Raises:
        DataError: it is a link out of the explorer's folder.
    """
    folder = view.path if view.path.is_dir() else view.path.parent
    path = folder / f"{view.path.stem}.names.json"
    if path.is_symlink() and inside(path, view.root) is None:
        raise DataError(f"{path.name}: not in the explorer's folder")
    return path


def proposed(view: View) -> BitNames | str | None:
    """The best name of every bit, or why there is none; None before a person asks."""

    def make(view: View) -> BitNames:
        return name_bits(view.sample, groups=view.group)

    return on_request(view, "names", "Propose a name of every bit", make, ask=view.large)


def names_of(view: View) -> dict[int, str]:
    """The name of each bit that a person has tested, by bit; the latest counts."""
    try:
        known = read_ledger(ledger(view))
    except CodelabError:
        return {}
    return {one.bit: one.name if one.side else f"not {one.name}" for one in known if one.state == "tested"}


def bits_named(view: View) -> dict[str, int]:
    """The bit of each tested name, what `Codes.where` takes."""
    return {name: bit for bit, name in names_of(view).items()}


def show(view: View, bit: int) -> None:
    st.markdown("#### Proposed")
    found = proposed(view)
    if isinstance(found, str):
        reason(found)
    elif found is not None:
        _proposal(found.names[bit])
        if view.sampled:
            st.caption(view.sampled)
    best = "" if found is None or isinstance(found, str) else found.names[bit].name
    st.markdown("#### Guesses of people")
    _ledger(view, bit)
    _form(view, bit, best)
    guess = f"""
one = codelab.score_name(codes, {bit}, {best!r}, groups={view.group!r}, author="you")
codelab.write_ledger("codes.names.json", [one])
"""
    show_code(
        f"""
names = codelab.name_bits(codes, groups={view.group!r})
names.names[{bit}]{guess if best else ""}
"""
    )


def _proposal(one: BitName) -> None:
    if one.state == "tested":
        st.success(f"**{text(_spoken(one))}** held on images that did not choose it.", icon=":material/check_circle:")
    else:
        st.info(f"Unnamed: the best guess, {text(_spoken(one))}, did not hold.", icon=":material/help:")
    st.markdown(_figures(one))


def _spoken(one: BitName) -> str:
    return f"{one.name} (where the bit is {one.side})"


def _figures(one: BitName) -> str:
    beside = [f"a name that every image has: IoU {one.constant_iou:.2f}"]
    if one.random_phi == one.random_phi:
        beside.append(f"a random direction that is 1 as often: phi {one.random_phi:.2f}")
    return f"phi {one.phi:.2f}, IoU {one.iou:.2f}, p = {one.p_value:.3f} over all bits; beside it {'; '.join(beside)}."


def _ledger(view: View, bit: int) -> None:
    try:
        known = [one for one in read_ledger(ledger(view)) if one.bit == bit]
    except CodelabError as error:
        reason(str(error))
        return
    if not known:
        st.caption("Nobody has named this bit yet.")
        return
    names = ("name", "side", "state", "phi", "iou", "constant_iou", "random_phi", "p_value", "author", "date")
    st.dataframe(
        pd.DataFrame([{name: getattr(one, name) for name in names} for one in known]),
        hide_index=True,
        key=f"ledger{bit}",
    )


def _form(view: View, bit: int, best: str) -> None:
    """A guess is a question that each image answers, at first the proposed one; its score is shown once kept."""
    try:
        questions = view.kept("questions", make=lambda: targets(view.sample).names)
    except CodelabError as error:
        st.caption(text(plain_reason(str(error))))
        return
    with st.form(f"guess{bit}", border=True):
        st.markdown(
            "**Add a guess.** It is scored on one half of the images, unseen by the other, and kept, right or not."
        )
        first = questions.index(best) if best in questions else None
        asked = st.selectbox("It tells the images with", questions, index=first, key=f"question{bit}")
        author = st.text_input("Your name", key="author", max_chars=LONGEST, placeholder="optional")
        sent = st.form_submit_button("Score and keep it", icon=":material/science:")
    if not sent:
        return
    if not asked:
        st.warning("Choose which images the bit tells.", icon=":material/edit:")
        return
    try:
        with st.spinner("Scoring it on the other half of the images …"):
            one = score_name(view.sample, bit, asked, groups=view.group, author=author.strip())
        one = replace(one, codes_sha256=view.codes.sha256)
        write_ledger(ledger(view), [one])
    except (CodelabError, OSError) as error:
        st.error(text(str(error)), icon=":material/error:")
        return
    st.markdown(f"**{text(_spoken(one))}**: {one.state}. {_figures(one)} Kept in {text(ledger(view).name)}.")
