"""Sums over hypergeometric distributions, compiled: the exact nulls of contingency tables with fixed margins."""

from __future__ import annotations

import math

import numba
import numpy as np

TINY = 1e-18
"""Terms below this, far in the tails, end a sum."""


@numba.njit(cache=True)
def _log2_times(n: int) -> float:
    return n * math.log2(n) if n > 0 else 0.0


@numba.njit(cache=True)
def _mode_mass(n: int, k: int, m: int, mode: int) -> float:
    """P(a = mode) for a ~ hypergeometric: m draws out of n items of which k are marked."""
    return math.exp(
        math.lgamma(k + 1)
        - math.lgamma(mode + 1)
        - math.lgamma(k - mode + 1)
        + math.lgamma(n - k + 1)
        - math.lgamma(m - mode + 1)
        - math.lgamma(n - k - m + mode + 1)
        - math.lgamma(n + 1)
        + math.lgamma(m + 1)
        + math.lgamma(n - m + 1)
    )


@numba.njit(cache=True)
def expected_cells(n: int, rows: np.ndarray, columns: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Per row margin k, the sum over column margins m (each counted `times`) of E[a log2 a], a ~ (n, k, m).

    Terms run outward from the mode by the ratio of neighbours, so no factorial is taken inside the loop; each sum is
    divided by its own mass, which cancels the rounding of the start.
    """
    out = np.zeros(len(rows))
    for i in range(len(rows)):
        k = rows[i]
        for j in range(len(columns)):
            m = columns[j]
            low, high = max(0, k + m - n), min(k, m)
            mode = min(max((k + 1) * (m + 1) // (n + 2), low), high)
            start = _mode_mass(n, k, m, mode)
            mass, value = start, start * _log2_times(mode)
            p = start
            for a in range(mode, high):
                p *= (k - a) * (m - a) / ((a + 1.0) * (n - k - m + a + 1))
                if p < TINY:
                    break
                mass += p
                value += p * _log2_times(a + 1)
            p = start
            for a in range(mode, low, -1):
                p *= a * (n - k - m + a + 0.0) / ((k - a + 1.0) * (m - a + 1))
                if p < TINY:
                    break
                mass += p
                value += p * _log2_times(a - 1)
            out[i] += times[j] * value / mass
    return out


@numba.njit(cache=True)
def two_by_two(n: int, k: np.ndarray, m: np.ndarray, both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact null of the mutual information of two bits with k and m ones of n, `both` observed: mean and mid p-value.

    The p-value is the chance, over permutations, of more information than observed, plus half the chance of the
    same. It is never given below 1e-16, where the sums end.
    """
    mean, p_value = np.zeros(len(k)), np.ones(len(k))
    for i in range(len(k)):
        low, high = max(0, k[i] + m[i] - n), min(k[i], m[i])
        if low == high:
            continue  # a bit that never changes: one table, information 0
        margins = _log2_times(k[i]) + _log2_times(n - k[i]) + _log2_times(m[i]) + _log2_times(n - m[i])
        margins -= _log2_times(n)
        seen = _table(n, k[i], m[i], both[i]) - margins
        mode = min(max((k[i] + 1) * (m[i] + 1) // (n + 2), low), high)
        start = _mode_mass(n, k[i], m[i], mode)
        mass, value, tail = 0.0, 0.0, 0.0
        for step in (1, -1):
            a, p = mode, start
            if step == -1:
                if mode == low:
                    break
                p *= a * (n - k[i] - m[i] + a + 0.0) / ((k[i] - a + 1.0) * (m[i] - a + 1))
                a -= 1
            while True:
                information = _table(n, k[i], m[i], a) - margins
                mass += p
                value += p * information
                if information > seen + 1e-9:
                    tail += p
                elif information > seen - 1e-9:
                    tail += p / 2
                if step == 1:
                    if a == high:
                        break
                    p *= (k[i] - a) * (m[i] - a) / ((a + 1.0) * (n - k[i] - m[i] + a + 1))
                else:
                    if a == low:
                        break
                    p *= a * (n - k[i] - m[i] + a + 0.0) / ((k[i] - a + 1.0) * (m[i] - a + 1))
                if p < TINY:
                    break
                a += step
        mean[i] = max(value / mass / n, 0.0)
        p_value[i] = min(max(tail / mass, 1e-16), 1.0)
    return mean, p_value


@numba.njit(cache=True)
def _table(n: int, k: int, m: int, a: int) -> float:
    return _log2_times(a) + _log2_times(k - a) + _log2_times(m - a) + _log2_times(n - k - m + a)
