"""How many independent fair coins a code is worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy import special

from codelab.core.attributes import Groups
from codelab.core.checks import need_items
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.formats import with_interval
from codelab.core.result import Result, only
from codelab.core.verdict import Level, Verdict, counted, level_from
from codelab.measures.bit_usage import UNUSED, BitUsage
from codelab.statistics.clusters import DesignEffects, group_units
from codelab.statistics.counts import GROUPS, PairCounts
from codelab.statistics.jackknife import deal
from codelab.statistics.pair_sums import PairSums

FREEDOM = (0.15, 0.05)
"""Degrees of freedom as a share of B: good from the first, bad below the second."""
LEAST = 8
"""Items, or groups, below which there is no figure."""
SEEN = 4
"""Items, or groups, with the rarer value of a bit, on average over bits, below which there is no interval."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DegreesOfFreedom(Result):
    """How many independent fair coins the code is worth: `value`, its 95 % interval `low` to `high`.

    `mean_distance` and `spread` are of the Hamming distance of two items divided by B. `participation_ratio` of the
    bits' correlation matrix says the same from another side; it is corrected for the number of items, and
    `participation_plugin` is not. `groups` is their number, None without. Where bits change in too few items for an
    interval, it is NaN and `note` says so. `deleted` `[P]` is `value` without each part of the images, for the
    difference of two codes.

    The line quotes `value` with its interval.
    """

    value: float
    low: float
    high: float
    mean_distance: float
    spread: float
    participation_ratio: float
    participation_plugin: float
    deleted: np.ndarray = dataclasses.field(repr=False)
    groups: int | None = None
    note: str = ""
    estimator: str = "moments of the distance over all pairs"

    def headline(self) -> str:
        return with_interval(self.value, self.low, self.high) + (f" ({self.note})" if self.note else "")


def degrees_of_freedom(codes: Codes | PairCounts, *, groups: Groups = None) -> DegreesOfFreedom:
    """The number of independent coins with the same spread of distances: m (1 - m) / s^2.

    m and s^2 are the mean and the variance, over *all* pairs of items, of the share of bits in which they differ.
    Both follow from how often two bits are both 1, so no pair is drawn.

    Args:
        codes: codes `[N, B]`, or their `PairCounts`.
        groups: an item column, or one value an image: images of one group are near copies, and no pair of them counts.

    Returns:
        The value, its interval, and the participation ratio beside it. Identical codes are worth 0.

    Raises:
        DataError: fewer than 8 items or groups, or all pairs at one distance, from which nothing follows.
        UsageError: groups that are no column, or with counts.

    Source: Daugman 2003; participation ratio: Gao et al. 2017; interval: see `_spread_of`.

    Example:
        >>> fair = np.random.default_rng(0).integers(0, 2, (4000, 32))
        >>> round(float(degrees_of_freedom(Codes.from_bits(np.repeat(fair, 4, axis=1)))))
        32
    """
    units = group_units("degrees_of_freedom", codes, groups, least=LEAST)
    part = None if units is None else deal(units, parts=GROUPS)
    counts = PairCounts.of(codes, parts=part)
    n = need_items("degrees_of_freedom", counts.n, least=LEAST)
    pairs, effects = PairSums.of_counts(counts.group_n, counts.both), None
    if units is not None and part is not None:
        assert isinstance(codes, Codes)  # noqa: S101  counts with groups were refused
        pairs, effects = pairs.without(codes, units, part), DesignEffects.of(codes.packed, codes.bits, units)
    mean, variance = pairs.moments()
    if mean > 0 and variance <= 1e-12:
        raise DataError(
            f"degrees_of_freedom: every two of the {n} codes differ in the same number of bits, "
            "expected codes at more than one distance"
        )
    value = _freedom(mean, variance)
    low, high = _interval(value, pairs) if mean > 0 else (0.0, 0.0)
    note, ones = "", np.diagonal(counts.pairs)
    rarer = np.minimum(ones, n - ones)[(ones > 0) & (ones < n)] / (1 if effects is None else n / effects.groups)
    if len(rarer) and rarer.mean() < SEEN:
        low = high = float("nan")
        note = f"no interval: a bit changes in {rarer.mean():.1f} {'images' if units is None else 'groups'} on average"
    corrected, plugin = _participation(counts.pairs, n, effects)
    among = "all pairs" if effects is None else f"all pairs of images of two of {effects.groups} groups"
    return DegreesOfFreedom(
        source=counts.source,
        value=value,
        low=low,
        high=high,
        mean_distance=mean,
        spread=max(variance, 0.0) ** 0.5,
        participation_ratio=corrected,
        participation_plugin=plugin,
        deleted=_without_each(pairs),
        groups=None if effects is None else effects.groups,
        note=note,
        estimator=f"moments of the distance over {among}",
    )


def _freedom(mean: float, variance: float) -> float:
    """From the moments of the distance; identical codes are worth 0."""
    return mean * (1 - mean) / variance if mean > 0 else 0.0


def _without_each(pairs: PairSums) -> np.ndarray:
    """The degrees of freedom without each part that has items, `[P]`; NaN where all pairs that are left are alike."""
    found = []
    for part in np.flatnonzero(pairs.number.any(axis=0)):
        left = np.arange(len(pairs.number)) != part
        square = np.ix_(left, left)
        mean, variance = PairSums(pairs.number[square], pairs.sums[(slice(None), *square)]).moments()
        found.append(_freedom(mean, variance) if mean == 0 or variance > 1e-12 else np.nan)
    return np.array(found)


