"""Is each bit used, and how many independent bits are there?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.attributes import Groups
from codelab.core.checks import need_items
from codelab.core.codes import Codes
from codelab.core.drawing import BLUE, ORANGE, VERMILLION, blank, level_line
from codelab.core.formats import number
from codelab.core.result import PerBit, Result
from codelab.core.verdict import Level, Verdict, counted, level_from
from codelab.statistics.clusters import DesignEffects, group_units
from codelab.statistics.counts import BitCounts
from codelab.statistics.estimators import binary_entropy
from codelab.statistics.intervals import wilson_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

RARE = 0.05
"""A bit whose rarer value has a share below this is `rare`."""
MEAN_ENTROPY = (0.85, 0.6)
"""Mean entropy of a bit: good from the first, bad below the second. A trained BITS code has about 0.9."""
ONE_IMAGE = "Not measured: one image cannot show whether a bit changes."
UNUSED = (0.05, 0.25)
"""Share of bits that are dead or rare: good up to the first, bad above the second."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitUsage(PerBit):
    """Per bit, arrays `[B]`: `p` the share of ones, its 95 % interval `low` to `high`, `entropy` in bits, `state`.

    `groups` is their number, None without.

    The line quotes how many bits are active, rare and dead, and the mean entropy.
    """

    p: np.ndarray
    low: np.ndarray
    high: np.ndarray
    entropy: np.ndarray
    state: np.ndarray
    groups: int | None = None
    estimator: str = "interval: Wilson's over images"

    COLUMNS = ("p", "low", "high", "entropy", "state")

    def headline(self) -> str:
        counts = ", ".join(f"{int((self.state == name).sum())} {name}" for name in ("active", "rare", "dead"))
        return f"{counts}; mean entropy {number(self.value)} bit"

    @property
    def value(self) -> float:
        """Mean entropy of a bit."""
        return float(self.entropy.mean())

    @property
    def dead(self) -> int:
        """Bits that never change."""
        return int((self.state == "dead").sum())

    @property
    def rare(self) -> int:
        """Bits with one value in hardly any image."""
        return int((self.state == "rare").sum())

    def plot(self) -> go.Figure:
        """Share of ones of every bit, lowest first, with its interval; the bands of rare bits are shaded."""
        order = np.argsort(self.p, kind="stable")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        figure = blank("bits, in order of their share", "share of ones")
        for low, high in ((0, RARE), (1 - RARE, 1)):
            figure.add_hrect(low, high, fillcolor=VERMILLION, opacity=0.08, line_width=0)
        figure.add_hline(**level_line(0.5))
        colours = {"active": BLUE, "rare": ORANGE, "dead": VERMILLION}
        for state, colour in colours.items():
            bits = order[self.state[order] == state]
            if len(bits):
                figure.add_scatter(
                    x=place[bits],
                    y=self.p[bits],
                    error_y={
                        "array": self.high[bits] - self.p[bits],
                        "arrayminus": self.p[bits] - self.low[bits],
                        "width": 0,
                        "thickness": 1,
                    },
                    mode="markers",
                    name=f"{state} ({len(bits)})",
                    marker={"color": colour, "size": 7, "symbol": "circle" if state == "active" else "diamond"},
                    customdata=np.column_stack([bits, self.entropy[bits]]),
                    hovertemplate="bit %{customdata[0]:d}<br>share of ones %{y:.3f}<br>"
                    "entropy %{customdata[1]:.3f} bit<extra></extra>",
                )
        figure.update_xaxes(showticklabels=False, ticks="")
        figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")
        figure.update_layout(showlegend=True)
        return figure


def bit_usage(codes: Codes | BitCounts, *, groups: Groups = None) -> BitUsage:
    """How often each bit is 1, and whether it is in use.

    Args:
        codes: codes `[N, B]`, or their `BitCounts`.
        groups: an item column, or one value an image: images of one group are near copies, and the interval is that of
            as many independent images as they are worth; see `DesignEffects`.

    Returns:
        `p`, the Wilson interval `low` to `high` of it, `entropy` in bits, and `state`: `dead` where all items agree,
        `rare` where the rarer value has a share below 0.05, else `active`.

    Raises:
        DataError: there are no codes, or fewer than 2 groups.
        UsageError: groups that are no column, or with counts.

    Source: Wilson 1927 for the interval; with groups: Korn & Graubard 1998.

    Example:
        >>> usage = bit_usage(Codes.from_bits([[1, 0], [0, 0], [1, 0], [0, 0]]))
        >>> usage.p.tolist(), usage.entropy.tolist(), usage.state.tolist()
        ([0.5, 0.0], [1.0, 0.0], ['active', 'dead'])
    """
    counts = BitCounts.of(codes)
    n = need_items("bit_usage", counts.n)
    p = counts.ones / n
    units, kind = group_units("bit_usage", codes, groups), BitUsage.estimator
    if units is None:
        low, high = wilson_interval(counts.ones, n)
    else:
        assert isinstance(codes, Codes)  # noqa: S101  counts with groups were refused
        effects = DesignEffects.of(codes.packed, codes.bits, units)
        low, high = wilson_interval(p * effects.effective(), effects.effective())
        kind = f"interval: Wilson's, with the number of images that {effects.groups} groups are worth"
    rarer = np.minimum(p, 1 - p)
    state = np.where(rarer == 0, "dead", np.where(rarer < RARE, "rare", "active"))
    return BitUsage(
        source=counts.source,
        p=p,
        low=low,
        high=high,
        entropy=binary_entropy(p),
        state=state,
        groups=None if units is None else int(units.max()) + 1,
        estimator=kind,
    )


def judge_balance(title: str, usage: BitUsage, results: Mapping[str, Result]) -> Verdict:
    """Is each bit 1 about half of the time?"""
    if usage.source is not None and usage.source.n < 2:
        return Verdict("note", title, "", ONE_IMAGE)
    level = level_from(usage.value, MEAN_ENTROPY)
    meaning = {
        "good": "a typical bit is 1 nearly as often as 0, so it can tell images apart",
        "watch": "many bits are 1 too often or too seldom",
        "bad": "most bits hardly change from image to image: the code has collapsed",
    }[level]
    return Verdict(
        level,
        title,
        f"{usage.value:.2f} bit",
        f"Mean entropy of a bit is {usage.value:.2f} of 1: {meaning}.",
        f"good from {MEAN_ENTROPY[0]}, bad below {MEAN_ENTROPY[1]}",
    )


def judge_use(title: str, usage: BitUsage, results: Mapping[str, Result]) -> Verdict:
    """Do all bits take both values?"""
    if usage.source is not None and usage.source.n < 2:
        return Verdict("note", title, "", ONE_IMAGE)
    bits, dead, rare = len(usage.p), usage.dead, usage.rare
    share = (dead + rare) / bits
    level: Level = "good" if share <= UNUSED[0] else "watch" if share <= UNUSED[1] else "bad"
    text = (
        f"{counted(dead, 'bit')} never {'changes' if dead == 1 else 'change'} (dead); {counted(rare, 'bit').lower()} "
        f"{'has' if rare == 1 else 'have'} one value in fewer than {RARE:.0%} of the images (rare)."
    )
    if dead + rare == 0:
        text = f"Every bit takes both its values in at least {RARE:.0%} of the images: none is dead, none is rare."
    return Verdict(
        level,
        title,
        f"{bits - dead - rare} of {bits}",
        text,
        f"good up to {UNUSED[0]:.0%} dead or rare, bad above {UNUSED[1]:.0%}",
    )
