"""What all pages share: the opened codes, what was measured on them, and how one gets from page to page."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
import streamlit as st

from codelab.analysis import analyze
from codelab.core.codes import Codes
from codelab.core.errors import CodelabError
from codelab.core.files import load
from codelab.core.result import Result

if TYPE_CHECKING:
    from codelab.images.encoder import Encoder

FILE_LABELS = "the file's own"
NO_LABELS = "none"
MOST_CLASSES = 2000

_WORDS = {
    "bit_usage": "how often each bit is 1",
    "class_information": "what each bit says about the class",
    "bit_reuse": "in how many classes each bit varies",
    "pair_distances": "how far apart codes lie",
    "block_entropy_contiguous": "how full blocks of bits are",
    "block_entropy_random": "how full random blocks of bits are",
    "block_entropy_dependent": "how full blocks of dependent bits are",
    "degrees_of_freedom": "how many independent bits the code is worth",
}
"""What a reader waits for, section by section."""

_TOGETHER = ("degrees_of_freedom", "block_entropy_dependent")
"""Sections that follow from the same counts of pairs."""


@dataclass(frozen=True)
class View:
    """The codes as the sidebar asks for them.

    Args:
        path: where they were opened.
        key: changes whenever the file or the choice of labels does; what caches go by.
        codes: with the chosen labels.
        label: what the labels are, in a word.
        group: the attribute whose values count as one thing, or None.
    """

    path: Path
    key: Hashable
    codes: Codes
    label: str
    group: str | None

    def result(self, section: str) -> Result:
        """One section of `analyze`, measured when a page first asks."""
        together = _TOGETHER if section in _TOGETHER else (section,)
        with st.spinner(f"Measuring {_WORDS[section]} …"):
            return _measured(self.key, self.codes, together)[section]

    def encoder(self) -> Encoder | str:
        """The encoder that made these codes, or why there is none."""
        from codelab.core.files import find_checkpoint

        path = find_checkpoint(self.codes, self.path)
        if path is None:
            return (
                "Uploading needs the encoder that made these codes: put its checkpoint beside them "
                "as `encoder.safetensors`."
            )
        try:
            encoder = _encoder(str(path), path.stat().st_mtime_ns)
        except CodelabError as error:
            return f"Uploading needs the encoder that made these codes. {error}"
        except ModuleNotFoundError as error:
            return f"Uploading needs {error.name}: `pip install 'codelab[models]'`."
        if encoder.config.bits != self.codes.bits:
            return f"{path} gives {encoder.config.bits} bits; these codes have {self.codes.bits}."
        made_by = (self.codes.meta.get("encoder") or {}).get("sha256", encoder.sha256)
        if made_by != encoder.sha256:
            return f"{path} is not the encoder that made these codes: its SHA-256 is another."
        return encoder


def stamp(path: Path) -> Hashable:
    """Changes when the file, or a file of the folder, is written anew."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return (str(path.resolve()), *((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.exists()))


@st.cache_resource(show_spinner="Opening the codes …", max_entries=4)
def open_codes(_path: Path, key: Hashable) -> Codes:
    """The codes in a file; kept until the file changes.

    Raises:
        UsageError, DataError: as `codelab.load`.
    """
    return load(_path)


@st.cache_resource(show_spinner=False, max_entries=16)
def relabelled(_codes: Codes, key: Hashable, choice: str) -> Codes:
    """The codes with the labels chosen in the sidebar."""
    if choice == FILE_LABELS:
        return _codes
    if choice == NO_LABELS:
        return replace(_codes, labels=np.full(len(_codes), -1, dtype=np.int32), classes=())
    return _codes.label_by(choice)


@st.cache_resource(show_spinner=False, max_entries=16)
def label_choices(_codes: Codes, key: Hashable) -> list[str]:
    """What the sidebar offers as labels: the file's own, and attributes with few enough values to be classes."""
    choices = [FILE_LABELS] if _codes.labelled else []
    for name in _codes.attributes:
        column = _codes.items[name]
        try:
            values = len(pc.drop_null(pc.unique(column)))
        except NotImplementedError:  # nested columns have no unique values
            continue
        if 2 <= values <= min(MOST_CLASSES, max(2, len(_codes) // 2)):
            choices.append(name)
    return [*choices, NO_LABELS]


@st.cache_resource(show_spinner=False, max_entries=64)
def _measured(key: Hashable, _codes: Codes, sections: tuple[str, ...]) -> dict[str, Result]:
    return analyze(_codes, sections=sections)


@st.cache_resource(show_spinner="Loading the encoder …", max_entries=2)
def _encoder(path: str, changed: int) -> Encoder:
    from codelab.images.encoder import Encoder

    return Encoder.load(path)
