"""What survives between two views of the same images: each bit as a channel, and the code as a whole."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from codelab.core.checks import check_codes, check_seed, need_items
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number, with_interval
from codelab.core.result import PerBit, Result, Source
from codelab.kernels.counting import column_counts
from codelab.measures.code_length import code_length
from codelab.statistics.counts import Counts, total
from codelab.statistics.estimators import binary_entropy, table_information
from codelab.statistics.intervals import normal_half_width, wilson_interval
from codelab.statistics.nulls import false_discovery, pair_null
from codelab.statistics.splits import half

if TYPE_CHECKING:
    import pandas as pd


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Channel(PerBit):
    """Per bit, arrays `[B]`; and the whole code.

    `flip_rate` how often the bit differs between the views, with its 95 % interval `low` to `high`; `chance` how
    often it would if the views had nothing in common; `kappa` = 1 - flip_rate / chance: 1 for a bit that always
    survives, 0 for one whose views are independent; `plugin` I(Z1; Z2) of the bit as counted and `information`
    corrected for chance, with `p_value` (exact) and `q_value`; `capacity` what the bit could carry if it were used at
    its best.

    `value` is a lower bound of I(Z1; Z2) of the whole code in bits, with the 95 % interval `value_low` to
    `value_high`; it cannot exceed `ceiling`, log2 of the number of images compared, so near the ceiling the truth
    may be far above. `upper` bounds it from above: the held-out length of the code (None below 64 images).
    `information_sum` adds up the bits; it is neither bound unless the bits are independent.

    The line quotes `value` with its interval, and the mean flip rate beside chance.
    """

    flip_rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    chance: np.ndarray
    kappa: np.ndarray
    plugin: np.ndarray
    information: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    capacity: np.ndarray
    information_sum: float
    value: float
    value_low: float
    value_high: float
    ceiling: float
    upper: float | None
    n: int
    estimator: str = "bits: plug-in less its exact permutation mean; whole code: InfoNCE on held-out images"

    COLUMNS = (
        "flip_rate",
        "low",
        "high",
        "chance",
        "kappa",
        "plugin",
        "information",
        "p_value",
        "q_value",
        "capacity",
    )

    def headline(self) -> str:
        shared = with_interval(self.value, self.value_low, self.value_high)
        flips, chance = number(float(self.flip_rate.mean())), number(float(self.chance.mean()))
        return f"{shared} bits shared at least; mean flip rate {flips} (by chance {chance})"


def channel(codes_a: Codes, codes_b: Codes, *, items: int = 4096, seed: int = 0) -> Channel:
    """Information that the codes of two views of the same images share: the paper's Eq. 4.

    Args:
        codes_a: codes of one view of each image, `[N, B]`.
        codes_b: codes of another view, row by row the same images.
        items: at most this many images stand in the bound of the whole code, which compares each with all.
        seed: of their choice.

    Returns:
        See `Channel`. The bound of the whole code is InfoNCE with a critic fitted on the other half of the images: the
        sum over bits of log P(z2 | z1) / P(z2), times a temperature, because bits that depend count evidence twice.

    Raises:
        DataError: the views are not of the same images, or fewer than 8 images.
        UsageError: `items` below 2.

    Source: Eq. 4 of the paper; van den Oord et al. 2018 and Poole et al. 2019 for the bound; kappa: Cohen 1960.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> one = rng.integers(0, 2, (4000, 2))
        >>> other = one ^ (rng.random((4000, 2)) < [0.0, 0.11])
        >>> found = channel(Codes.from_bits(one), Codes.from_bits(other))
        >>> found.flip_rate.round(2).tolist(), found.information.round(1).tolist(), round(found.value, 1)
        ([0.0, 0.11], [1.0, 0.5], 1.5)
    """
    check_codes("codes_a", codes_a)
    check_codes("codes_b", codes_b)
    if items < 2:
        raise UsageError(f"items {items}: expected at least 2")
    check_seed(seed)
    counts = ViewCounts.of(codes_a, codes_b)
    need_items("channel", counts.n, least=8)
    per_bit = _per_bit(counts)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(codes_a))
    fit, held_out = np.flatnonzero(half(order)), np.sort(order[len(order) // 2 :][:items])
    scores = _bound(codes_a, codes_b, fit, held_out, items)
    error = normal_half_width(scores)
    return Channel(
        source=counts.source,
        seed=seed,
        **per_bit,
        information_sum=float(per_bit["information"].sum()),
        value=max(float(scores.mean()), 0.0),
        value_low=max(float(scores.mean()) - error, 0.0),
        value_high=max(float(scores.mean()) + error, 0.0),
        ceiling=float(np.log2(len(held_out))),
        upper=code_length(codes_a).value if len(codes_a) >= 64 else None,
        n=counts.n,
    )


def _per_bit(counts: ViewCounts) -> dict[str, Any]:
    n, a, b, both = counts.n, counts.ones_a, counts.ones_b, counts.both
    flips = a + b - 2 * both
    low, high = wilson_interval(flips, n)
    p, q = a / n, b / n
    chance = p * (1 - q) + q * (1 - p)
    rate = flips / n
    tables = np.stack([both, b - both], axis=-1)  # ones of view b where view a is 1, and where it is 0
    plugin = np.array([table_information(t, np.array([k, n - k])) for t, k in zip(tables, a, strict=True)])
    mean, p_value = pair_null(a, b, both, n)
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
        "capacity": np.where(
            varies,
            capacity(
                np.divide(b - both, n - a, out=np.zeros_like(p), where=a < n),
                np.divide(a - both, a, out=np.zeros_like(p), where=a > 0),
            ),
            0.0,
        ),
    }


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


def _bound(a: Codes, b: Codes, fit: np.ndarray, held_out: np.ndarray, items: int) -> np.ndarray:
    """InfoNCE terms in bits of the held-out images: each pair of views against all others."""
    counts = ViewCounts.of(a[fit], b[fit])
    n, ones, both = counts.n, counts.ones_a, counts.both
    p_one = (counts.ones_b + 0.5) / (n + 1)
    from_one = (both + 0.5) / (ones + 1)
    from_zero = (counts.ones_b - both + 0.5) / (n - ones + 1)
    # log P(z2 | z1) / P(z2) of a bit is one of four numbers, so that of a pair of codes is a product of matrices
    weights = np.stack([np.log(from_zero / p_one), np.log(from_one / p_one)])
    weights_zero = np.stack([np.log((1 - from_zero) / (1 - p_one)), np.log((1 - from_one) / (1 - p_one))])

    def critic(rows: np.ndarray) -> np.ndarray:
        x, y = a[rows].to_bits().astype(np.float64), b[rows].to_bits().astype(np.float64)
        one = weights[0] + x * (weights[1] - weights[0])
        zero = weights_zero[0] + x * (weights_zero[1] - weights_zero[0])
        return one @ y.T + zero @ (1 - y).T

    def terms(scores: np.ndarray) -> np.ndarray:
        chance = special.logsumexp(scores, axis=1) - np.log(len(scores))
        return (np.diagonal(scores) - chance) / np.log(2)

    tried = critic(fit[: min(items, 1024)])
    temperatures = 2.0 ** np.arange(-5, 1.5, 0.5)
    best = max(temperatures, key=lambda t: float(terms(t * tried).mean()))
    return terms(best * critic(held_out))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewChannels(Result):
    """Channels from one view to each of several, by name: arrays `[V, B]`, and the mean over bits in the table.

    `low` to `high` is the 95 % Wilson interval of the `flip_rate` over images, and `chance` its null: the rate of two
    views that have nothing in common.

    The line quotes the views with the lowest and the highest mean flip rate.
    """

    names: tuple[str, ...]
    flip_rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    chance: np.ndarray
    kappa: np.ndarray
    information: np.ndarray

    def headline(self) -> str:
        rates = self.flip_rate.mean(axis=1)
        ends = [(float(rates[i]), self.names[i]) for i in (int(rates.argmin()), int(rates.argmax()))]
        return f"{len(self.names)} views; mean flip rate " + " to ".join(f"{number(r)} ({name})" for r, name in ends)

    def to_frame(self) -> pd.DataFrame:
        """One row a view: means over bits, and the information summed over bits."""
        import pandas as pd

        return pd.DataFrame(
            {
                "view": self.names,
                "flip_rate": self.flip_rate.mean(axis=1),
                "low": self.low.mean(axis=1),
                "high": self.high.mean(axis=1),
                "chance": self.chance.mean(axis=1),
                "kappa": self.kappa.mean(axis=1),
                "information_sum": self.information.sum(axis=1),
            }
        )


def view_channels(reference: Codes, views: Mapping[str, Codes]) -> ViewChannels:
    """Flip rates by augmentation: from the plain images to each kind of view of them.

    Args:
        reference: codes of the plain images, `[N, B]`.
        views: name of an augmentation -> codes of the same images seen through it. A name may stand for several draws:
            `{"blur": Codes.concat([...])}` needs the reference as often.

    Returns:
        See `ViewChannels`.

    Raises:
        UsageError: no view.
        DataError: the views are not of the same images.

    Example:
        >>> plain = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (100, 4)))
        >>> view_channels(plain, {"same": plain}).flip_rate.tolist()
        [[0.0, 0.0, 0.0, 0.0]]
    """
    check_codes("reference", reference)
    if not isinstance(views, Mapping):
        raise UsageError(f"views: expected a mapping of names to Codes, found {type(views).__name__}")
    for name, view in views.items():
        check_codes(f"views[{name!r}]", view)
    if not views:
        raise UsageError("view_channels: no view given")
    found = [_per_bit(ViewCounts.of(reference, view)) for view in views.values()]
    arrays: dict[str, Any] = {
        name: np.stack([f[name] for f in found])
        for name in ("flip_rate", "low", "high", "chance", "kappa", "information")
    }
    return ViewChannels(source=Source.of(reference), names=tuple(views), **arrays)


def channel_of_views(views: list[Codes], *, items: int = 4096, seed: int = 0) -> Channel:
    """`channel` over K views of the same images: bits counted over all pairs of views, the bound from the first two.

    Args:
        views: codes of K >= 2 views, row by row the same images.
        items: as in `channel`.
        seed: as in `channel`.

    Raises:
        UsageError: fewer than 2 views.
        DataError: as `channel`.
    """
    for place, view in enumerate(views):
        check_codes(f"views[{place}]", view)
    if len(views) < 2:
        raise UsageError(f"views: found {len(views)}, expected at least 2")
    whole = channel(views[0], views[1], items=items, seed=seed)
    pairs = [(a, b) for i, a in enumerate(views) for b in views[i + 1 :]]
    together = total(ViewCounts.of(a, b) for a, b in pairs)
    per_bit = _per_bit(together)
    # the pairs of one image are not independent: the tests stay those of the first pair
    per_bit |= {name: getattr(whole, name) for name in ("p_value", "q_value")}
    per_bit["low"], per_bit["high"] = wilson_interval(per_bit["flip_rate"] * whole.n, whole.n)
    return dataclasses.replace(whole, **per_bit, information_sum=float(per_bit["information"].sum()))