def _interval(value: float, pairs: PairSums) -> tuple[float, float]:
    """95 % interval of the degrees of freedom: see `_spread_of`."""
    error, bias, free = _spread_of(pairs)
    centre, reach = value * np.exp(-bias), special.stdtrit(free, 0.975) * error
    return float(centre * max(1 - reach, 0.0)), float(centre * (1 + reach))


def _spread_of(pairs: PairSums) -> tuple[float, float, float]:
    """Standard error and bias of the logarithm of dof, and the degrees of freedom of the error's own estimate.

    With a and b the mean distance and the mean squared distance, and S their covariance, the delta method gives, for
    f = log(a (1 - a) / (b - a^2)) with gradient g and second derivatives H,

        error^2 = g' S g,    bias = trace(H S) / 2.

    S is the jackknife's of a U-statistic over parts of items. What a part moves on its own holds the share of its
    pairs twice, and for independent bits that is all there is; so it is taken off once. A few parts that move dof most
    make the error itself uncertain: with x_p what part p moves, its degrees of freedom are

        2 / (sum x_p^4 / (sum x_p^2)^2 - 1 / P),    at most P - 1.

    Source: Efron & Stein 1981 (U-statistics); Satterthwaite 1946 (degrees of freedom of a variance).
    """
    kept = pairs.number.sum(axis=0) > 0
    number, sums = pairs.number[np.ix_(kept, kept)], pairs.sums[:, kept][:, :, kept]
    whole, parts = number.sum(), len(number)
    a, b = sums.sum(axis=(1, 2)) / whole
    v = b - a**2
    moved = sums - np.array([a, b])[:, None, None] * number
    alone = moved.sum(axis=1)
    left = moved - (alone[:, :, None] + alone[:, None, :]) / parts + alone.sum(axis=1)[:, None, None] / parts**2
    left[:, range(parts), range(parts)] = 0.0
    together = 2 * np.einsum("kpq,lpq->kl", left, left) / whole**2
    singly = 4 * alone @ alone.T / whole**2 * parts / (parts - 1) - together
    gradient = np.array([1 / a - 1 / (1 - a) + 2 * a / v, -1 / v])
    curved = np.array([[2 / v + 4 * a**2 / v**2 - 1 / a**2 - 1 / (1 - a) ** 2, -2 * a / v**2], [-2 * a / v**2, v**-2]])
    covariance = singly if gradient @ singly @ gradient > gradient @ together @ gradient else together
    square = (gradient @ alone) ** 2
    uneven = (square**2).sum() / square.sum() ** 2 - 1 / parts if square.any() else 0.0
    free = min(2 / uneven, parts - 1) if uneven > 0 else parts - 1
    return float(gradient @ covariance @ gradient) ** 0.5, float(np.trace(curved @ covariance)) / 2, float(free)


def _participation(pairs: np.ndarray, n: float, effects: DesignEffects | None) -> tuple[float, float]:
    """Participation ratio (sum l)^2 / sum l^2 of the correlation matrix of the bits that vary: corrected, plug-in.

    Chance alone gives each squared correlation the mean 1 / (n - 1), which is taken off; with near copies n is as many
    independent images as the pairs of bits are worth.
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
    if effects is not None and active > 1:
        a, b = (np.flatnonzero(varies)[side] for side in np.triu_indices(active, 1))
        n = max(n / effects.of_products(effects, a, b).mean(), 3.0)
    off_diagonal = (plugin - active) * (n - 1) - active * (active - 1)
    corrected = active + max(off_diagonal, 0.0) / (n - 2)
    return active**2 / corrected, active**2 / plugin


def judge_freedom(title: str, freedom: DegreesOfFreedom, results: Mapping[str, Result]) -> Verdict:
    """Do the bits vary independently? Only bits in use can: the figure says nothing good of a code with dead ones."""
    bits = freedom.source.bits if freedom.source else 0
    level: Level = level_from(freedom.value / max(bits, 1), FREEDOM)
    interval = freedom.note or f"95% interval {freedom.low:.1f} to {freedom.high:.1f}"
    coins = f"{freedom.value:.1f} {{}} ({interval})"
    text = (
        f"The {bits} bits vary like {coins.format('independent coins')}; the participation ratio of their "
        f"correlations is {freedom.participation_ratio:.1f}."
    )
    usage = only(BitUsage, results)
    if usage is not None and (idle := usage.dead + usage.rare) > UNUSED[0] * bits:
        level = "bad" if level == "bad" or idle > UNUSED[1] * bits else "watch"
        text = (
            f"{counted(idle, 'bit')} of {bits} {'is' if idle == 1 else 'are'} dead or rare, so the spread of the "
            f"distances is no measure of independence: {coins.format('coins')} would have the same, with all bits in "
            "use."
        )
    return Verdict(
        level,
        title,
        f"{freedom.value:.1f} of {bits}",
        text,
        f"good from {FREEDOM[0]:.0%} of the bits with all bits in use, bad below {FREEDOM[1]:.0%}",
    )
