"""What survives between two views of the same images: each bit as a channel, and the code as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from codelab.core.attributes import Groups
from codelab.core.checks import check_codes, check_seed, need_items
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.formats import number, with_interval
from codelab.core.result import PerBit, Result, Source
from codelab.measures.code_length import LEAST as SHORTEST
from codelab.measures.code_length import code_length
from codelab.measures.info_nce import info_nce
from codelab.measures.view_bits import ViewCounts, mean_rate_interval, per_bit_figures
from codelab.statistics.clusters import group_units, one_of_each
from codelab.statistics.splits import half

if TYPE_CHECKING:
    import pandas as pd

LEAST = 8
"""Images, or groups, below which nothing is measured."""
ENOUGH = 100
"""Images, or groups, below which the bound of the whole code has no interval."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Channel(PerBit):
    """Per bit, arrays `[B]`; and the whole code.

    `flip_rate` how often the bit differs between the views, with its 95 % interval `low` to `high`; `chance` how
    often it would if the views had nothing in common; `kappa` = 1 - flip_rate / chance: 1 for a bit that always
    survives, 0 for one whose views are independent; `plugin` I(Z1; Z2) of the bit as counted and `information`
    corrected for chance, with `p_value` (exact), `q_value` (Benjamini-Hochberg) and `dependent_q_value`
    (Benjamini-Yekutieli, which holds however bits depend); `capacity` what the bit could carry if it were used at
    its best.

    `value` is a lower bound of I(Z1; Z2) of the whole code in bits, with the 95 % interval `value_low` to
    `value_high`; it cannot exceed `ceiling`, log2 of the number of images compared, so near the ceiling the truth
    may be far above, and there is no interval (NaN, and `note` says so) where it would reach the ceiling. The interval
    holds the mean of `value` over samples of as many images. `upper` bounds it from above: the held-out length of the
    code (None below 64 images).
    `information_sum` adds up the bits; it is neither bound unless the bits are independent. `groups` is their number,
    None without.

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
    dependent_q_value: np.ndarray
    capacity: np.ndarray
    information_sum: float
    value: float
    value_low: float
    value_high: float
    ceiling: float
    upper: float | None
    n: int
    groups: int | None = None
    note: str = ""
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
        "dependent_q_value",
        "capacity",
    )

    def headline(self) -> str:
        shared = with_interval(self.value, self.value_low, self.value_high)
        flips, chance = number(float(self.flip_rate.mean())), number(float(self.chance.mean()))
        note = f" ({self.note})" if self.note else ""
        return f"{shared} bits shared at least{note}; mean flip rate {flips} (by chance {chance})"


def channel(codes_a: Codes, codes_b: Codes, *, items: int = 4096, seed: int = 0, groups: Groups = None) -> Channel:
    """Information that the codes of two views of the same images share: the paper's Eq. 4.

    Args:
        codes_a: codes of one view of each image, `[N, B]`.
        codes_b: codes of another view, row by row the same images.
        items: at most this many images stand in the bound of the whole code, which compares each with all.
        seed: of their choice.
        groups: an item column of `codes_a`, or one value an image: images of one group are near copies. They are in
            one half, and the bound compares one image of each; bits have intervals and tests of as many independent
            images as the groups are worth.

    Returns:
        See `Channel`. The bound of the whole code is InfoNCE with a critic fitted on the other half of the images: the
        sum over bits of log P(z2 | z1) / P(z2), times a temperature, because bits that depend count evidence twice.

    Raises:
        DataError: the views are not of the same images, or fewer than 8 images or groups.
        UsageError: `items` below 2, or groups that are no column.

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
    units = group_units("channel", codes_a, groups, LEAST)
    counts = ViewCounts.of(codes_a, codes_b)
    need_items("channel", counts.n, least=LEAST)
    per_bit = per_bit_figures([(codes_a, codes_b)], units)
    fit, held_out = _halves(counts.n, units, items, np.random.default_rng(seed))
    value, reach = info_nce(codes_a, codes_b, fit, held_out, items, units)
    number, what = (counts.n, "images") if units is None else (int(units.max()) + 1, "groups")
    note, ceiling = "", float(np.log2(len(held_out)))
    if number < ENOUGH:
        reach, note = float("nan"), f"no interval below {ENOUGH} {what}"
    elif len(held_out) < LEAST:  # one group of half the images is a half by itself
        reach, note = float("nan"), f"one group is so large that only {len(held_out)} could be held out: no interval"
    elif value + reach > ceiling:  # it would be too wide, and say nothing of what is above the ceiling
        reach, note = float("nan"), f"near its ceiling of {ceiling:.1f} bits: no interval"
    return Channel(
        source=counts.source,
        seed=seed,
        **per_bit,
        information_sum=float(per_bit["information"].sum()),
        value=max(value, 0.0),
        value_low=float(np.maximum(value - reach, 0.0)),  # NaN stays
        value_high=float(np.maximum(value + reach, 0.0)),
        ceiling=ceiling,
        upper=code_length(codes_a, groups=groups).value if number >= SHORTEST else None,
        n=counts.n,
        groups=None if units is None else number,
        note=note,
    )


