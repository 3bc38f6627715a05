"""Sums over hypergeometric distributions, compiled: the exact nulls of contingency tables with fixed margins."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

TINY = 1e-18
"""Terms below this, far in the tails, end a sum."""


@njit(cache=True)
def _log2_times(n: int) -> float:
    return n * math.log2(n) if n > 0 else 0.0


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
def two_by_two(sizes: np.ndarray, k: np.ndarray, m: np.ndarray, both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact null of the mutual information of two bits with k and m ones of n, `both` observed: mean and mid p-value.

    The p-value is the chance, over permutations, of more information than observed, plus half the chance of the
    same. It is never given below 1e-16, where the sums end.
    """
    mean, p_value = np.zeros(len(k)), np.ones(len(k))
    for i in range(len(k)):
        n = sizes[i]
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


@njit(cache=True)
def _table(n: int, k: int, m: int, a: int) -> float:
    return _log2_times(a) + _log2_times(k - a) + _log2_times(m - a) + _log2_times(n - k - m + a)


@njit(cache=True)
def _expected_pair(n: int, k: int, m: int) -> float:
    """n times the mean information of two bits with k and m ones of n: exact where a cell is rare, else to 1 %."""
    k, m = min(k, n - k), min(m, n - m)
    if k == 0 or m == 0:
        return 0.0
    if k * m >= 5 * n:
        # half a nat, and Williams' (1976) next order in 1 / expected cell
        u, v = n * n / (1.0 * k * (n - k)), n * n / (1.0 * m * (n - m))
        return (1 + (u - 1) * (v - 1) / (6.0 * n)) / (2 * math.log(2))
    margins = _log2_times(k) + _log2_times(n - k) + _log2_times(m) + _log2_times(n - m) - _log2_times(n)
    mode = min(max((k + 1) * (m + 1) // (n + 2), 0), min(k, m))
    start = _mode_mass(n, k, m, mode)
    mass, value, p = start, start * _table(n, k, m, mode), start
    for a in range(mode, min(k, m)):
        p *= (k - a) * (m - a) / ((a + 1.0) * (n - k - m + a + 1))
        if p < TINY:
            break
        mass += p
        value += p * _table(n, k, m, a + 1)
    p = start
    for a in range(mode, 0, -1):
        p *= a * (n - k - m + a + 0.0) / ((k - a + 1.0) * (m - a + 1))
        if p < TINY:
            break
        mass += p
        value += p * _table(n, k, m, a - 1)
    return value / mass - margins


@njit(cache=True)
def pairs_in_classes(
    both: np.ndarray, class_n: np.ndarray, first: np.ndarray, second: np.ndarray, bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum over classes of n times the information of two bits, and of its mean under independence within the class.

    `both` `[C, P]` counts items of the class where both bits of pair p, `first[p] <= second[p]`, are 1; the pairs
    are the upper triangle with its diagonal.
    """
    plugin, mean = np.zeros(len(first)), np.zeros(len(first))
    ones, own = np.zeros(bits, np.int64), np.zeros(bits)
    n_log_n = np.zeros(class_n.max() + 1)
    for i in range(len(n_log_n)):
        n_log_n[i] = _log2_times(i)
    for c in range(len(class_n)):
        n = class_n[c]
        if n == 0:
            continue
        for p in range(len(first)):
            if first[p] == second[p]:
                b = first[p]
                ones[b] = both[c, p]
                own[b] = n_log_n[ones[b]] + n_log_n[n - ones[b]]
        for p in range(len(first)):
            k, m, a = ones[first[p]], ones[second[p]], both[c, p]
            if k == 0 or m == 0 or k == n or m == n:
                continue
            cells = n_log_n[a] + n_log_n[k - a] + n_log_n[m - a] + n_log_n[n - k - m + a]
            plugin[p] += max(cells - own[first[p]] - own[second[p]] + n_log_n[n], 0.0)
            mean[p] += _expected_pair(n, k, m)
    return plugin, mean
