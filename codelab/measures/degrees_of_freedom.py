"""How many independent fair coins a code is worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from codelab.core.checks import need_items
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.formats import with_interval
from codelab.core.result import Result, only
from codelab.core.verdict import Level, Verdict, counted, level_from
from codelab.measures.bit_usage import UNUSED, BitUsage
from codelab.statistics.counts import PairCounts

FREEDOM = (0.15, 0.05)
"""Degrees of freedom as a share of B: good from the first, bad below the second."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DegreesOfFreedom(Result):
    """How many independent fair coins the code is worth: `value`, its 95 % interval `low` to `high`.

    `mean_distance` and `spread` are of the Hamming distance of two items divided by B. `participation_ratio` of the
    bits' correlation matrix says the same from another side; it is corrected for the number of items, and
    `participation_plugin` is not.

    The line quotes `value` with its interval.
    """

    value: float
    low: float
    high: float
    mean_distance: float
    spread: float
    participation_ratio: float
    participation_plugin: float
    estimator: str = "moments of the distance over all pairs"

    def headline(self) -> str:
        return with_interval(self.value, self.low, self.high)


def degrees_of_freedom(codes: Codes | PairCounts) -> DegreesOfFreedom:
    """The number of independent coins with the same spread of distances: m (1 - m) / s^2.

    m and s^2 are the mean and the variance, over *all* pairs of items, of the share of bits in which they differ.
    Both follow from how often two bits are both 1, so no pair is drawn.

    Args:
        codes: codes `[N, B]`, or their `PairCounts`.

    Returns:
        The value, its interval, and the participation ratio beside it. Identical codes are worth 0.

    Raises:
        DataError: fewer than 8 items, or all pairs at one distance, from which nothing follows.

    Source: Daugman 2003; participation ratio: Gao et al. 2017; interval: the jackknife of a U-statistic over groups of
        items, without the second-order term that it counts twice (Efron & Stein 1981).

    Example:
        >>> fair = np.random.default_rng(0).integers(0, 2, (4000, 32))
        >>> round(float(degrees_of_freedom(Codes.from_bits(np.repeat(fair, 4, axis=1)))))
        32
    """
    counts = PairCounts.of(codes)
    n = need_items("degrees_of_freedom", counts.n, least=8)
    forms = _distance_forms(counts)
    mean, spread, value = _distance_moments(forms, n, counts.bits)
    if np.isinf(value):
        raise DataError(
            f"degrees_of_freedom: every two of the {n} codes differ in the same number of bits, "
            "expected codes at more than one distance"
        )
    # on a logarithmic scale, because the value is a ratio and above 0
    reach = float(np.exp(1.96 * _standard_error(forms, counts, mean, spread) / value)) if value > 0 else 1.0
    corrected, plugin = _participation(counts.pairs, n)
    return DegreesOfFreedom(
        source=counts.source,
        value=value,
        low=value / reach,
        high=value * reach,
        mean_distance=mean,
        spread=spread,
        participation_ratio=corrected,
        participation_plugin=plugin,
    )


def _distance_forms(counts: PairCounts) -> tuple[np.ndarray, np.ndarray]:
    """Matrices `[G, G]` of the sums, over ordered pairs of items from two groups, of distance and squared distance.

    Two items differ in bit i for 2 ones (n - ones) ordered pairs, and in both i and j for 2 (n11 n00 + n10 n01), where
    n00 = n - ones_i - ones_j + n11 and so on. Counts add over groups; of two groups, each
    comes first in half of the pairs.
    """
    n = counts.group_n.astype(np.float64)
    both = counts.both.astype(np.float64)
    ones = np.diagonal(both, axis1=1, axis2=2)
    flat, with_any, all_ones = both.reshape(len(n), -1), both.sum(axis=2), ones.sum(axis=1)
    distance = 2 * (np.outer(n, all_ones) - ones @ ones.T)
    pairs = np.outer(n, with_any.sum(axis=1)) + 2 * flat @ flat.T - 4 * ones @ with_any.T
    squared = 2 * (pairs + np.outer(all_ones, all_ones))
    return (distance + distance.T) / 2, (squared + squared.T) / 2


