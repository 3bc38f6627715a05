"""Null models and intervals: exact permutation means, permutation p-values, Wilson intervals, false discovery."""

from __future__ import annotations

import numpy as np
from scipy import special

from codelab.errors import DataError, UsageError
from codelab.kernels import compiled


def check_seed(seed: int) -> None:
    """A UsageError where `seed` is no whole number from 0."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise UsageError(f"seed {seed}: expected a whole number, 0 or more")


def xlog2x(counts: np.ndarray | float) -> np.ndarray:
    """`n log2 n`, 0 at n = 0."""
    return special.xlogy(counts, counts) / np.log(2)


def binary_entropy(p: np.ndarray) -> np.ndarray:
    """Entropy in bits of a coin that shows 1 with probability `p`.

    Example:
        >>> binary_entropy(np.array([0.0, 0.5, 1.0])).tolist()
        [0.0, 1.0, 0.0]
    """
    p = np.asarray(p, dtype=np.float64)
    return (special.entr(p) + special.entr(1 - p)) / np.log(2)


def wilson_interval(ones: np.ndarray, n: np.ndarray | int, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of a share: `ones` of `n`; (0, 1) where n = 0.

    Source: Wilson 1927; Brown, Cai & DasGupta 2001.

    Example:
        >>> low, high = wilson_interval(np.array([0, 50]), 100)
        >>> low.round(3).tolist(), high.round(3).tolist()
        ([0.0, 0.404], [0.037, 0.596])
    """
    z2 = special.ndtri(0.5 + confidence / 2) ** 2
    ones, n = np.broadcast_arrays(np.asarray(ones, dtype=np.float64), np.asarray(n, dtype=np.float64))
    middle = (ones + z2 / 2) / (n + z2)
    half = np.sqrt(z2) / (n + z2) * np.sqrt(ones * (n - ones) / np.maximum(n, 1) + z2 / 4)
    low = np.where(ones == 0, 0.0, middle - half)  # exact at the ends, where rounding leaves 1e-17
    high = np.where(ones == n, 1.0, middle + half)
    return low, high


def false_discovery(p_values: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg q-values over all entries of `p_values`, in its shape."""
    from scipy import stats  # slow to load

    flat = np.clip(p_values, 0, 1).ravel()
    return stats.false_discovery_control(flat).reshape(p_values.shape) if flat.size else p_values


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
    return compiled("hypergeometric").expected_cells(n, rows.astype(np.int64), columns.astype(np.int64), times)


def permuted_information(
    ones: int, class_n: np.ndarray, permutations: int, generator: np.random.Generator
) -> np.ndarray:
    """`table_information` of one bit under random permutations of the labels, `[permutations]`.

    With both margins fixed the table of a permutation is multivariate hypergeometric: drawn directly, so the null
    needs the counts alone.
    """
    if class_n.sum() >= 10**9:
        raise DataError(f"permutations: {class_n.sum():,} codes are too many to draw tables of, expected below 1e9")
    tables = generator.multivariate_hypergeometric(class_n, ones, size=permutations, method="marginals")
    return table_information(tables, class_n)


def permutation_p_value(observed: float, null: np.ndarray, mean: float) -> float:
    """P-value of `observed` against draws from its null, through a gamma of the null's mean and variance.

    The gamma reaches below 1 / permutations. Where the null takes few values, or its spread is rounding error, the
    mid p-value of the draws stands instead: those above the observed value and half of those equal to it.

    Args:
        observed: the statistic.
        null: `[permutations]` draws under the null.
        mean: exact mean of the null.

    Source: Winkler et al. 2016 (tail approximation by moments), gamma in place of Pearson III; mid-p: Lancaster 1961.
    """
    variance = float(np.mean((null - mean) ** 2))
    few = len(np.unique(null.round(12))) < 20
    if mean <= 0 or variance <= 1e-20 or few:
        above = np.count_nonzero(null > observed + 1e-12)
        equal = np.count_nonzero(null > observed - 1e-12) - above
        return (above + (equal + 1) / 2) / (1 + len(null))
    return float(special.gammaincc(mean**2 / variance, observed * mean / variance))


MANY = 100
"""Expected items in the rarest cell of a 2 x 2 table above which Williams' chi-square law is right to 3 digits."""


def pair_null(ones_a: np.ndarray, ones_b: np.ndarray, both: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and p-value of the information of two yes/no columns over all permutations of one of them.

    Args:
        ones_a: int array, ones of the first column.
        ones_b: ones of the second, of the same shape.
        both: items where both are 1.
        n: items.

    Returns:
        Mean information in bits, and the mid p-value: the chance of more information than seen, and half that of as
        much. Exact (conditional) where the rarest expected cell has fewer than `MANY` items, elsewhere from the
        chi-square law with Williams' correction (1976).

    Example:
        >>> mean, p_value = pair_null(np.array([50]), np.array([50]), np.array([30]), 100)
        >>> round(float(p_value[0]), 4)  # Fisher's exact test, not split at ties, says 0.0713
        0.0493
    """
    ones_a, ones_b, both = np.broadcast_arrays(ones_a, ones_b, both)
    shape = both.shape
    a, b, both = (x.ravel().astype(np.int64) for x in (ones_a, ones_b, both))
    rare_a, rare_b = np.minimum(a, n - a), np.minimum(b, n - b)
    many = rare_a * rare_b >= MANY * n
    mean, p_value = np.zeros(len(a)), np.ones(len(a))
    if many.any():
        skew = [n * n / (x[many] * (n - x[many])) - 1.0 for x in (a, b)]
        williams = 1 + skew[0] * skew[1] / (6 * n)
        mean[many] = williams / (2 * n * np.log(2))
        tables = np.stack([both[many], a[many] - both[many]], axis=-1)
        seen = _two_by_two_information(tables, b[many], n)
        p_value[many] = special.chdtrc(1, 2 * n * np.log(2) * seen / williams)
    few = ~many
    if few.any():
        mean[few], p_value[few] = compiled("hypergeometric").two_by_two(n, a[few], b[few], both[few])
    return mean.reshape(shape), p_value.reshape(shape)


def _two_by_two_information(tables: np.ndarray, ones: np.ndarray, n: int) -> np.ndarray:
    """Plug-in information of tables `[K, 2]`: items of the first column that are 1, by the second being 1 or 0."""
    with_b, without_b = tables[:, 0], tables[:, 1]
    cells = xlog2x(with_b) + xlog2x(ones - with_b) + xlog2x(without_b) + xlog2x(n - ones - without_b)
    a = with_b + without_b
    return np.maximum(cells - xlog2x(a) - xlog2x(n - a) - xlog2x(ones) - xlog2x(n - ones) + xlog2x(n), 0.0) / n
