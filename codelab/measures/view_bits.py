"""Each bit as a channel from one view of the images to another."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np
from scipy import special

from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.result import Source
from codelab.kernels.counting import column_counts
from codelab.statistics.clusters import DesignEffects, as_independent, group_sums
from codelab.statistics.counts import Counts, total
from codelab.statistics.estimators import binary_entropy, table_information
from codelab.statistics.intervals import wilson_interval
from codelab.statistics.nulls import false_discovery, pair_null


@dataclasses.dataclass(frozen=True, eq=False)
class ViewCounts(Counts):
    """Per bit, int64 `[B]`: `ones_a` and `ones_b` in the two views, `both` where it is 1 in both, of `n` images."""

    ones_a: np.ndarray
    ones_b: np.ndarray
    both: np.ndarray

    ADD = ("n", "ones_a", "ones_b", "both")

    @classmethod
    def of(cls, a: Codes, b: Codes) -> ViewCounts:
        """Counts of two sets of codes whose rows are views of the same images.

        Raises:
            DataError: the sets have different bits, numbers of rows, or ids.
        """
        if a.bits != b.bits or len(a) != len(b):
            raise DataError(
                f"channel: found {len(a)} codes of {a.bits} bits and {len(b)} of {b.bits}, "
                "expected views of the same images by the same encoder"
            )
        differ = np.flatnonzero(a.items["id"].to_numpy() != b.items["id"].to_numpy())
        if len(differ):
            row = int(differ[0])
            ids = a.items["id"][row].as_py(), b.items["id"][row].as_py()
            raise DataError(f"channel: row {row} is {ids[0]!r} in one view and {ids[1]!r} in the other")
        ones = [column_counts(part, a.bits) for part in (a.packed, b.packed, a.packed & b.packed)]
        return cls(_of_both(a, b), a.bits, len(a), *ones)


def _of_both(a: Codes, b: Codes) -> Source:
    """A source whose hash names the codes of either view."""
    both = hashlib.sha256(f"{a.sha256}{b.sha256}".encode()).hexdigest()
    return dataclasses.replace(Source.of(a), sha256=both)


def per_bit_figures(pairs: list[tuple[Codes, Codes]], units: np.ndarray | None) -> dict[str, Any]:
    """The figures of each bit, over pairs of views of the same images."""
    counts = total(ViewCounts.of(a, b) for a, b in pairs)
    n, a, b, both = counts.n, counts.ones_a, counts.ones_b, counts.both
    p, q = a / n, b / n
    chance = p * (1 - q) + q * (1 - p)
    rate = (a + b - 2 * both) / n
    low, high = _rate_interval(pairs, rate, units)
    tables = np.stack([both, b - both], axis=-1)  # ones of view b where view a is 1, and where it is 0
    plugin = np.array([table_information(t, np.array([k, n - k])) for t, k in zip(tables, a, strict=True)])
    mean, p_value = _null(pairs, counts, units)
    varies = (a > 0) & (a < n) & (b > 0) & (b < n)
    return {
        "flip_rate": rate,
        "low": low,
        "high": high,
        "chance": chance,
        "kappa": np.where(varies, 1 - np.divide(rate, chance, out=np.ones_like(rate), where=chance > 0), 0.0),
        "plugin": plugin,
        "information": np.where(varies, plugin - mean, 0.0),
        "p_value": p_value,
        "q_value": false_discovery(p_value),
        "dependent_q_value": false_discovery(p_value, dependent=True),
        "capacity": np.where(
            varies,
            capacity(
                np.divide(b - both, n - a, out=np.zeros_like(p), where=a < n),
                np.divide(a - both, a, out=np.zeros_like(p), where=a > 0),
            ),
            0.0,
        ),
    }


def _flips(pairs: list[tuple[Codes, Codes]], units: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The bits that differ, packed, of all pairs of views, and the unit of each row: its group, or its image."""
    packed = np.concatenate([a.packed ^ b.packed for a, b in pairs])
    return packed, np.tile(np.arange(len(pairs[0][0])) if units is None else units, len(pairs))


def _rate_interval(
    pairs: list[tuple[Codes, Codes]], rate: np.ndarray, units: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of each flip rate: Wilson's, over images or over as many as the views and groups are worth."""
    if units is None and len(pairs) == 1:
        n = len(pairs[0][0])
        return wilson_interval(np.rint(rate * n), n)
    packed, unit = _flips(pairs, units)
    worth = DesignEffects.of(packed, len(rate), unit).effective()
    return wilson_interval(rate * worth, worth)


def _null(
    pairs: list[tuple[Codes, Codes]], counts: ViewCounts, units: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean information of each bit in two views that have nothing in common, and the p-value."""
    tables = counts.ones_a, counts.ones_b, counts.both, counts.n
    if units is None:
        return pair_null(*tables)
    unit, bits = np.tile(units, len(pairs)), np.arange(counts.bits)
    a, b = (
        DesignEffects.of(np.concatenate([pair[view].packed for pair in pairs]), counts.bits, unit) for view in (0, 1)
    )
    return pair_null(*as_independent(*tables, a.of_products(b, bits, bits)))


def capacity(one_from_zero: np.ndarray, zero_from_one: np.ndarray) -> np.ndarray:
    """Capacity in bits of a binary channel that turns 0 into 1 and 1 into 0 with these probabilities.

    Source: Silverman 1955.

    Example:
        >>> capacity(np.array([0.0, 0.11, 0.5]), np.array([0.0, 0.11, 0.5])).round(2).tolist()
        [1.0, 0.5, 0.0]
    """
    e0, e1 = np.asarray(one_from_zero, dtype=np.float64), np.asarray(zero_from_one, dtype=np.float64)
    gap = 1 - e0 - e1
    dead = np.abs(gap) < 1e-9
    gap = np.where(dead, 1.0, gap)
    h0, h1 = binary_entropy(e0), binary_entropy(e1)
    value = (e0 * h1 - (1 - e1) * h0) / gap + np.logaddexp(0, (h0 - h1) / gap * np.log(2)) / np.log(2)
    return np.where(dead, 0.0, np.clip(value, 0.0, 1.0))


def mean_rate_interval(a: Codes, b: Codes, units: np.ndarray | None) -> tuple[float, float]:
    """95 % interval of the share of bits that differ, over images or groups: Student's, of a ratio of two sums."""
    packed, unit = _flips([(a, b)], units)
    sums = [(sizes * a.bits, flips.sum(axis=1)) for sizes, flips in group_sums(packed, a.bits, unit)]
    size, flips = (np.concatenate(part) for part in zip(*sums, strict=True))
    rate, groups = flips.sum() / size.sum(), len(size)
    if groups < 2:
        return 0.0, 1.0
    error = np.sqrt(groups / (groups - 1) * ((flips - rate * size) ** 2).sum()) / size.sum()
    reach = special.stdtrit(groups - 1, 0.975) * error
    return float(max(rate - reach, 0.0)), float(min(rate + reach, 1.0))
