"""What information of bits about labels is by chance: its mean and its p-values, from counts or with near copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from codelab.core.bits import select_bits
from codelab.kernels.counting import class_counts
from codelab.statistics.estimators import expected_information
from codelab.statistics.exchange import Exchange
from codelab.statistics.nulls import mid_p_value, pair_null, permuted_information, reached

FAR = 20
"""Draws at or above the observed value from which their share is the p-value: of 200, p = .1, well above .05.

Below it more draws, or a fitted tail, decide. At p = .05 itself those that chance puts on one side would do so alone.
"""

MORE = 20
"""Times as many permutations for what is rare, where fewer than `FAR` of the first reach the observed value."""

ENOUGH = 50
"""Permutations from which a tail is fitted to them."""

EXPECTED = 5
"""Expected ones a class, on average, from which the gamma law holds in the tail, tried to p = .001.

Below it a fitted tail can make p-values several times too small.
"""

SURE = 20
"""Expected ones, and zeros, of every class and stratum from which the gamma law holds throughout: none is drawn."""

CLEAR = 0.01
"""P-value by the gamma law below which draws would not bring another: 20 of 200 would have to reach what 2 do."""

MANY_ONES = 1000
"""Ones from which a sum over many classes has a smooth null, however few a class has."""

BATCH = 1 << 16
"""Rows, or cells of tables, up to which several permutations are counted at once."""

Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Of n tables `[n, S, C, b]` of ones, sizes `[n, S, C]` and the numbers of the bits `[b]`: information `[n, K]`."""


@dataclass(frozen=True, eq=False)
class Chance:
    """Per statistic `[K]`: its mean by chance, its p-value, and whether the p-value is from a fitted tail."""

    mean: np.ndarray
    p_value: np.ndarray
    fitted: np.ndarray


def information_p_value(
    observed: np.ndarray,
    draw: Callable[[np.ndarray, int], np.ndarray],
    permutations: int,
    *,
    rare: np.ndarray,
    mean: np.ndarray | None = None,
    shape: np.ndarray | None = None,
) -> tuple[Chance, np.ndarray]:
    """The chance of information, and how many draws reach each observed value.

    The p-value is the mid p-value of the draws. Where fewer than `FAR` of them reach the observed value it is

    * for rare statistics, whose null takes few values, the mid p-value of `MORE` times as many draws;
    * for the others the tail of a gamma: information is about a scaled chi-square, so its law has the mean m and

          p = Q(a, a I / m),    a = m^2 / variance of the draws, or half the degrees of freedom where these are known.

    Args:
        observed: information `[K]`.
        draw: called with numbers `[k]` of statistics and n, gives draws `[n, k]` under the null.
        permutations: draws at first.
        rare: bool `[K]`.
        mean: exact means `[K]`; None: those of the draws.
        shape: a `[K]`; NaN: from the draws.

    Source: gamma with two moments: Winkler et al. 2016; with the exact mean the tail of the chi-square law is right to
        the next order in 1 / n: Williams 1976.
    """
    null = draw(np.arange(len(observed)), permutations)
    average = null.mean(axis=0) if mean is None else mean
    p_value, times = mid_p_value(observed, null), reached(observed, null)
    far = times < FAR
    again = np.flatnonzero(far & rare)
    if len(again):
        both = np.concatenate([null[:, again], draw(again, (MORE - 1) * permutations)])
        p_value[again], times[again] = mid_p_value(observed[again], both), reached(observed[again], both)
    variance = np.mean((null - average) ** 2, axis=0)
    fitted = far & ~rare & (permutations >= ENOUGH) & (variance > 1e-20) & (average > 0)
    moments = np.divide(average**2, variance, out=np.ones(len(average)), where=fitted)
    a = moments if shape is None else np.where(np.isnan(shape), moments, shape)
    tail = special.gammaincc(a, a * np.divide(observed, average, out=np.zeros(len(average)), where=fitted))
    p_value = np.where(fitted, np.clip(tail, 1e-16, (FAR + 1) / (1 + permutations)), p_value)
    return Chance(average, p_value, fitted), times


