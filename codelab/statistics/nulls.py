"""Null models: permuted labels, pairs under independence, p-values and the false discovery rate."""

from __future__ import annotations

import numpy as np
from scipy import special

from codelab.core.errors import DataError
from codelab.kernels import loops
from codelab.statistics.estimators import two_by_two_information, xlog2x

EQUAL = 1e-12
"""Statistics nearer than this are equal: rounding alone is between them."""

REACHED = 10
"""Draws at or above the observed value from which their share is the p-value, without a fitted tail."""

FEW_VALUES = 20
"""Values a null takes below which no tail is fitted to it."""


FEW_ONES = 20
"""Ones, or zeros, a class up to which dealing them out one by one is the faster way to draw a table."""

MOST_DEALT = 2_000_000
"""Items above which the ones are not dealt out one by one: the list of all items is filled anew for each bit."""


def false_discovery(p_values: np.ndarray, *, dependent: bool = False) -> np.ndarray:
    """q-values over all entries of `p_values`, in its shape.

    Benjamini-Hochberg's, which hold for tests that are independent or depend on each other positively; with
    `dependent` Benjamini-Yekutieli's, which hold for any, and are sum 1/i times as large.

    Source: Benjamini & Hochberg 1995; Benjamini & Yekutieli 2001.
    """
    from scipy import stats  # slow to load

    flat = np.clip(p_values, 0, 1).ravel()
    if not flat.size:
        return p_values
    return stats.false_discovery_control(flat, method="by" if dependent else "bh").reshape(p_values.shape)


def permuted_information(
    ones: np.ndarray | int, class_n: np.ndarray, permutations: int, generator: np.random.Generator
) -> np.ndarray:
    """Plug-in information of one bit and the class, the labels permuted within each stratum: `[permutations]` in bits.

    With its margins fixed, the table of a permutation is multivariate hypergeometric: it is drawn directly, so that
    the null needs counts alone. With S strata of n_s items,

        I(bit; class | stratum) = sum_s n_s / n  I_s(bit; class).

    Args:
        ones: int `[S]`, items of each stratum that have the bit; a number where there is one stratum.
        class_n: int `[S, C]`, items of each class in each stratum; `[C]` where there is one.
        permutations: how many.
        generator: of the draws.

    Raises:
        DataError: 1e9 items or more, too many to draw tables of.
    """
    class_n, ones = np.atleast_2d(class_n), np.atleast_1d(ones)
    n = int(class_n.sum())
    if n >= 10**9:
        raise DataError(f"permutations: {n:,} codes are too many to draw tables of, expected below 1e9")
    cells = np.zeros(permutations)
    log = xlog2x(np.arange(int(class_n.max()) + 1))  # n log n of every count there can be: to look up is fastest
    for k, sizes in zip(ones.tolist(), class_n, strict=True):
        sizes = sizes[sizes > 0]
        # to deal out the ones, or the zeros, one by one is faster where they are few for the classes
        few = min(k, sizes.sum() - k) < FEW_ONES * len(sizes) and sizes.sum() <= MOST_DEALT
        tables = generator.multivariate_hypergeometric(
            sizes, k, size=permutations, method="count" if few else "marginals"
        )
        cells += log[tables].sum(axis=1) + log[sizes - tables].sum(axis=1)
    totals = class_n.sum(axis=1)
    margins = (xlog2x(ones) + xlog2x(totals - ones) - xlog2x(totals)).sum() + xlog2x(class_n).sum()
    return np.maximum(cells - margins, 0.0) / n


def permutation_p_value(observed: np.ndarray | float, null: np.ndarray) -> np.ndarray:
    """P-value `[...]` of `observed` `[...]` against draws `[n, ...]` from its null:

        p = (1 + r) / (1 + n),    r draws at or above the observed value.

    It is never below 1 / (1 + n).

    Source: Phipson & Smyth 2010.

    Example:
        >>> float(permutation_p_value(2.0, np.array([0.0, 1.0, 2.0])))
        0.5
    """
    return (1 + np.count_nonzero(null >= np.asarray(observed) - EQUAL, axis=0)) / (1 + len(null))


def reached(observed: np.ndarray | float, null: np.ndarray) -> np.ndarray:
    """How many draws `[n, ...]` reach the observed value `[...]`.

    Example:
        >>> int(reached(1.0, np.array([0.0, 1.0, 2.0])))
        2
    """
    return np.count_nonzero(null > np.asarray(observed) - EQUAL, axis=0)


def mid_p_value(observed: np.ndarray | float, null: np.ndarray) -> np.ndarray:
    """P-value `[...]` of `observed` `[...]` against draws `[n, ...]` from its null, those equal to it counted half:

        p = (r + (e + 1) / 2) / (1 + n),    r draws above the observed value, e equal to it.

    It is never below 1 / (1 + n). Where the statistic takes few values, it is below 0.05 in about 5 % of samples,
    where `permutation_p_value` is so less often.

    Source: Lancaster 1961.

    Example:
        >>> float(mid_p_value(1.0, np.array([0.0, 1.0, 2.0])))
        0.5
    """
    above = np.count_nonzero(null > np.asarray(observed) + EQUAL, axis=0)
    equal = reached(observed, null) - above
    return np.maximum((above + (equal + 1) / 2) / (1 + len(null)), 1 / (1 + len(null)))


