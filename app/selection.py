"""The selection that pages share, as the address holds it: a query of bits, or lassos on a map.

`sel=where 3 & ~17` is a query. `sel=lasso umap 0 +(x,y x,y x,y) -(x,y x,y x,y)` are lassos on the map by UMAP with
seed 0: one after a `+` adds what is inside, one after a `-` takes it out. Each link opens with its selection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.address import keep, kept
from app.on_request import on_request
from app.parts.naming import bits_named
from app.state import View
from codelab.core.errors import UsageError
from codelab.neighbours.lasso import inside_polygon

if TYPE_CHECKING:
    from codelab.neighbours.projection import Projection

NAME = "sel"
MOST = 20_000
"""Characters of a selection in an address: some 60 lassos."""
METHODS = ("umap", "tsne")


@dataclass(frozen=True)
class Selection:
    """Images that are selected: `rows` bool `[N]`, `words` for a person, `text` for the address."""

    rows: np.ndarray
    words: str
    text: str


@dataclass(frozen=True)
class Lassos:
    """Lassos on one map: `parts` are +1 or -1 with corners `[K, 2]`."""

    method: str
    seed: int
    parts: tuple[tuple[int, np.ndarray], ...]

    def text(self) -> str:
        lassos = (f"{'+-'[sign < 0]}({_corners(polygon)})" for sign, polygon in self.parts)
        return f"lasso {self.method} {self.seed} {' '.join(lassos)}"

    def of(self, points: np.ndarray) -> np.ndarray:
        """Which points are selected; a first lasso that takes away takes from all."""
        found = np.full(len(points), self.parts[0][0] < 0)
        for sign, corners in self.parts:
            inner = inside_polygon(points, corners)
            found = found | inner if sign > 0 else found & ~inner
        return found


def _corners(polygon: np.ndarray) -> str:
    return " ".join(f"{x:.4g},{y:.4g}" for x, y in polygon)


def lassos(text: str) -> Lassos | None:
    """The lassos that a selection is; None where it is a query, or nothing.

    Raises:
        UsageError: it is neither.
    """
    if not text.startswith("lasso "):
        return None
    found = re.fullmatch(r"lasso (\w+) (\d{1,9})((?: [+-]\([-+.,e\d ]+\))+)", text[:MOST])
    if found is None or found[1] not in METHODS:
        raise UsageError(f"selection {text[:60]!r}: expected 'lasso METHOD SEED +(x,y x,y x,y)'")
    parts = []
    for sign, corners in re.findall(r"([+-])\(([-+.,e\d ]+)\)", found[3]):
        try:
            pairs = np.array([[float(v) for v in pair.split(",", 1)] for pair in corners.split()])
        except ValueError:
            raise UsageError(f"selection {text[:60]!r}: a corner is not a pair of numbers") from None
        parts.append((1 if sign == "+" else -1, pairs))
    return Lassos(found[1], int(found[2]), tuple(parts))


def select(text: str) -> None:
    """Let all pages have this selection; empty for none."""
    keep(NAME, text)


def selected_text() -> str:
    return kept(NAME)


def selected(view: View) -> Selection | None:
    """What is selected; None for nothing.

    Raises:
        UsageError, DataError: the address holds what is no selection of these codes.
    """
    text = selected_text()
    if not text:
        return None
    if text.startswith("where "):
        query = text.removeprefix("where ")
        rows = np.frombuffer(view.codes.where(query, bits_named(view)).unpack(), dtype=bool)
        return Selection(rows, query, text)
    drawn = lassos(text)
    if drawn is None:
        raise UsageError(f"selection {text[:60]!r}: expected 'where QUERY' or 'lasso METHOD SEED +(x,y x,y x,y)'")
    found = projection(view, drawn.method, drawn.seed)
    if found is None or isinstance(found, str):
        raise UsageError(found or "the map of these lassos is not laid out yet")
    count = f"{len(drawn.parts)} lasso{'s' * (len(drawn.parts) != 1)}"
    return Selection(drawn.of(found.coordinates), f"{count} on the map by {drawn.method}", text)


def projection(view: View, method: str, seed: int, *, ask: bool = False) -> Projection | str | None:
    """A map of the codes beside its control, or why there is none; None before a person asks.

    Args:
        ask: also where there are few codes.
    """
    from codelab.neighbours.projection import project

    def make(view: View) -> Projection:
        return project(view.codes, method=method, seed=seed, groups=view.group, cache=False)  # type: ignore[arg-type]

    return on_request(view, "projection", "Lay out the map and its control", make, method, seed, ask=ask or view.large)
