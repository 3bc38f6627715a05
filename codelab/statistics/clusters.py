"""Images of one group are near copies: how many independent images they are worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from codelab.core.attributes import Groups, group_column, named_groups
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.kernels.counting import class_counts
from codelab.statistics.intervals import CONFIDENCE

AT_ONCE = 1 << 12
"""Groups whose sums are in memory at a time: 8 MB for 256 bits."""

PRIOR = 10
"""Groups with a bit that is 1 in half of them, as many as a design effect is shrunk by."""


def group_units(measure: str, codes: Any, groups: Groups, least: int = 2) -> np.ndarray | None:
    """The number of each image's group, int64 `[N]`, 0 to G - 1; None without groups.

    Raises:
        UsageError: counts in place of codes, no such column, or not one value an image.
        DataError: fewer than `least` groups.

    Example:
        >>> group_units("bit_usage", Codes.from_bits([[1], [0], [1]]), ["a", "b", "a"]).tolist()
        [0, 1, 0]
    """
    if named_groups(groups) is None:
        return None
    if not isinstance(codes, Codes):
        raise UsageError(f"{measure}: groups need the codes themselves, their counts are not enough")
    units = group_column(codes, groups)
    found = int(units.max(initial=-1)) + 1
    if found < least:
        raise DataError(f"{measure}: found {found} groups of images, expected at least {least}")
    return units


def group_sums(packed: np.ndarray, bits: int, units: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Items `[g]` and ones of each bit `[g, B]` of `AT_ONCE` groups at a time, in the order of their numbers.

    Args:
        packed: uint8 `[N, ceil(B/8)]`.
        bits: B.
        units: int `[N]`, the group of each item, 0 to G - 1.
    """
    order = np.argsort(units, kind="stable")
    number = units[order]
    for first in range(0, int(number[-1]) + 1, AT_ONCE):
        a, b = np.searchsorted(number, (first, first + AT_ONCE))
        sizes = np.bincount(number[a:b] - first)
        yield sizes, class_counts(packed[order[a:b]], bits, number[a:b] - first, len(sizes))


