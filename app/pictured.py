"""Images with a picture kept beside their code: where only some have one, galleries choose among those."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

import numpy as np
import pyarrow.compute as pc
import streamlit as st

from app.state import View
from codelab.core.codes import Codes
from codelab.core.result import Source
from codelab.semantics.exemplars import Exemplars, exemplars


def pictured_rows(view: View) -> np.ndarray | None:
    """Rows with a picture, int64; None where all or none have one, so that there is nothing to choose."""
    return _rows(view.codes, view.key)


def among_pictured(view: View, rows: np.ndarray) -> np.ndarray:
    """Those of some rows that have a picture; all where none of them has one, or all have."""
    kept = pictured_rows(view)
    found = rows if kept is None else np.intersect1d(rows, kept, assume_unique=True)
    return found if len(found) else rows


def pictured_exemplars(view: View, bit: int, rows: np.ndarray, *, histogram: bool = True, **options: int) -> Exemplars:
    """The exemplars of a bit among some rows, with the histogram of all images."""
    found = exemplars(_at(view.codes, rows, view.key, view.group), bit, group=view.group, **options)
    lists = {name: rows[getattr(found, name)] for name in ("one", "zero", "threshold", "quantiles")}
    bins = tuple(dataclasses.replace(part, rows=rows[part.rows]) for part in found.bins)
    contrasts = tuple(dataclasses.replace(c, zero=rows[c.zero], one=rows[c.one]) for c in found.contrasts)
    chosen = f"of the {len(rows):,} images with a picture, {found.chosen}"
    found = dataclasses.replace(found, **lists, bins=bins, contrasts=contrasts, chosen=chosen)
    if view.codes.logits is None or not histogram:
        return dataclasses.replace(found, source=Source.of(view.codes))
    every = exemplars(view.codes, bit, count=1, classes=0)
    return dataclasses.replace(found, counts=every.counts, edges=every.edges, source=every.source)


@st.cache_resource(show_spinner=False, max_entries=16)
def _rows(_codes: Codes, key: Hashable) -> np.ndarray | None:
    if "thumbnail" not in _codes.items.column_names:
        return None
    has = pc.fill_null(pc.greater(pc.binary_length(_codes.items["thumbnail"]), 0), False)
    rows = np.flatnonzero(has.to_numpy())
    return None if len(rows) in (0, len(_codes)) else rows


@st.cache_resource(show_spinner=False, max_entries=4)
def _at(_codes: Codes, _rows: np.ndarray, key: Hashable, group: str | None) -> Codes:
    """The codes at some rows, without the pictures themselves: nothing here looks at them."""
    columns = [name for name in ("id", group) if name is not None]
    lean = dataclasses.replace(_codes, items=_codes.items.select(columns), features=None)
    return lean[_rows]
