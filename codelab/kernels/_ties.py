"""Average precision of rankings with ties, in closed form from how many items share each place.

One query ranks its items in groups of equal distance: `total[g]` items, `relevant[g]` of them relevant, nearest group
first. Nothing is sorted and no tie is broken by chance.

Source: McSherry & Najork, Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied
Scores (ECIR 2008); He et al., Hashing as Tie-Aware Learning to Rank (CVPR 2018).
"""

from __future__ import annotations

import math

import numba
import numpy as np

EXPECTED, OPTIMISTIC, PESSIMISTIC = 0, 1, 2
RELEVANT, MIN_K, FOUND = 0, 1, 2


@numba.njit(cache=True, nogil=True)
def harmonic_gap(n: int, m: int) -> float:
    """H(n + m) - H(n), to full relative precision: a difference of two tabled harmonic numbers loses its digits."""
    gap = 0.0
    while n < 64 and m > 0:
        n += 1
        m -= 1
        gap += 1.0 / n
    if m > 0:
        low = 1.0 / ((n + 0.5) * (n + 0.5))
        high = 1.0 / ((n + m + 0.5) * (n + m + 0.5))
        gap += math.log1p(m / (n + 0.5)) + _tail(high) - _tail(low)
    return gap


@numba.njit(cache=True, nogil=True)
def _tail(inverse_square: float) -> float:
    return inverse_square * (1 / 24 - inverse_square * (7 / 960 - inverse_square * 31 / 8064))


@numba.njit(cache=True, nogil=True)
def _expected(n: int, r: int, m: int, ahead: int, hits: int, gap: float) -> float:
    """Expected sum of precisions over the first m places of a group of n items, r relevant, after `ahead` items."""
    slope = (r - 1.0) / (n - 1.0) if n > 1 else 0.0
    return r / n * (slope * m + (hits + 1.0 - slope * (ahead + 1.0)) * gap)


@numba.njit(cache=True, nogil=True)
def _expected_found(n: int, r: int, m: int, ahead: int, hits: int, before: float) -> float:
    """Expectation of (sum of precisions) / (relevant items found) when the cut-off falls inside the group.

    The number x of relevant items among the m places is hypergeometric; its weights are built outwards from the
    mode, for factorials of a million lose digits.
    """
    first, last = max(0, m - (n - r)), min(r, m)
    mode = min(max(((m + 1) * (r + 1)) // (n + 2), first), last)
    gap = harmonic_gap(ahead, m)
    mass, value = 0.0, 0.0
    for direction in (1, -1):
        x, weight = mode, 1.0
        while first <= x <= last and weight > 1e-20:
            if direction == 1 or x != mode:
                mass += weight
                if hits + x > 0:
                    value += weight * (before + _expected(m, x, m, ahead, hits, gap)) / (hits + x)
            if direction == 1:
                weight *= (r - x) * (m - x) / ((x + 1.0) * (n - r - m + x + 1.0))
            else:
                weight *= x * (n - r - m + x) / ((r - x + 1.0) * (m - x + 1.0))
            x += direction
    return value / mass


@numba.njit(cache=True, nogil=True)
def average_precision(total: np.ndarray, relevant: np.ndarray, k: int, ties: int, normalise: int) -> np.ndarray:
    """Average precision of each query at cut-off k; NaN where a query has no relevant item.

    Args:
        total: int64 `[Q, G]`, items in each group of equal distance, nearest first; a group may be empty.
        relevant: int64 `[Q, G]`, how many of them are relevant.
        k: places that count; the number of items for all.
        ties: EXPECTED over random order, or the best (OPTIMISTIC) or worst (PESSIMISTIC) order.
        normalise: divide by all RELEVANT items, by at most k of them (MIN_K), or by those FOUND in the first k places.

    Returns:
        float64 `[Q]`.
    """
    out = np.empty(len(total))
    for q in range(len(total)):
        everything = relevant[q].sum()
        if everything == 0:
            out[q] = np.nan
            continue
        ahead, hits, found = 0, 0, 0  # items and relevant items in nearer groups; relevant items within k places
        precisions, closed = 0.0, False
        for g in range(total.shape[1]):
            n, r = total[q, g], relevant[q, g]
            m = min(n, k - ahead)
            if m <= 0:
                if ahead >= k:
                    break
                continue
            if ties == EXPECTED:
                if normalise == FOUND and m < n:
                    out[q] = _expected_found(n, r, m, ahead, hits, precisions)
                    closed = True
                    break
                if r > 0:
                    precisions += _expected(n, r, m, ahead, hits, harmonic_gap(ahead, m))
                found += r
            else:
                skipped = 0 if ties == OPTIMISTIC else n - r  # irrelevant items that come first within the group
                x = min(r, max(0, m - skipped))
                if x > 0:
                    start = ahead + skipped
                    precisions += x + (hits - start) * harmonic_gap(start, x)
                found += x
            ahead += n
            hits += r
        if not closed:
            divisor = everything if normalise == RELEVANT else min(everything, k) if normalise == MIN_K else found
            out[q] = precisions / divisor if divisor > 0 else 0.0
    return out
