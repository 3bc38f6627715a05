"""Images that show what a bit reads."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.attributes import group_column
from codelab.core.checks import check_codes, check_seed
from codelab.core.codes import Codes
from codelab.core.drawing import INK, ONE, ZERO, blank
from codelab.core.errors import DataError, UsageError
from codelab.core.result import Result, Source
from codelab.semantics.signatures import _class_sides, bit_values
from codelab.statistics.estimators import binary_entropy

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrast:
    """Images of one class on both sides of a bit: rows with bit = 0 and rows with bit = 1."""

    label: str
    zero: np.ndarray
    one: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exemplars(Result):
    """Row numbers of images that show a bit.

    `one` and `zero` are the surest of each side, surest first; `threshold` the least sure, from the 0 side to the 1
    side; `quantiles` evenly spaced ranks over the whole range, from the surest 0 to the surest 1. Without logits the
    sides are drawn at random and the last two are empty. `contrasts` are classes with images on both sides, those
    most evenly split first. `counts` `[K]` is the histogram of the logit over all items, `edges` `[K + 1]` its bins,
    with a border at the threshold 0; both None without logits. `chosen` is in words how the images were chosen.

    The line quotes how many images there are of each side, and how they were chosen.
    """

    bit: int
    one: np.ndarray
    zero: np.ndarray
    threshold: np.ndarray
    quantiles: np.ndarray
    contrasts: tuple[Contrast, ...]
    counts: np.ndarray | None
    edges: np.ndarray | None
    chosen: str

    def headline(self) -> str:
        sides = f"{len(self.one)} images on the 1 side, {len(self.zero)} on the 0 side"
        return f"bit {self.bit}: {sides}, {self.chosen}"

    def plot(self) -> go.Figure:
        """The logits of the bit over all images.

        Raises:
            DataError: the codes have no logits.
        """
        if self.counts is None or self.edges is None:
            raise DataError("exemplars: there is nothing to plot without logits; export the codes with --logits")
        figure = blank(f"logit of bit {self.bit}", "images", height=190)
        middle, width = (self.edges[:-1] + self.edges[1:]) / 2, float(self.edges[1] - self.edges[0])
        for side, colour, name in ((middle < 0, ZERO, "bit = 0"), (middle > 0, ONE, "bit = 1")):
            counts = self.counts[side]
            figure.add_bar(
                x=middle[side],
                y=counts,
                width=width,
                name=f"{name} ({counts.sum():,} images)",
                marker={"color": colour, "line": {"color": "white", "width": 0.5}},
                hovertemplate="logit about %{x:.2f}: %{y} images<extra></extra>",
            )
        figure.add_vline(0, line={"color": INK, "width": 1.2})
        return figure

    def to_frame(self) -> pd.DataFrame:
        """One row an image: `side`, `rank` in its list, `row`."""
        import pandas as pd

        lists = {name: getattr(self, name) for name in ("one", "threshold", "zero", "quantiles")}
        rows = [(side, rank, int(row)) for side, rows in lists.items() for rank, row in enumerate(rows)]
        return pd.DataFrame(rows, columns=["side", "rank", "row"])


def exemplars(
    codes: Codes, bit: int, *, count: int = 8, classes: int = 4, group: str | None = None, seed: int = 0
) -> Exemplars:
    """Images that show what a bit reads: its two sides, its threshold, its whole range, and contrasts within classes.

    These are for looking, never for scoring: they are chosen and shown on the same items.

    Args:
        codes: codes `[N, B]`; with logits the images are ranked by margin.
        bit: which bit.
        count: images in each list.
        classes: the most contrasts to give; each has up to `count // 2` images a side.
        group: an item column; at most one image of each value is shown in a list, so that near copies of one thing
            do not fill it.
        seed: of the draw where there are no logits.

    Returns:
        Row numbers; see `Exemplars`.

    Raises:
        UsageError: a bit the code does not have, a group column the items do not have, or count below 1.

    Example:
        >>> logits = np.array([[-2.0], [0.1], [3.0], [-0.2]])
        >>> found = exemplars(Codes.from_logits(logits), 0, count=2)
        >>> found.one.tolist(), found.zero.tolist(), found.threshold.tolist()
        ([2, 1], [0, 3], [3, 1])
    """
    check_codes("codes", codes)
    if count < 1:
        raise UsageError(f"count {count}: expected at least 1")
    check_seed(seed)
    values = bit_values(codes, bit)
    keys = None if group is None else group_column(codes, group)
    generator = np.random.default_rng(seed)
    threshold = spread = counts = edges = None
    if codes.logits is None:
        ranked = generator.permutation(len(codes))  # a place in a random order, in place of a margin
        chosen = f"drawn at random (seed {seed}): these codes have no logits to rank by"
        up = ranked
    else:
        margins = codes.logits[:, bit].astype(np.float32)
        up = np.argsort(margins, kind="stable")
        near = _first(np.argsort(np.abs(margins), kind="stable"), keys, count)
        threshold = near[np.argsort(margins[near], kind="stable")]
        spread = _spread(up, keys, count)
        counts, edges = _histogram(margins)
        chosen = "ranked by logit, how far the image lies from the bit's threshold"
    if group is not None:
        chosen += f"; at most one image for each {group}"
    down = up[::-1]
    none = np.empty(0, dtype=np.int64)
    return Exemplars(
        source=Source.of(codes),
        seed=seed if codes.logits is None else None,
        bit=bit,
        one=_first(down[values[down]], keys, count),
        zero=_first(up[~values[up]], keys, count),
        threshold=none if threshold is None else threshold,
        quantiles=none if spread is None else spread,
        contrasts=_contrasts(codes, values, up, keys, max(1, count // 2), classes) if codes.labelled else (),
        counts=counts,
        edges=edges,
        chosen=chosen,
    )


def _first(order: np.ndarray, keys: np.ndarray | None, count: int) -> np.ndarray:
    """The first `count` rows of an order, of each group only the first."""
    if keys is None:
        return order[:count]
    _, first = np.unique(keys[order], return_index=True)
    return order[np.sort(first)[:count]]


def _spread(order: np.ndarray, keys: np.ndarray | None, count: int) -> np.ndarray:
    """`count` rows at even steps of an order, ends included."""
    if keys is not None:
        order = _first(order, keys, len(order))
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.int64)
    return order[places]


def _histogram(margins: np.ndarray, bins: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Counts and edges of about `bins` equal bins, with an edge at 0."""
    low, high = float(margins.min(initial=0)), float(margins.max(initial=0))
    size = max(high - low, 1e-6) / bins
    first, last = min(np.floor(low / size), -1), max(np.ceil(high / size), 1)  # both sides have a bin, if an empty one
    edges = np.arange(first, last + 1) * size
    # bins are (edge, next edge], as a bit is 1 where its logit is > 0 and not at 0
    place = np.clip(np.searchsorted(edges, margins, side="left") - 1, 0, len(edges) - 2)
    return np.bincount(place, minlength=len(edges) - 1), edges


def _contrasts(
    codes: Codes, values: np.ndarray, up: np.ndarray, keys: np.ndarray | None, each: int, classes: int
) -> tuple[Contrast, ...]:
    """Classes with images on both sides, most evenly split first; the surest images of each side."""
    n, ones = _class_sides(codes, values)
    fewest = np.minimum(ones, n - ones)
    balance = binary_entropy(ones / np.maximum(n, 1)) + (fewest >= each)  # full rows before half-empty ones
    best = [int(c) for c in np.argsort(-balance, kind="stable")[:classes] if fewest[c] > 0]
    found = []
    for c in best:
        member = codes.labels[:, c] if codes.multilabel else codes.labels == c
        inside = up[member[up]]
        zero = _first(inside[~values[inside]], keys, each)
        one = _first(inside[values[inside]][::-1], keys, each)
        found.append(Contrast(label=codes.classes[c], zero=zero, one=one))
    return tuple(found)
