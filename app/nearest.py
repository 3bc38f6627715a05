"""What the retrieval page searches for, among whom, and what is nearest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from app.state import View
from codelab.core.attributes import group_column
from codelab.core.codes import Codes
from codelab.images.cards import Card
from codelab.neighbours.search import search

OVERSAMPLE = 4
"""How many times as many codes are fetched before rescoring."""
MOST_LEFT_OUT = 10_000
"""Images left out of a search up to which it looks through all."""
MOST_COPIES = 20_000
"""Images among which near copies are looked for."""
NEAR = 96
"""Codes near each of them that are looked at."""


@dataclass(frozen=True)
class Query:
    """What is searched for.

    Args:
        lines: the Python lines that make it.
        row: among the codes, if it is one of them.
        fixed: the bits that count; None for all.
    """

    code: Codes
    card: Card
    lines: str
    row: int | None = None
    fixed: np.ndarray | None = None


def near_copies(view: View) -> np.ndarray:
    """Rows by the distance of their nearest other image, the nearest first; those of a group count as one image."""
    own = np.arange(len(view.codes)) if view.group is None else group_column(view.codes, view.group)
    rows = np.sort(np.random.default_rng(0).permutation(len(own))[:MOST_COPIES])
    bare = Codes(view.codes.packed, view.codes.bits)
    found = search(bare, bare[rows], k=min(NEAR, len(own)))
    away = np.where(own[found.indices] == own[rows][:, None], view.codes.bits + 1, found.distances).min(axis=1)
    return rows[np.argsort(away, kind="stable")]


def database(codes: Codes, row: int | None, group: str | None) -> np.ndarray:
    """Whom the query is compared with: not itself, and not its own group."""
    keep = np.ones(len(codes), dtype=bool)
    if row is None:
        return keep
    keep[row] = False
    own = codes.items[group][row].as_py() if group is not None else None
    if own is not None:
        keep &= ~pc.fill_null(pc.equal(codes.items[group], own), False).to_numpy(zero_copy_only=False).astype(bool)
    return keep


def counting(query: Query, weights: np.ndarray | None) -> np.ndarray | None:
    """The weight of each bit: of a pattern only the fixed ones count."""
    if query.fixed is None:
        return weights
    return query.fixed.astype(float) * (1 if weights is None else weights)


def nearest(
    codes: Codes, query: Query, keep: np.ndarray, k: int, weights: np.ndarray | None, rescore: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The rows among `keep` nearest by what counts (fixed bits, weighted bits), their distances, and rescored ones.

    All codes are searched, whose layout for the search is made once; those left out are dropped from what is found.
    """
    rows, out = np.arange(len(codes)), int((~keep).sum())
    if out > MOST_LEFT_OUT:
        rows, out = np.flatnonzero(keep), 0
        vectors = {} if rescore is None else {rescore: getattr(codes, rescore)[rows]}
        codes = Codes(codes.packed[rows], codes.bits, **vectors)
    options: dict[str, Any] = {"k": k + out, "weights": counting(query, weights)}
    if query.fixed is not None:
        if set(np.unique(options["weights"])) <= {0.0, 1.0}:
            options = {"k": k + out, "mask": options["weights"] > 0}
    elif rescore is not None:
        options |= {"rescore": rescore, "oversample": (OVERSAMPLE * k + out) / (k + out)}
    found = search(codes, query.code, **options)
    stay = np.flatnonzero(keep[rows[found.indices[0]]])[:k]
    second = None if found.rescored is None else found.rescored[0][stay]
    return rows[found.indices[0][stay]], found.distances[0][stay], second
