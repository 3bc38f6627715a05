"""Intervals: Wilson's of a share, and averages with a cluster bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.stats import binomtest


def wilson_interval(ones: np.ndarray, n: np.ndarray | int, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of a share: `ones` of `n`; (0, 1) where n = 0.

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


CONFIDENCE = 0.95
RESAMPLES = 1000


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
    """The means and their intervals.

    Intervals are percentiles of a bootstrap of the images; over images Wilson's where every value is right or wrong.
    Images of one group rise and fall together, so that with `groups` whole groups are resampled.

    Args:
        values: bool or numbers `[N]`.
        labels: class numbers `[N]`, 0 or more; classes without an image do not count.
        groups: group numbers `[N]`, or None.
        seed: of the bootstrap.

    Example:
        >>> found = averages(np.array([True, True, True, False]), np.array([0, 0, 0, 1]))
        >>> found.value, found.class_value, [round(v, 2) for v in found.interval]
        (0.75, 0.5, [0.3, 0.95])
    """
    unit = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    units, classes = int(unit.max()) + 1, int(labels.max()) + 1
    generator = np.random.default_rng(seed)
    drawn = np.empty((RESAMPLES, 2))
    for i in range(RESAMPLES):
        times = np.bincount(generator.integers(0, units, units), minlength=units)[unit]
        drawn[i] = _means(values, labels, times, classes)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    value, class_value = _means(values, labels, np.ones(len(values)), classes)
    interval, what = (float(low[0]), float(high[0])), "images" if groups is None else "groups"
    how = f"{RESAMPLES:,} bootstrap resamples of the test {what}"
    if groups is None and values.dtype == bool:
        wilson = binomtest(int(values.sum()), len(values)).proportion_ci(CONFIDENCE, method="wilson")
        interval, how = (float(wilson.low), float(wilson.high)), f"Wilson's over images, {how} over classes"
    return Averages(
        value=value,
        interval=interval,
        class_value=class_value,
        class_interval=(float(low[1]), float(high[1])),
        how=f"{CONFIDENCE:.0%} intervals: {how}",
    )


def _means(values: np.ndarray, labels: np.ndarray, times: np.ndarray, classes: int) -> tuple[float, float]:
    """The two means, image i counted `times[i]` often."""
    sizes = np.bincount(labels, times, classes)
    sums = np.bincount(labels, times * values, classes)
    present = sizes > 0
    return float(sums.sum() / sizes.sum()), float((sums[present] / sizes[present]).mean())
