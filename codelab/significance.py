"""Null models and intervals: exact permutation means, permutation p-values, Wilson intervals, false discovery."""

from __future__ import annotations

import numpy as np
from scipy import special


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

    I depends on the table only through the sum of n log n over its cells, and the cell (bit = 1, class c) of a random
    permutation is hypergeometric (N, ones, class_n[c]); so the mean is a sum over c of one-dimensional expectations.

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
    log_factorial = special.gammaln(np.arange(n + 1) + 1.0)
    phi = xlog2x(np.arange(n + 1, dtype=np.float64))
    sizes, times = np.unique(class_n[class_n > 0], return_counts=True)
    values, back = np.unique(ones, return_inverse=True)
    out = np.empty(len(values))
    for i, k in enumerate(values.tolist()):
        cells = 0.0
        for size, repeat in zip(sizes.tolist(), times.tolist(), strict=True):
            a = _support(n, k, size)
            log_p = (
                log_factorial[k]
                - log_factorial[a]
                - log_factorial[k - a]
                + log_factorial[n - k]
                - log_factorial[size - a]
                - log_factorial[n - k - size + a]
                - (log_factorial[n] - log_factorial[size] - log_factorial[n - size])
            )
            cells += repeat * float(np.exp(log_p) @ (phi[a] + phi[size - a]))
        out[i] = cells - phi[k] - phi[n - k]
    out += phi[n] - (times * phi[sizes]).sum()
    return np.maximum(out / max(n, 1), 0.0)[back.reshape(np.shape(ones))]


def _support(n: int, k: int, size: int) -> np.ndarray:
    """Where a hypergeometric count has all but 1e-16 of its mass (10 deviations + 30, by Bernstein's bound)."""
    mean = k * size / n
    spread = 30 + 10 * np.sqrt(mean * (1 - k / n) * (1 - size / n))
    low = max(0, k + size - n, int(mean - spread))
    high = min(k, size, int(mean + spread) + 1)
    return np.arange(low, high + 1)


def permuted_information(
    ones: int, class_n: np.ndarray, permutations: int, generator: np.random.Generator
) -> np.ndarray:
    """`table_information` of one bit under random permutations of the labels, `[permutations]`.

    With both margins fixed the table of a permutation is multivariate hypergeometric: drawn directly, so the null
    needs the counts alone.
    """
    tables = generator.multivariate_hypergeometric(class_n, ones, size=permutations, method="marginals")
    return table_information(tables, class_n)


def permutation_p_value(observed: float, null: np.ndarray, mean: float) -> float:
    """P-value of `observed` against draws from its null, through a gamma of the null's mean and variance.

    The gamma reaches below 1 / permutations. Where the null takes few values, or its spread is rounding error, the
    share of draws at or above the observed value (plus one) stands instead.

    Args:
        observed: the statistic.
        null: `[permutations]` draws under the null.
        mean: exact mean of the null.

    Source: Winkler et al. 2016 (tail approximation by moments), gamma in place of Pearson III.
    """
    at_least = (1 + np.count_nonzero(null >= observed - 1e-12)) / (1 + len(null))
    variance = float(np.mean((null - mean) ** 2))
    few = len(np.unique(null.round(12))) < 20
    if mean <= 0 or variance <= 1e-20 or few:
        return float(at_least)
    return float(special.gammaincc(mean**2 / variance, observed * mean / variance))