def _halves(n: int, units: np.ndarray | None, items: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Rows of the half to fit on, and those held out: one image of each group, at most `items`."""
    if units is None:
        order = generator.permutation(n)
        return np.flatnonzero(half(order)), np.sort(order[n // 2 :][:items])
    first = half(generator.permutation(int(units.max()) + 1), units)
    return np.flatnonzero(first), np.sort(one_of_each(generator.permutation(np.flatnonzero(~first)), units)[:items])


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewChannels(Result):
    """Channels from one view to each of several, by name: arrays `[V, B]`, and the mean over bits in the table.

    `low` to `high` is the 95 % interval of the `flip_rate` over images or groups, Wilson's, and `chance` its null: the
    rate of two views that have nothing in common. `mean_low` to `mean_high` `[V]` is that of the mean over bits,
    Student's. `groups` is their number, None without.

    The line quotes the views with the lowest and the highest mean flip rate.
    """

    names: tuple[str, ...]
    flip_rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    chance: np.ndarray
    kappa: np.ndarray
    information: np.ndarray
    mean_low: np.ndarray
    mean_high: np.ndarray
    groups: int | None = None

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
                "low": self.mean_low,
                "high": self.mean_high,
                "chance": self.chance.mean(axis=1),
                "kappa": self.kappa.mean(axis=1),
                "information_sum": self.information.sum(axis=1),
            }
        )


def view_channels(reference: Codes, views: Mapping[str, Codes], *, groups: Groups = None) -> ViewChannels:
    """Flip rates by augmentation: from the plain images to each kind of view of them.

    Args:
        reference: codes of the plain images, `[N, B]`.
        views: name of an augmentation -> codes of the same images seen through it. A name may stand for several draws:
            `{"blur": Codes.concat([...])}` needs the reference as often.
        groups: an item column of `reference`, or one value an image: images of one group are near copies.

    Returns:
        See `ViewChannels`.

    Raises:
        UsageError: no view, or groups that are no column.
        DataError: the views are not of the same images, or fewer than 2 groups.

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
    units = group_units("view_channels", reference, groups)
    found = [per_bit_figures([(reference, view)], units) for view in views.values()]
    arrays: dict[str, Any] = {
        name: np.stack([f[name] for f in found])
        for name in ("flip_rate", "low", "high", "chance", "kappa", "information")
    }
    ends = np.array([mean_rate_interval(reference, view, units) for view in views.values()])
    return ViewChannels(
        source=Source.of(reference),
        names=tuple(views),
        **arrays,
        mean_low=ends[:, 0],
        mean_high=ends[:, 1],
        groups=None if units is None else int(units.max()) + 1,
    )


def channel_of_views(views: list[Codes], *, items: int = 4096, seed: int = 0, groups: Groups = None) -> Channel:
    """`channel` over K views of the same images: bits counted over all pairs of views, the bound from the first two.

    Args:
        views: codes of K >= 2 views, row by row the same images.
        items: as in `channel`.
        seed: as in `channel`.
        groups: as in `channel`, of the first view.

    Raises:
        UsageError: fewer than 2 views.
        DataError: as `channel`.
    """
    for place, view in enumerate(views):
        check_codes(f"views[{place}]", view)
    if len(views) < 2:
        raise UsageError(f"views: found {len(views)}, expected at least 2")
    whole = channel(views[0], views[1], items=items, seed=seed, groups=groups)
    pairs = [(a, b) for i, a in enumerate(views) for b in views[i + 1 :]]
    per_bit = per_bit_figures(pairs, group_units("channel", views[0], groups))
    # the pairs of one image are not independent: the tests stay those of the first pair
    per_bit |= {name: getattr(whole, name) for name in ("p_value", "q_value", "dependent_q_value")}
    return dataclasses.replace(whole, **per_bit, information_sum=float(per_bit["information"].sum()))
