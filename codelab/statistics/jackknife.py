"""The delete-a-part jackknife: the standard error of a statistic of items that are dealt into a few parts.

It needs only the statistic without each part, so it holds where an item counts in several ways at once, as a query and
as a member of the database that all queries search.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from codelab.statistics.intervals import CONFIDENCE

PARTS = 20


def deal(units: np.ndarray, strata: np.ndarray | None = None, *, parts: int = PARTS, seed: int = 0) -> np.ndarray:
    """Part numbers int64 `[N]`: units are dealt in random order, one to each part in turn.

    Args:
        units: numbers `[N]`; items with the same number are in the same part.
        strata: numbers `[N]`; the units of a stratum (that of their first item) are dealt one after the other, so that
            each part has the same share of it, to one unit. None: one stratum.
        parts: how many; as many as there are units where these are fewer.
        seed: of the order.

    Source: Kott 2001 (delete-a-group jackknife).

    Example:
        >>> deal(np.array([7, 7, 3, 3]), seed=1).tolist()
        [1, 1, 0, 0]
    """
    names, first, unit = np.unique(units, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    if strata is not None:
        order = order[np.argsort(strata[first][order], kind="stable")]
    part = np.empty(len(names), np.int64)
    part[order] = np.arange(len(names)) % max(1, min(parts, len(names)))
    return part[unit.reshape(-1)]


def standard_error(deleted: np.ndarray) -> float:
    """Standard error of a statistic from its values `[m]` without each part; NaN where m < 2 or one of them is NaN.

        se^2 = (m - 1) / m  sum over i of (t_i - mean t)^2

    Source: Efron & Tibshirani 1993, chapter 11; Kott 2001.

    Example:
        >>> values = np.array([1.0, 2.0, 4.0, 7.0])
        >>> without = np.array([np.delete(values, i).mean() for i in range(4)])
        >>> round(standard_error(without), 3), round(float(values.std(ddof=1)) / 2, 3)  # a mean: the usual error
        (1.323, 1.323)
    """
    m = len(deleted)
    if m < 2:
        return float("nan")
    moved = deleted - deleted[0]  # exactly 0 where all are equal, which a mean with rounding is not
    return float(np.sqrt((m - 1) / m * ((moved - moved.mean()) ** 2).sum()))


def each_pair_once(deleted: np.ndarray, effects: np.ndarray, least: float = 0.5) -> np.ndarray:
    """The values `[m]` without each part, drawn together so that `standard_error` counts the effect of two parts once.

    What two parts do together counts twice in the jackknife's variance V_J, and where items have nothing in common a
    mean over pairs of them varies by such effects alone. With e_ij the effect of part i, as database, on the queries
    of part j, and V_1 the variance of the effects of single parts,

        V_J = V_1 + 2 V_2,    V = max(V_J - V_2, least V_J),
        V_2 = (m - 1) / (m - 3)  sum over i < j of  r_ij^2,    r_ij = e_ij + e_ji less the effects of i and of j alone

    Args:
        deleted: `[m]`, the statistic without each part.
        effects: `[m, m]`, e_ij, on the scale of the statistic; the diagonal is not read.
        least: share of V_J that V is at least; 1/2 where single parts have no effect.

    Source: Efron & Stein 1981, section 5 (the jackknife's variance is too large by the interactions).

    Example:
        >>> each_pair_once(np.array([0.1, 0.2, 0.3, 0.4]), np.zeros((4, 4))).tolist()  # no pair has an effect
        [0.1, 0.2, 0.3, 0.4]
    """
    m, variance = len(deleted), standard_error(deleted) ** 2
    if m < 4 or not variance > 0:
        return deleted
    both = (effects + effects.T) * ~np.eye(m, dtype=bool)
    alone = both.sum(axis=1) / (m - 2)
    own = both - alone[:, None] - alone + both.sum() / ((m - 1) * (m - 2))
    pairs = (m - 1) / (m - 3) * (np.triu(own, 1) ** 2).sum()
    return deleted.mean() + np.sqrt(max(1 - pairs / variance, least)) * (deleted - deleted.mean())


def jackknife_interval(
    value: float, deleted: np.ndarray, bounds: tuple[float, float], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Student's interval with m - 1 degrees of freedom: value +- t se, clipped to `bounds`.

    Args:
        value: the statistic of all items.
        deleted: `[m]`, the statistic without each part.
        bounds: the statistic's range; it is the interval where there is no standard error.
        confidence: of the interval.

    Source: as in `standard_error`.

    Example:
        >>> jackknife_interval(0.9, np.array([0.85, 0.9, 0.95]), (0.0, 1.0))
        (0.6515862288249671, 1.0)
    """
    error = standard_error(deleted)
    if np.isnan(error):
        return bounds
    half = float(special.stdtrit(len(deleted) - 1, 0.5 + confidence / 2)) * error
    return max(bounds[0], value - half), min(bounds[1], value + half)


def jackknife_p_value(value: float, deleted: np.ndarray) -> float:
    """Two-sided p-value of the hypothesis that the statistic is 0 in truth: Student's, with m - 1 degrees of freedom.

    Where there is no standard error it is 1; where it is 0 it is 1 or 0, as the value is 0 or not.

    Args:
        value, deleted: as in `jackknife_interval`.

    Example:
        >>> round(jackknife_p_value(0.1, np.array([0.05, 0.1, 0.15])), 2)
        0.23
    """
    error = standard_error(deleted)
    if np.isnan(error) or value == 0:
        return 1.0
    return 0.0 if error == 0 else float(2 * special.stdtr(len(deleted) - 1, -abs(value) / error))
