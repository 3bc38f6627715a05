"""Whose nearest images are others in another code."""

from __future__ import annotations

import dataclasses

import numpy as np

from codelab.core.checks import check_same_images, check_seed, check_whole
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.formats import number
from codelab.core.result import Result, Source
from codelab.neighbours.others import without_self
from codelab.neighbours.search import search


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeighbourChanges(Result):
    """Of images `rows` `[K]`, `shared` `[K]` is the share of their `k` nearest others that both codes have in common.

    `value` is the mean, `chance` the mean with the images of b permuted. Where many distances are equal, `chance` is
    far above k / (N - 1), since the order of rows decides among them in both codes.

    The line quotes both.
    """

    rows: np.ndarray
    shared: np.ndarray
    k: int
    chance: float

    @property
    def value(self) -> float:
        """Mean share of neighbours that are the same."""
        return float(self.shared.mean())

    def headline(self) -> str:
        return f"{number(self.value)} of the {self.k} nearest are the same (by chance {number(self.chance)})"


def neighbour_changes(a: Codes, b: Codes, *, k: int = 10, sample: int = 1000, seed: int = 0) -> NeighbourChanges:
    """How many of the k nearest images of one code are among the k nearest of another.

    Among equal distances the first row comes first, in both codes.

    Args:
        a, b: codes of the same items in the same order, by `id`; the bits may differ in number.
        k: neighbours.
        sample: images looked at, drawn by `seed` where there are more.
        seed: of the images looked at, and of the permutation behind `chance`.

    Raises:
        UsageError: an option out of range.
        DataError: codes of other images, or too few for k neighbours.

    Example:
        >>> codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (50, 16)))
        >>> neighbour_changes(codes, codes, k=5).value
        1.0
    """
    check_same_images("neighbour_changes", a, b)
    check_whole("k", k, 1)
    check_whole("sample", sample, 1)
    check_seed(seed)
    n = len(a)
    if n < k + 1:
        raise DataError(f"neighbour_changes: found {n} codes, expected at least {k + 1} for k={k}")
    generator = np.random.default_rng(seed)
    rows = np.sort(generator.permutation(n)[:sample])
    mixed = Codes(b.packed[generator.permutation(n)], b.bits)
    mine, theirs, chance = (_others(codes, rows, k) for codes in (a, b, mixed))
    return NeighbourChanges(
        source=Source.of(a),
        seed=seed,
        rows=rows,
        shared=_shared(mine, theirs),
        k=k,
        chance=float(_shared(mine, chance).mean()),
    )


def _shared(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The share of neighbours `[K, k]` that are in both lists, `[K]`."""
    return np.array([len(np.intersect1d(x, y)) / one.shape[1] for x, y in zip(one, two, strict=True)])


def _others(codes: Codes, rows: np.ndarray, k: int) -> np.ndarray:
    """The k nearest rows of each row but itself, `[K, k]`."""
    return without_self(search(codes, codes.packed[rows], k=k + 1).indices, rows)