def _distance_moments(forms: tuple[np.ndarray, np.ndarray], n: int, bits: int) -> tuple[float, float, float]:
    """Mean, spread and dof of the normalised distance over pairs of different items."""
    pairs = n * (n - 1)
    mean = float(forms[0].sum()) / pairs / bits
    if mean == 0:
        return 0.0, 0.0, 0.0
    variance = float(forms[1].sum()) / pairs / bits**2 - mean**2
    if variance <= 1e-12:
        return mean, 0.0, float("inf")
    return mean, variance**0.5, mean * (1 - mean) / variance


def _standard_error(forms: tuple[np.ndarray, np.ndarray], counts: PairCounts, mean: float, spread: float) -> float:
    """Standard error of dof, from how the groups of items, and pairs of groups, move it.

    What a group moves on its own holds the part of its pairs twice (Efron & Stein), and for independent bits that is
    all there is; so it is taken off once.
    """
    n, bits, variance = counts.group_n[counts.group_n > 0].astype(np.float64), counts.bits, spread**2
    kept = np.ix_(counts.group_n > 0, counts.group_n > 0)
    whole = n.sum() * (n.sum() - 1)
    pairs = np.outer(n, n) - np.diag(n)
    by_mean = ((1 - 2 * mean) * variance + 2 * mean**2 * (1 - mean)) / variance**2
    by_square = -mean * (1 - mean) / variance**2
    moved = by_mean * (forms[0][kept] / bits - mean * pairs)
    moved += by_square * (forms[1][kept] / bits**2 - (variance + mean**2) * pairs)
    alone = moved.sum(axis=0)
    groups = len(n)
    left = moved - (alone[:, None] + alone[None, :]) / groups + alone.sum() / groups**2
    np.fill_diagonal(left, 0.0)
    together = 2 * (left**2).sum() / whole**2
    jackknife = 4 * (alone**2).sum() / whole**2 * groups / (groups - 1)
    return float(np.sqrt(max(jackknife - together, together)))


def _participation(pairs: np.ndarray, n: int) -> tuple[float, float]:
    """Participation ratio (sum l)^2 / sum l^2 of the correlation matrix of the bits that vary: corrected, plug-in.

    Chance alone gives each squared correlation the mean 1 / (n - 1), which is taken off.
    """
    p = np.diagonal(pairs) / n
    varies = (p > 0) & (p < 1)
    active = int(varies.sum())
    if active == 0:
        return 0.0, 0.0
    deviation = np.sqrt(p[varies] * (1 - p[varies]))
    covariance = pairs[np.ix_(varies, varies)] / n - np.outer(p[varies], p[varies])
    squares = (covariance / np.outer(deviation, deviation)) ** 2
    plugin = float(squares.sum())
    off_diagonal = (plugin - active) * (n - 1) - active * (active - 1)
    corrected = active + max(off_diagonal, 0.0) / (n - 2)
    return active**2 / corrected, active**2 / plugin


def judge_freedom(title: str, freedom: DegreesOfFreedom, results: Mapping[str, Result]) -> Verdict:
    """Do the bits vary independently? Only bits in use can: the figure says nothing good of a code with dead ones."""
    bits = freedom.source.bits if freedom.source else 0
    level: Level = level_from(freedom.value / max(bits, 1), FREEDOM)
    text = (
        f"The {bits} bits vary like {freedom.value:.1f} independent coins (95% interval {freedom.low:.1f} to "
        f"{freedom.high:.1f}); the participation ratio of their correlations is {freedom.participation_ratio:.1f}."
    )
    usage = only(BitUsage, results)
    if usage is not None and (idle := usage.dead + usage.rare) > UNUSED[0] * bits:
        level = "bad" if level == "bad" or idle > UNUSED[1] * bits else "watch"
        text = (
            f"{counted(idle, 'bit')} of {bits} {'is' if idle == 1 else 'are'} dead or rare, so the spread of the "
            f"distances is no measure of independence: {freedom.value:.1f} coins (95% interval {freedom.low:.1f} to "
            f"{freedom.high:.1f}) would have the same, with all bits in use."
        )
    return Verdict(
        level,
        title,
        f"{freedom.value:.1f} of {bits}",
        text,
        f"good from {FREEDOM[0]:.0%} of the bits with all bits in use, bad below {FREEDOM[1]:.0%}",
    )
