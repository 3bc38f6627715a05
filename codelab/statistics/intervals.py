"""Intervals: Wilson's for a share, the cluster bootstrap for averages over classes too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

CONFIDENCE = 0.95
RESAMPLES = 1000


def wilson_interval(
    ones: np.ndarray | int, n: np.ndarray | int, confidence: float = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of a share: `ones` of `n`; (0, 1) where n = 0.

        (k + z^2 / 2) / (n + z^2)  +-  z / (n + z^2) sqrt(k (n - k) / n + z^2 / 4)

    with k ones and z the normal quantile.

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


@dataclass(frozen=True, eq=False)
class Members:
    """Which item is in which class, as pairs of numbers `[P]`: an item with several labels is in several pairs."""

    items: np.ndarray
    classes: np.ndarray
    n_classes: int

    @classmethod
    def of(cls, labels: np.ndarray, n_classes: int | None = None) -> Members:
        """From class numbers `[N]` (-1 = none) or bool `[N, C]`."""
        if labels.ndim == 2:
            items, classes = np.nonzero(labels)
            return cls(items, classes, labels.shape[1])
        items = np.flatnonzero(labels >= 0)
        return cls(items, labels[items], int(labels.max(initial=-1)) + 1 if n_classes is None else n_classes)

    def means(self, values: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
        """Mean of `values` `[N]` in each class, `[C]`, item i counted `times[i]` times; NaN: the class has no item."""
        times = np.ones(len(self.items)) if times is None else times[self.items]
        sizes = np.bincount(self.classes, times, self.n_classes)
        sums = np.bincount(self.classes, times * values[self.items], self.n_classes)
        return np.divide(sums, sizes, out=np.full(self.n_classes, np.nan), where=sizes > 0)


def mean_of_classes(per_class: np.ndarray) -> float:
    """Mean over the classes that have a mean; NaN where none has."""
    known = per_class[~np.isnan(per_class)]
    return float(known.mean()) if len(known) else float("nan")


def cluster_bootstrap(
    values: np.ndarray,
    members: Members,
    groups: np.ndarray | None = None,
    *,
    average: str = "both",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Averages of `values` over resampled groups of items: `[resamples, 2]`, over items and over classes.

    Items of one group rise and fall together, so whole groups are drawn, with replacement, as many as there are.

    Args:
        values: `[N]`.
        members: the classes of the items.
        groups: group numbers `[N]`; None: each item is a group of its own.
        average: `query` or `class` leaves the other column NaN, and saves its time.
        resamples: how many.
        seed: of the draws.

    Source: Efron 1979; clusters: Davison & Hinkley 1997, section 3.8.

    Example:
        >>> draws = cluster_bootstrap(np.array([0.0, 1.0]), Members.of(np.array([0, 1])), resamples=200)
        >>> sorted(set(draws[:, 0].tolist()))
        [0.0, 0.5, 1.0]
    """
    draws = np.full((resamples, 2), np.nan)
    for draw, times in zip(draws, resampled(len(values), groups, resamples, seed), strict=True):
        if average != "class":
            draw[0] = times @ values / times.sum()
        if average != "query":
            draw[1] = mean_of_classes(members.means(values, times))
    return draws


def resampled(n: int, groups: np.ndarray | None, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n items is drawn, float64 `[n]`, for each resample: whole groups, with replacement."""
    unit = None if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    units = n if unit is None else int(unit.max()) + 1
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = np.bincount(generator.integers(0, units, units, dtype=np.int32), minlength=units).astype(np.float64)
        yield drawn if unit is None else drawn[unit]


def intervals_of_means(
    values: np.ndarray, groups: np.ndarray | None = None, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high ends `[M]` of the intervals of the means of M columns `[N, M]`, by one bootstrap of the items.

    Example:
        >>> low, high = intervals_of_means(np.array([[0.0, 1.0], [1.0, 1.0]]))
        >>> low.tolist(), high.tolist()
        ([0.0, 1.0], [1.0, 1.0])
    """
    means = [times @ values / times.sum() for times in resampled(len(values), groups, RESAMPLES, seed)]
    low, high = np.quantile(np.stack(means), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return low, high


def percentiles(draws: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The middle share `confidence` of draws `[R]`."""
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Averages:
    """The mean over images, and the mean over classes of the mean in each.

    `interval` and `class_interval` hold the truth with `CONFIDENCE`; `how` says by which reasoning.
    """

    value: float
    interval: tuple[float, float]
    class_value: float
    class_interval: tuple[float, float]
    how: str


def averages(values: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None, *, seed: int = 0) -> Averages:
    """The two means and their intervals.

    Intervals are percentiles of `cluster_bootstrap`; over images Wilson's where every value is right or wrong.

    Args:
        values: bool or numbers `[N]`.
        labels: class numbers `[N]`, or bool `[N, C]`; classes without an image do not count.
        groups: group numbers `[N]`, or None.
        seed: of the bootstrap.

    Example:
        >>> found = averages(np.array([True, True, True, False]), np.array([0, 0, 0, 1]))
        >>> found.value, found.class_value, [round(v, 2) for v in found.interval]
        (0.75, 0.5, [0.3, 0.95])
    """
    members = Members.of(labels)
    draws = cluster_bootstrap(values, members, groups, seed=seed)
    interval, what = percentiles(draws[:, 0]), "images" if groups is None else "groups"
    how = f"{RESAMPLES:,} bootstrap resamples of the test {what}"
    if groups is None and values.dtype == bool:
        low, high = wilson_interval(int(values.sum()), len(values))
        interval, how = (float(low), float(high)), f"Wilson's over images, {how} over classes"
    return Averages(
        value=float(values.mean()),
        interval=interval,
        class_value=mean_of_classes(members.means(values)),
        class_interval=percentiles(draws[:, 1]),
        how=f"{CONFIDENCE:.0%} intervals: {how}",
    )
