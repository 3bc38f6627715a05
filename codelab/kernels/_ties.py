"""Average precision of rankings with ties, in closed form from the number of items at each distance.

Of a query's items, n_d are at distance d and r_d of these are relevant; N_d and R_d are the totals nearer than d, R is
the number of all relevant items, H_m the m-th harmonic number. Over random order within each distance,

    E[AP] = (1/R) sum_d (r_d/n_d) { a_d n_d + [R_d + 1 - a_d (N_d + 1)] (H_{N_d+n_d} - H_{N_d}) }

with a_d = (r_d - 1) / (n_d - 1), or 0 if n_d = 1. With the relevant items of each distance first (M_d = N_d) or last
(M_d = N_d + n_d - r_d) it is

    AP = (1/R) sum_d { r_d + (R_d - M_d) (H_{M_d+r_d} - H_{M_d}) }

A cut-off at k leaves m = k - N_d places to the distance it falls into; `_expected` is the term of E[AP] for m places.

Source: McSherry & Najork, Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied
Scores (ECIR 2008); He et al., Hashing as Tie-Aware Learning to Rank (CVPR 2018).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

EXPECTED, OPTIMISTIC, PESSIMISTIC = 0, 1, 2
RELEVANT, MIN_K, FOUND = 0, 1, 2


@njit(cache=True, nogil=True)
def harmonic_gap(n: int, m: int) -> float:
    """H_{n+m} - H_n to full relative precision, which the difference of two tabled harmonic numbers has not.

    Terms up to n = 64 are summed; beyond, H_n is the series of psi(x + 1/2) + gamma for large x = n + 1/2:

        H_n = ln x + gamma + 1 / (24 x^2) - 7 / (960 x^4) + 31 / (8064 x^6) - ...
    """
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


@njit(cache=True, nogil=True)
def _tail(inverse_square: float) -> float:
    return inverse_square * (1 / 24 - inverse_square * (7 / 960 - inverse_square * 31 / 8064))


@njit(cache=True, nogil=True)
def _expected(n: int, r: int, m: int, ahead: int, hits: int, gap: float) -> float:
    """Expected sum of the precisions at relevant items among the first m places of a group.

        (r/n) { a m + [hits + 1 - a (ahead + 1)] gap },   a = (r - 1) / (n - 1)

    Args:
        n, r: items and relevant items of the group.
        m: places that count.
        ahead, hits: items and relevant items in nearer groups.
        gap: H_{ahead+m} - H_{ahead}.
    """
    slope = (r - 1.0) / (n - 1.0) if n > 1 else 0.0
    return r / n * (slope * m + (hits + 1.0 - slope * (ahead + 1.0)) * gap)


@njit(cache=True, nogil=True)
def _expected_found(n: int, r: int, m: int, ahead: int, hits: int, before: float) -> float:
    """Expectation of (sum of precisions) / (relevant items found) when the cut-off falls inside the group.

    The number of relevant items among the m places is X ~ Hypergeometric(n, r, m). Given X = x the places are a group
    of m items, x relevant, so that with S = `before`, the sum of precisions in nearer groups,

        sum over x of  P(X = x) [S + _expected(m, x, m, ...)] / (hits + x)

    P(X = x) is built up from the mode in both directions by the ratio of neighbouring values, because factorials of
    large numbers lose digits.
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def average_precision_of_moves(counts: np.ndarray, nearer: np.ndarray, farther: np.ndarray) -> np.ndarray:
    """Expected average precision of one query, all places counted, once for each of M ways to move its items.

    Args:
        counts: int64 `[G, 2]`, other and relevant items at each distance, before any moves.
        nearer, farther: int64 `[G, 2, M]`, how many of them move one step nearer and one step farther; none at
            distance 0 moves nearer.

    Returns:
        float64 `[M]`; NaN where no item is relevant.
    """
    groups, moves = len(counts), nearer.shape[2]
    everything = counts[:, 1].sum()
    precisions = np.zeros(moves)
    if everything == 0:
        return np.full(moves, np.nan)
    here, ahead, hits = np.empty((2, moves), np.int64), np.zeros(moves, np.int64), np.zeros(moves, np.int64)
    for g in range(groups + 1):
        for grade in range(2):
            now = here[grade]
            now[:] = 0
            if g < groups:
                now += counts[g, grade] - nearer[g, grade] - farther[g, grade]
            if g + 1 < groups:
                now += nearer[g + 1, grade]
            if g > 0:
                now += farther[g - 1, grade]
        for m in range(moves):
            r = here[1, m]
            n = r + here[0, m]
            if r > 0:
                precisions[m] += _expected(n, r, n, ahead[m], hits[m], harmonic_gap(ahead[m], n))
            ahead[m] += n
            hits[m] += r
    return precisions / everything
