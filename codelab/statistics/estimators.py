"""Estimators of entropy and information, in bits, and their exact expectations under independence."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import special

from codelab.core.errors import UsageError
from codelab.kernels import loops

FEWEST_TWICE = 1000
"""Counts from which on equal ones are looked up."""


def xlog2x(counts: np.ndarray | float) -> np.ndarray:
    """`n log2 n`, 0 at n = 0."""
    counts = np.asarray(counts)
    if counts.dtype.kind in "iu" and counts.size > FEWEST_TWICE:
        low, high = int(counts.min()), int(counts.max())
        if low >= 0 and 2 * high < counts.size:  # small counts occur again and again: one logarithm for each of them
            return xlog2x(np.arange(high + 1, dtype=np.float64))[counts]
    return special.xlogy(counts, counts) / np.log(2)


def binary_entropy(p: np.ndarray) -> np.ndarray:
    """Entropy in bits of a coin that shows 1 with probability `p`.

    Example:
        >>> binary_entropy(np.array([0.0, 0.5, 1.0])).tolist()
        [0.0, 1.0, 0.0]
    """
    p = np.asarray(p, dtype=np.float64)
    return (special.entr(p) + special.entr(1 - p)) / np.log(2)


def table_information(class_ones: np.ndarray, class_n: np.ndarray) -> np.ndarray:
    """Plug-in mutual information in bits of each 2 x C table.

    Args:
        class_ones: `[..., C]` ones in each class.
        class_n: `[C]` items of each class.

    Returns:
        `[...]`, never below 0.
    """
    n = class_n.sum()
    ones = class_ones.sum(axis=-1)
    cells = (xlog2x(class_ones) + xlog2x(class_n - class_ones)).sum(axis=-1)
    margins = xlog2x(ones) + xlog2x(n - ones) + xlog2x(class_n).sum() - xlog2x(n)
    return np.maximum(cells - margins, 0.0) / n


def strata_information(ones: np.ndarray, class_n: np.ndarray) -> np.ndarray:
    """Plug-in information in bits of each bit and the class within strata, the mean over the items:

        I(bit; class | stratum) = sum_s n_s / n  I_s(bit; class).

    Args:
        ones: int `[..., S, C, B]`, items of each stratum and class that have the bit.
        class_n: int `[..., S, C]`, items of each class in each stratum.

    Returns:
        `[..., B]`, never below 0.

    Example:
        >>> strata_information(np.array([[[1, 1], [0, 1]]]), np.array([[1, 1]])).tolist()
        [1.0, 0.0]
    """
    of_bit, of_stratum = ones.sum(axis=-2), class_n.sum(axis=-1)
    cells = (xlog2x(ones) + xlog2x(class_n[..., None] - ones)).sum(axis=(-3, -2))
    bits = (xlog2x(of_bit) + xlog2x(of_stratum[..., None] - of_bit)).sum(axis=-2)
    margins = xlog2x(class_n).sum(axis=(-2, -1)) - xlog2x(of_stratum).sum(axis=-1)
    return np.maximum(cells - bits - margins[..., None], 0.0) / of_stratum.sum(axis=-1)[..., None]


def expected_information(ones: np.ndarray, class_n: np.ndarray) -> np.ndarray:
    """Mean of `table_information` over all permutations of the labels: exact, from the hypergeometric distribution.

    I depends on the table only through the sum of n log n over its cells, and each cell of a random permutation is
    hypergeometric; so the mean is a sum of one-dimensional expectations.

    Args:
        ones: int `[B]`, ones of each bit.
        class_n: int `[C]`, items of each class.

    Returns:
        `[B]` in bits.

    Source: Vinh, Epps & Bailey 2010 (the expectation inside adjusted mutual information).

    Example:
        >>> expected_information(np.array([1, 2]), np.array([2, 2])).round(4).tolist()
        [0.3113, 0.3333]
    """
    n = int(class_n.sum())
    rows, back = np.unique(np.concatenate([ones, n - ones]), return_inverse=True)
    cells = _expected_cells(n, rows, class_n)[back].reshape(2, -1).sum(axis=0)
    margins = xlog2x(ones) + xlog2x(n - ones) + xlog2x(class_n).sum() - xlog2x(n)
    return np.maximum(cells - margins, 0.0) / n


def expected_joint_information(row_n: np.ndarray, class_n: np.ndarray) -> float:
    """The same mean for one table of any number of rows: `row_n` int `[R]` and `class_n` int `[C]` are its margins."""
    n = int(class_n.sum())
    rows, back = np.unique(row_n, return_inverse=True)
    cells = _expected_cells(n, rows, class_n)[back].sum()
    return max(float(cells - xlog2x(row_n).sum() - xlog2x(class_n).sum() + xlog2x(n)), 0.0) / n


def _expected_cells(n: int, rows: np.ndarray, class_n: np.ndarray) -> np.ndarray:
    columns, times = np.unique(class_n[class_n > 0], return_counts=True)
    return loops.hypergeometric.expected_cells(n, rows.astype(np.int64), columns.astype(np.int64), times)


Estimator = Literal["grassberger", "plugin", "miller-madow", "jackknife"]

ESTIMATORS = ("grassberger", "plugin", "miller-madow", "jackknife")


def entropy_of_counts(cells: np.ndarray, estimator: Estimator = "grassberger") -> np.ndarray:
    """Entropy in bits of the distribution that `cells` was drawn from.

    Args:
        cells: counts `[..., K]`, the last axis over the K outcomes; every row has at least one item.
        estimator: `plugin` is too low by about (K - 1) / (2 N ln 2); the others correct it, `grassberger` best at
            small N; being unbiased they may exceed log2 K a little. None goes below 0.

    Returns:
        `[...]` in bits.

    Raises:
        UsageError: an unknown estimator.

    Source: Miller 1955; Grassberger 2003 (arXiv physics/0307138, eq. 27 to 35); Zahl 1977 for the jackknife.

    Example:
        >>> cells = np.array([[500, 500], [14, 6]])
        >>> entropy_of_counts(cells, "plugin").round(3).tolist()
        [1.0, 0.881]
        >>> entropy_of_counts(cells, "miller-madow").round(3).tolist()
        [1.001, 0.917]
    """
    cells = np.asarray(cells)
    if estimator not in ESTIMATORS:
        raise UsageError(f"estimator {estimator!r}: expected one of {', '.join(ESTIMATORS)}")
    return np.maximum(_estimate(cells, estimator), 0.0)


def _estimate(cells: np.ndarray, estimator: Estimator) -> np.ndarray:
    n = cells.sum(axis=-1)
    plugin = (xlog2x(n) - xlog2x(cells).sum(axis=-1)) / n
    if estimator == "plugin":
        return plugin
    if estimator == "miller-madow":
        return plugin + ((cells > 0).sum(axis=-1) - 1) / (2 * n * np.log(2))
    if estimator == "grassberger":
        return np.log2(n) - (cells * _grassberger_g(cells)).sum(axis=-1) / n / np.log(2)
    # jackknife: taking an item out of a cell of c changes the sum of n log n by the same amount for all c items
    others = n - 1
    sum_log = xlog2x(cells).sum(axis=-1, keepdims=True)
    without = sum_log - xlog2x(cells) + xlog2x(np.maximum(cells - 1, 0))
    left_out = (xlog2x(others)[..., None] - without) / np.maximum(others, 1)[..., None]
    return n * plugin - others / n * (cells * left_out).sum(axis=-1)


def _grassberger_g(counts: np.ndarray) -> np.ndarray:
    """G(n) = psi(n) + (-1)^n (psi((n + 1) / 2) - psi(n / 2)) / 2, 0 at n = 0."""
    n = np.maximum(counts, 1).astype(np.float64)
    sign = np.where(counts % 2 == 0, 1.0, -1.0)
    g = special.digamma(n) + sign / 2 * (special.digamma((n + 1) / 2) - special.digamma(n / 2))
    return np.where(counts > 0, g, 0.0)


def two_by_two_information(
    both: np.ndarray, ones_a: np.ndarray, ones_b: np.ndarray, n: np.ndarray | int
) -> np.ndarray:
    """Plug-in mutual information in bits of two yes/no columns; the arguments broadcast.

    Args:
        both: items where both are 1.
        ones_a: ones of the first.
        ones_b: ones of the second.
        n: items.

    Example:
        >>> float(two_by_two_information(2, 2, 2, 4))
        1.0
    """
    cells = xlog2x(both) + xlog2x(ones_a - both) + xlog2x(ones_b - both) + xlog2x(n - ones_a - ones_b + both)
    margins = xlog2x(ones_a) + xlog2x(n - ones_a) + xlog2x(ones_b) + xlog2x(n - ones_b)
    return np.maximum(cells - margins + xlog2x(n), 0.0) / n


def pair_information(pairs: np.ndarray, n: int) -> np.ndarray:
    """Plug-in mutual information in bits of every two bits, `[B, B]`; the diagonal holds the entropies.

    Args:
        pairs: `[B, B]` items where both bits are 1, the ones of each bit on the diagonal.
        n: items.
    """
    ones = np.diagonal(pairs)
    return two_by_two_information(pairs, ones[:, None], ones[None, :], n)
