"""How often a bit is 1 in each class."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.checks import check_codes
from codelab.core.codes import Codes
from codelab.core.drawing import GREY, GRID, INK, ONE, blank, plain_name
from codelab.core.errors import DataError
from codelab.core.formats import number
from codelab.core.result import Result, Source
from codelab.statistics.intervals import wilson_interval

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


def bit_values(codes: Codes, bit: int) -> np.ndarray:
    """One bit of every item, bool `[N]`.

    Raises:
        UsageError: a bit the code does not have.
    """
    return np.frombuffer(codes.column(bit).unpack(), dtype=bool)


def _class_sides(codes: Codes, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Items, and items with bit = 1, of each class: int64 `[C]` each."""
    if codes.multilabel:
        return codes.labels.sum(axis=0, dtype=np.int64), codes.labels[values].sum(axis=0, dtype=np.int64)
    known = codes.labels >= 0
    size = len(codes.classes)
    return (
        np.bincount(codes.labels[known], minlength=size),
        np.bincount(codes.labels[known & values], minlength=size),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassShares(Result):
    """How often one bit is 1 in each class that occurs, arrays `[C]`, highest share first.

    `share` with its 95 % interval `low` to `high`, `n` items of the class, `classes` the names; `overall` is the
    share among all labelled items.

    The line quotes `overall`, and the classes with the highest and the lowest share.
    """

    bit: int
    classes: tuple[str, ...]
    n: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    overall: float

    def headline(self) -> str:
        ends = [f"{number(float(self.share[i]))} ({self.classes[i]})" for i in dict.fromkeys((0, len(self.share) - 1))]
        return f"bit {self.bit} is 1 in {number(self.overall)} of all, {' to '.join(ends)} of a class"

    def to_frame(self) -> pd.DataFrame:
        """One row a class."""
        import pandas as pd

        names = ("n", "share", "low", "high")
        return pd.DataFrame({"class": self.classes, **{name: getattr(self, name) for name in names}})

    def plot(self, most: int = 40) -> go.Figure:
        """Share of ones in each class with its 95 % interval; of many classes, the `most / 2` highest and lowest."""
        keep = np.arange(len(self.share))
        if len(keep) > most:
            keep = np.concatenate([keep[: most // 2], keep[-(most // 2) :]])
        keep = keep[::-1]  # Plotly draws the first bar lowest
        share, low, high = self.share[keep], self.low[keep], self.high[keep]
        figure = blank("share of images with bit = 1", "", height=90 + max(24 * len(keep), 60))
        figure.add_bar(
            y=np.arange(len(keep)),
            x=share,
            orientation="h",
            marker_color=ONE,
            error_x={"array": high - share, "arrayminus": share - low, "color": INK, "thickness": 1.2, "width": 3},
            customdata=np.column_stack([self.n[keep], low, high]),
            hovertemplate="%{x:.1%} of %{customdata[0]:d} images<br>95% interval %{customdata[1]:.1%} to "
            "%{customdata[2]:.1%}<extra></extra>",
        )
        figure.add_vline(
            self.overall,
            line={"color": GREY, "width": 1.5, "dash": "dot"},
            annotation={"text": f"all {self.overall:.0%}", "font": {"size": 11, "color": INK}, "yanchor": "bottom"},
        )
        names = [f"{plain_name(self.classes[i])}  {self.share[i]:.0%} " for i in keep]
        figure.update_yaxes(tickvals=np.arange(len(keep)), ticktext=names, showgrid=False, ticks="")
        figure.update_xaxes(range=[0, 1.005], dtick=0.25, tickformat=".0%", showgrid=True, gridcolor=GRID)
        figure.update_layout(margin={"r": 24})  # room to write 100%
        figure.update_layout(showlegend=False)
        return figure


def class_shares(codes: Codes, bit: int) -> ClassShares:
    """The share of ones of a bit in each class, with Wilson intervals.

    Args:
        codes: labelled codes `[N, B]`; multi-label items count in each of their classes.
        bit: which bit.

    Raises:
        DataError: no item has a label.
        UsageError: a bit the code does not have.

    Source: Wilson 1927 for the interval.

    Example:
        >>> codes = Codes.from_bits([[1], [1], [0], [0]], labels=["cat", "cat", "cat", "dog"])
        >>> shares = class_shares(codes, 0)
        >>> shares.classes, shares.share.round(2).tolist(), shares.overall
        (('cat', 'dog'), [0.67, 0.0], 0.5)
    """
    check_codes("codes", codes)
    values = bit_values(codes, bit)
    if not codes.labelled:
        raise DataError("class_shares: needs labels, and none of these codes has one")
    n, ones = _class_sides(codes, values)
    share = ones / np.maximum(n, 1)
    low, high = wilson_interval(ones, n)
    order = [int(c) for c in np.lexsort((-n, -share)) if n[c] > 0]
    known = codes.labels.any(axis=1) if codes.multilabel else codes.labels >= 0
    return ClassShares(
        source=Source.of(codes),
        bit=bit,
        classes=tuple(codes.classes[c] for c in order),
        n=n[order],
        share=share[order],
        low=low[order],
        high=high[order],
        overall=float(values[known].mean()),
    )