def tail_p_value(observed: np.ndarray, null: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P-values `[B]` of `observed` `[B]` against draws `[n, B]` from the null, and which have a fitted tail.

    They are `mid_p_value`s. Where fewer than 10 of 50 draws or more reach the observed value, and the null takes
    `FEW_VALUES` values or more, a fitted tail stands instead, which reaches below 1 / (1 + n). It is Pearson's type
    III: a gamma with the mean, the variance and the skewness g of the draws,

        p = Q(4 / g^2, 4 / g^2 + 2 z / g),    z the observed value in standard deviations above the mean.

    The moments are those of n draws. With q the normal quantile of p, their errors give q about the variance v, and
    what is reported is

        1 - Phi(q / sqrt(1 + v)),    v = (1 + q^2 / 2 + (q^2 - 1)^2 / 6) / n,    q^4 at most 6 n + 7

    where it is least: 2e-5 for 200 draws. So few say no more.

    Source: Winkler et al. 2016 (tail approximation by moments); variance of a quantile by moments: Cornish & Fisher
        1938, with 1 / n, 1 / 2n and 6 / n for mean, deviation and skewness of normal draws.

    Example:
        >>> null = np.random.default_rng(0).chisquare(3, (200, 2))
        >>> p_value, fitted = tail_p_value(np.array([3.0, 30.0]), null)
        >>> p_value.round(2).tolist(), fitted.tolist()
        ([0.41, 0.0], [False, True])
    """
    n = len(null)
    p_value = mid_p_value(observed, null)
    values = 1 + np.count_nonzero(np.diff(np.sort(null, axis=0), axis=0) > EQUAL, axis=0)
    fitted = (reached(observed, null) < REACHED) & (n >= 5 * REACHED) & (values >= FEW_VALUES)
    if not fitted.any():
        return p_value, fitted
    mean, deviation = null.mean(axis=0), null.std(axis=0)
    z = np.divide(observed - mean, deviation, out=np.zeros_like(mean), where=deviation > 0)
    centred = np.divide(null - mean, deviation, out=np.zeros_like(null), where=deviation > 0)
    skew = np.clip((centred**3).mean(axis=0), 0.1, 4.0)
    shape = 4 / skew**2
    tail = special.gammaincc(shape, np.maximum(shape + z * np.sqrt(shape), 0.0))
    q = np.minimum(-special.ndtri(np.clip(tail, 1e-300, 0.5)), (6 * n + 7) ** 0.25)
    tail = special.ndtr(-q / np.sqrt(1 + (1 + q**2 / 2 + (q**2 - 1) ** 2 / 6) / n))
    return np.where(fitted, np.clip(tail, 1e-16, (REACHED + 1) / (1 + n)), p_value), fitted


MANY = 100
"""Expected items in the rarest cell of a 2 x 2 table above which Williams' chi-square law is right to 3 digits."""


def pair_null(
    ones_a: np.ndarray, ones_b: np.ndarray, both: np.ndarray, n: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and p-value of the information of two yes/no columns over all permutations of one of them.

    Args:
        ones_a: int array, ones of the first column.
        ones_b: ones of the second, of the same shape.
        both: items where both are 1.
        n: items, one number or one for each.

    Returns:
        Mean information in bits, and the mid p-value: the chance of more information than seen, and half that of as
        much. Exact (conditional) where the rarest expected cell has fewer than `MANY` items, elsewhere from the
        chi-square law with Williams' correction (1976).

    Example:
        >>> mean, p_value = pair_null(np.array([50]), np.array([50]), np.array([30]), 100)
        >>> round(float(p_value[0]), 4)  # Fisher's exact test, not split at ties, says 0.0713
        0.0493
    """
    ones_a, ones_b, both, n = np.broadcast_arrays(ones_a, ones_b, both, n)
    shape = both.shape
    a, b, both, n = (x.ravel().astype(np.int64) for x in (ones_a, ones_b, both, n))
    rare_a, rare_b = np.minimum(a, n - a), np.minimum(b, n - b)
    many = rare_a * rare_b >= MANY * n
    mean, p_value = np.zeros(len(a)), np.ones(len(a))
    if many.any():
        size = n[many]
        skew = [size**2 / (x[many] * (size - x[many])) - 1.0 for x in (a, b)]
        williams = 1 + skew[0] * skew[1] / (6 * size)
        mean[many] = williams / (2 * size * np.log(2))
        seen = two_by_two_information(both[many], a[many], b[many], size)
        p_value[many] = special.chdtrc(1, 2 * size * np.log(2) * seen / williams)
    few = ~many
    if few.any():
        mean[few], p_value[few] = loops.hypergeometric.two_by_two(n[few], a[few], b[few], both[few])
    return mean.reshape(shape), p_value.reshape(shape)