def one_of_each(rows: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The first row of each group among `rows`, in their order.

    Example:
        >>> one_of_each(np.array([3, 0, 2]), np.array([5, 6, 6, 5])).tolist()
        [3, 2]
    """
    return rows[np.sort(np.unique(units[rows], return_index=True)[1])]


@dataclass(frozen=True, eq=False)
class DesignEffects:
    """By what factor near copies raise the variance of each bit's share of ones.

    `own` `[B]` is the factor as measured, 1 for a bit that never changes, and `shrunk` `[B]` that drawn to the mean of
    all bits; `most` is the largest there can be, where all images of a group are equal. `shares` `[B]` of ones in `n`
    images of `groups` groups.
    """

    own: np.ndarray
    shrunk: np.ndarray
    most: float
    shares: np.ndarray
    n: int
    groups: int

    @classmethod
    def of(cls, packed: np.ndarray, bits: int, units: np.ndarray) -> DesignEffects:
        """With m_g images and k_gb ones in group g, and p_b the share of ones of bit b,

            raw_b = sum_g (k_gb - p_b m_g)^2 / (n p_b (1 - p_b)),    most = sum_g m_g^2 / n.

        A large group draws p_b to itself, so where all images of a group are equal the mean of raw_b is not `most` but

            alike = sum_g m_g^2 (1 - 2 m_g / n + most / n) / (n - most),
            own_b = 1 + (most - 1) (raw_b - 1) / (alike - 1),    kept between 1 and most

        which is raw_b for groups of one size.

        A bit that is rare is 1 in too few groups to know its own. It is shrunk to D, the same quotient of the sums
        over bits, as if `PRIOR` groups more had shown D:

            shrunk_b = (4 G p_b (1 - p_b) own_b + PRIOR D) / (4 G p_b (1 - p_b) + PRIOR)

        Args:
            packed: uint8 `[N, ceil(B/8)]`.
            bits: B.
            units: int `[N]`, the group of each item, 0 to G - 1.

        Source: Kish 1965; Korn & Graubard 1998.

        Example:
            >>> codes = Codes.from_bits(np.repeat(np.eye(4)[:, :2], 3, axis=0))
            >>> DesignEffects.of(codes.packed, 2, np.repeat(np.arange(4), 3)).own.tolist()
            [3.0, 3.0]
        """
        n, groups, ones, squares, cubes = len(units), 0, np.zeros(bits), 0.0, 0.0
        products, square = np.zeros(bits), np.zeros(bits)
        for sizes, sums in group_sums(packed, bits, units):
            m, k = sizes.astype(np.float64), sums.astype(np.float64)
            ones, squares, groups = ones + k.sum(axis=0), squares + float(m @ m), groups + len(m)
            cubes += float(m**2 @ m)
            products, square = products + m @ k, square + (k**2).sum(axis=0)
        p, most = ones / n, squares / n
        between, within = square - 2 * p * products + p**2 * squares, n * p * (1 - p)
        varies = (ones > 0) & (ones < n)
        alike = (squares * (1 + most / n) - 2 * cubes / n) / max(n - most, 1e-9)

        def corrected(raw: np.ndarray) -> np.ndarray:
            return np.clip(1 + (raw - 1) * (most - 1) / (alike - 1), 1.0, most) if alike > 1 else np.ones_like(raw)

        own = corrected(np.divide(between, within, out=np.ones(bits), where=varies))
        mean = corrected(between[varies].sum() / within[varies].sum()) if varies.any() else most
        trust = np.where(varies, 4 * groups * p * (1 - p), 0.0)
        return cls(own, (trust * own + PRIOR * mean) / (trust + PRIOR), most, p, n, groups)

    def effective(self, confidence: float = CONFIDENCE) -> np.ndarray:
        """Independent images that each share is worth, `[B]`, for an interval of normal quantiles.

            n_b = n / shrunk_b (z / t)^2,    z the normal quantile and t Student's with G - 1 degrees of freedom

        Source: Korn & Graubard 1998.
        """
        z, t = special.ndtri(0.5 + confidence / 2), special.stdtrit(self.groups - 1, 0.5 + confidence / 2)
        return self.n / self.shrunk * (z / t) ** 2

    def of_products(self, other: DesignEffects, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Factors `[P]` for how often bit `a[i]` and bit `b[i]` of `other` are both 1, where they are independent.

        The correlation of a bit within a group is (own - 1) / (most - 1); that of the product of two independent bits
        is the product of both:

            1 + (own_a - 1) (own_b - 1) / (most - 1)

        Source: Clifford, Richardson & Hémon 1989 (the correlation of two columns that are each correlated in itself).
        """
        if self.most <= 1:
            return np.ones(len(a))
        return 1 + (self.own[a] - 1) * (other.own[b] - 1) / (self.most - 1)


def as_independent(
    ones_a: np.ndarray, ones_b: np.ndarray, both: np.ndarray, n: int, factor: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tables of two bits divided by `factor` and rounded, which independent images could have given: for `pair_null`.

    A bit that is 1 (or 0) somewhere stays so.

    Args:
        ones_a, ones_b, both: int `[P]`, ones of the first bit, of the second, and images where both are 1.
        n: images.
        factor: `[P]`, from `DesignEffects.of_products`.

    Source: Rao & Scott 1981 (tests on tables divided by their design effect).

    Example:
        >>> five = np.array([5])
        >>> [int(v[0]) for v in as_independent(10 * five, 8 * five, 4 * five, 100, five)]
        [10, 8, 4, 20]
    """
    size = np.maximum(np.rint(n / factor).astype(np.int64), 1)

    def margin(ones: np.ndarray) -> np.ndarray:
        least, most = np.minimum(ones, 1), size - np.minimum(n - ones, 1)
        return np.clip(np.rint(ones / factor).astype(np.int64), np.minimum(least, most), most)

    a, b = margin(ones_a), margin(ones_b)
    common = np.clip(np.rint(both / factor).astype(np.int64), np.maximum(a + b - size, 0), np.minimum(a, b))
    return a, b, common, size