def chance_by_counts(
    observed: np.ndarray, tables: np.ndarray, sizes: np.ndarray, permutations: int, seed: int
) -> Chance:
    """The chance of each bit's information, every image an observation of its own; labels stay in their stratum.

    Means are exact, and so are p-values where there is one stratum of two classes. The tail of the gamma law of
    `information_p_value` is the p-value without a draw where each class of each stratum has enough ones and zeros
    (`SURE`), or where it is `CLEAR` and the law holds in the tail. A rare bit that none of its draws reaches has the
    exact bound by Bonferroni, (cells of class and stratum) times the least exact p-value of a cell.

    Args:
        observed: plug-in information `[B]`.
        tables: int `[S, C, B]`, ones in each stratum and class.
        sizes: int `[S, C]`, items there; no stratum is empty.
        permutations: behind each p-value.
        seed: of the permutations.
    """
    ones, totals = tables.sum(axis=1), sizes.sum(axis=1)
    parts = zip(ones, sizes, totals, strict=True)
    mean = sum(total / totals.sum() * expected_information(k, size) for k, size, total in parts)
    if sizes.shape == (1, 2):
        p_value = pair_null(ones[0], sizes[0, :1], tables[0, 0], int(totals[0]))[1]
        return Chance(mean, p_value, np.zeros(len(mean), bool))
    varies = (ones > 0) & (ones < totals[:, None])
    p_value, fitted = np.ones(len(mean)), np.zeros(len(mean), bool)
    per_class, few = rarity(ones, totals, int(np.count_nonzero(sizes)))
    freedom = (np.maximum(np.count_nonzero(sizes, axis=1) - 1, 0)[:, None] * varies).sum(axis=0)
    shape = np.where(per_class >= EXPECTED, freedom / 2, np.nan)
    lawful = ~np.isnan(shape) & (freedom > 0) & (mean > 0) & (permutations >= ENOUGH)
    a = shape[lawful]
    p_value[lawful] = np.clip(special.gammaincc(a, a * observed[lawful] / mean[lawful]), 1e-16, 1.0)
    fitted = lawful & ((p_value < CLEAR) | (_fewest(ones, sizes) >= SURE))
    p_value[~fitted] = 1.0
    chosen = np.flatnonzero(varies.any(axis=0) & ~fitted)
    fitted &= p_value < 1 / (1 + permutations)  # larger ones need no word: draws can show them as well
    if not len(chosen):
        return Chance(mean, p_value, fitted)
    generator = np.random.default_rng(seed)

    def draw(which: np.ndarray, n: int) -> np.ndarray:
        return np.stack([permuted_information(ones[:, bit], sizes, n, generator) for bit in chosen[which]], axis=1)

    found, times = information_p_value(
        observed[chosen], draw, permutations, rare=few[chosen], mean=mean[chosen], shape=shape[chosen]
    )
    p_value[chosen], fitted[chosen] = found.p_value, found.fitted
    never = chosen[(times == 0) & few[chosen]]
    if len(never):
        strata, classes = np.nonzero(sizes)
        exact = [
            pair_null(ones[s][never], sizes[s, c], tables[s, c][never], int(totals[s]))[1]
            for s, c in zip(strata, classes, strict=True)
        ]
        p_value[never] = np.minimum(p_value[never], len(exact) * np.min(exact, axis=0))
    return Chance(mean, p_value, fitted)


