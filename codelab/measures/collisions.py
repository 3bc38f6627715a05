"""Codes that occur more than once, and codes that nearly do."""

from __future__ import annotations

import dataclasses

import numpy as np

from codelab.core.checks import check_codes, check_seed, need_items
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.result import Result, Source
from codelab.kernels.counting import column_counts, distinct_codes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collisions(Result):
    """Items that share a code.

    `distinct` different codes (`value` is their share of the items); `repeated` items whose code another item has
    too; `pairs` of items with one code, of them `pairs_within` a class and `pairs_across` classes (None without
    labels; pairs with an unlabelled item are in neither). `expected_pairs` is what independent bits with the same
    shares of ones would give. `nearest` `[B + 1]` counts, for `sample` items, the distance to the nearest other item;
    `near_duplicates` is the share of them with another item at most `radius` bits away.

    The line quotes `distinct`, and `pairs` beside what independent bits would give.
    """

    value: float
    distinct: int
    repeated: int
    pairs: int
    pairs_within: int | None
    pairs_across: int | None
    expected_pairs: float
    nearest: np.ndarray
    near_duplicates: float
    radius: int
    sample: int

    def headline(self) -> str:
        share = f"{self.distinct:,} different codes ({self.value:.1%} of the images)"
        return f"{share}; {self.pairs:,} pairs alike (independent bits {self.expected_pairs:,.1f})"


def collisions(codes: Codes, *, radius: int | None = None, sample: int = 1000, seed: int = 0) -> Collisions:
    """How many codes are distinct, who shares one, and how near the nearest other code is.

    Args:
        codes: codes `[N, B]`.
        radius: bits by which near-duplicates may differ; default: 2 % of B, rounded down.
        sample: items whose nearest other item is looked up.
        seed: of the sample.

    Returns:
        Counts; see `Collisions`. For multi-label codes, items of one class are those with the same set of labels; an
        item without any is unlabelled.

    Raises:
        UsageError: a radius or sample that cannot be.
        DataError: fewer than 2 codes.

    Example:
        >>> codes = Codes.from_bits([[0, 0], [0, 0], [0, 0], [1, 1]], labels=[0, 0, 1, 1])
        >>> found = collisions(codes, radius=0)
        >>> found.distinct, found.pairs_within, found.pairs_across, found.near_duplicates
        (2, 1, 2, 0.75)
    """
    check_codes("codes", codes)
    n = need_items("collisions", len(codes), least=2)
    radius = codes.bits // 50 if radius is None else radius
    if not 0 <= radius <= codes.bits:
        raise UsageError(f"radius {radius}: expected 0 to {codes.bits} bits")
    if sample < 1:
        raise UsageError(f"sample {sample}: expected at least 1")
    check_seed(seed)
    number, times = distinct_codes(codes.packed)
    within = across = None
    if codes.labelled:
        if codes.multilabel:
            sets, _ = distinct_codes(np.packbits(codes.labels, axis=1))
            labels = np.where(codes.labels.any(axis=1), sets, -1)
        else:
            labels = codes.labels
        kept = labels >= 0
        joint = number[kept] * (int(labels.max()) + 1) + labels[kept]
        within = _pairs(np.unique(joint, return_counts=True)[1])
        across = _pairs(np.bincount(number[kept])) - within
    p = column_counts(codes.packed, codes.bits) / n
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:sample])
    nearest = np.bincount(_nearest_other(codes, rows, number, times), minlength=codes.bits + 1)
    return Collisions(
        source=Source.of(codes),
        seed=seed,
        value=len(times) / n,
        distinct=len(times),
        repeated=int(times[times > 1].sum()),
        pairs=_pairs(times),
        pairs_within=within,
        pairs_across=across,
        expected_pairs=float(np.prod(p**2 + (1 - p) ** 2) * n * (n - 1) / 2),
        nearest=nearest,
        near_duplicates=float(nearest[: radius + 1].sum() / len(rows)),
        radius=radius,
        sample=len(rows),
    )


def _pairs(times: np.ndarray) -> int:
    return int((times.astype(np.int64) * (times - 1) // 2).sum())


def _nearest_other(codes: Codes, rows: np.ndarray, number: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Distance from each of `rows` to the nearest other row; 0 at once where its code occurs again."""
    from codelab.neighbours.search import search

    found = search(codes, codes.packed[rows], k=2)
    return np.where(times[number[rows]] > 1, 0, found.distances[:, 1])