def _fewest(ones: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Expected ones or zeros `[B]`, whichever are fewer, of the rarest cell: of ones `[S, B]` and sizes `[S, C]`."""
    totals = sizes.sum(axis=1)
    smallest = np.where(sizes > 0, sizes, np.iinfo(np.int64).max).min(axis=1)
    return (np.minimum(ones, totals[:, None] - ones) * (smallest / totals)[:, None]).min(axis=0)


def rarity(ones: np.ndarray, totals: np.ndarray, cells: int, share: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Expected ones (or zeros, which are fewer) a cell of class and stratum `[B]`, and which bits are rare.

    Args:
        ones: int `[S, B]`.
        totals: int `[S]`, items of each stratum.
        cells: of class and stratum that have items.
        share: groups an item, where near copies are one observation.
    """
    fewer = np.minimum(ones, totals[:, None] - ones).sum(axis=0) * share
    return fewer / cells, (fewer < EXPECTED * cells) & (fewer < MANY_ONES)


@dataclass(frozen=True, eq=False)
class GroupedTables:
    """Packed codes whose labels change places by whole groups: tables of class and bit for each permutation.

    `exchange` permutes labels `[N]` of `classes` values; for multi-label codes these are numbers of label sets, which
    `sets` `[L, C]` holds. `strata` `[N]` has `n_strata` values, which stay in place. `groups` says how many there are.
    """

    packed: np.ndarray
    bits: int
    exchange: Exchange
    classes: int
    sets: np.ndarray | None
    strata: np.ndarray
    n_strata: int
    groups: int

    @classmethod
    def of(
        cls,
        packed: np.ndarray,
        bits: int,
        labels: np.ndarray,
        groups: np.ndarray,
        strata: np.ndarray | None = None,
    ) -> GroupedTables:
        """From labels int `[N]`, 0 or more, or bool `[N, C]`, groups int `[N]` and strata int `[N]` or None."""
        sets = None
        if labels.ndim == 2:
            sets, labels = np.unique(labels, axis=0, return_inverse=True)
        held = np.zeros(len(packed), np.int64) if strata is None else strata
        exchange = Exchange.of(labels.reshape(-1), groups, strata)
        classes = int(labels.max()) + 1
        return cls(packed, bits, exchange, classes, sets, held, int(held.max()) + 1, len(np.unique(groups)))

    @property
    def cells(self) -> int:
        """Cells of class and stratum that have items."""
        if self.sets is not None:
            return self.sets.shape[1]
        return len(np.unique(self.strata * self.classes + self.exchange.labels))

    def draws(self, statistic: Statistic, which: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
        """`statistic` of n permutations, for the bits `which` `[b]`: `[n, ...]`."""
        packed = self.packed if len(which) == self.bits else select_bits(self.packed, self.bits, which.tolist())
        cells = self.n_strata * self.classes
        batch = min(n, max(1, BATCH // max(len(packed), cells * len(which))))  # few items: many permutations a count
        copies = np.tile(packed, (batch, 1))
        values = []
        for start in range(0, n, batch):
            times = min(batch, n - start)
            drawn = np.stack([self.exchange.draw(generator) for _ in range(times)])
            joint = (self.strata * self.classes + drawn + cells * np.arange(times)[:, None]).reshape(-1)
            ones = class_counts(copies[: len(joint)], len(which), joint, cells * times)
            ones = ones.reshape(times, self.n_strata, self.classes, len(which))
            sizes = np.bincount(joint, minlength=cells * times).reshape(ones.shape[:-1])
            if self.sets is None:
                values.append(statistic(ones, sizes, which))
            else:
                member = self.sets.T.astype(np.float64)
                values.append(statistic(member @ ones, sizes @ member.T, which))
        return np.concatenate(values)


def chance_by_groups(
    observed: np.ndarray,
    tables: GroupedTables,
    statistic: Statistic,
    ones: np.ndarray,
    permutations: int,
    seed: int,
) -> Chance:
    """The chance of each bit's information where labels change places by whole groups; its mean is that of the draws.

    Args:
        observed: plug-in information `[B]`.
        tables: of the codes and their labels.
        statistic: the plug-in information.
        ones: int `[S, B]`, ones in each stratum.
        permutations: behind each p-value.
        seed: of the permutations.
    """
    generator = np.random.default_rng(seed)
    totals = np.bincount(tables.strata, minlength=tables.n_strata)
    chosen = np.flatnonzero(((ones > 0) & (ones < totals[:, None])).any(axis=0))
    few = rarity(ones, totals, tables.cells, tables.groups / len(tables.packed))[1]

    def draw(which: np.ndarray, n: int) -> np.ndarray:
        return tables.draws(statistic, chosen[which], n, generator)

    mean, p_value, fitted = np.zeros(len(observed)), np.ones(len(observed)), np.zeros(len(observed), bool)
    if len(chosen):
        found, _ = information_p_value(observed[chosen], draw, permutations, rare=few[chosen])
        mean[chosen], p_value[chosen], fitted[chosen] = found.mean, found.p_value, found.fitted
    return Chance(mean, p_value, fitted)
