"""Images that show what a bit reads."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from codelab.core.attributes import group_column
from codelab.core.checks import check_codes, check_seed, check_whole
from codelab.core.codes import Codes
from codelab.core.drawing import INK, ONE, ZERO, blank
from codelab.core.errors import DataError, few
from codelab.core.result import Result, Source
from codelab.kernels.counting import column_counts
from codelab.semantics.signatures import _class_sides, bit_values
from codelab.statistics.estimators import binary_entropy
from codelab.statistics.exchange import places
from codelab.statistics.phi import phi_of_counts

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


RELATED = 8
"""Bits, at most, whose agreement orders the images where there are no logits."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrast:
    """Images of one class on both sides of a bit: rows with bit = 0 and rows with bit = 1."""

    label: str
    zero: np.ndarray
    one: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bin:
    """Images between two quantiles, `low` < value <= `high` (the lowest bin includes its `low`).

    `share` of all images lie there, and the bit is 1 in `ones` of them; `rows` are examples, of as many classes as
    there are, one from each in turn.
    """

    low: float
    high: float
    share: float
    ones: float
    rows: np.ndarray

    def __str__(self) -> str:
        """Such as `-1.5 to -0.25: contains 12 % of the images`."""
        return f"{self.low:.3g} to {self.high:.3g}: contains {100 * self.share:.0f} % of the images"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exemplars(Result):
    """Row numbers of images that show a bit.

    `one` and `zero` are the surest of each side, surest first; `threshold` the least sure, from the 0 side to the 1
    side; `quantiles` evenly spaced ranks over the whole range, from the surest 0 to the surest 1. `bins` are quantile
    bins of the logit, lowest first, with a border at the threshold 0. `contrasts` are classes with images on both
    sides, those most evenly split first. `counts` `[K]` is the histogram of the logit over all items, `edges`
    `[K + 1]` its bins, with a border at the threshold 0; both None without logits.

    Without logits `threshold` and `quantiles` are empty; images are ordered, and `bins` are made, by their agreement
    with the bits `related`, those that depend most on this bit. Where no bit does, the sides are drawn at random and
    there are no bins. `chosen` is in words how the images were chosen.

    The line quotes how many images there are of each side, and how they were chosen.
    """

    bit: int
    one: np.ndarray
    zero: np.ndarray
    threshold: np.ndarray
    quantiles: np.ndarray
    bins: tuple[Bin, ...]
    related: tuple[int, ...]
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
        """One row an image: `side` (`bin 1` is the lowest), `rank` in its list, `row`."""
        import pandas as pd

        lists = {name: getattr(self, name) for name in ("one", "threshold", "zero", "quantiles")}
        lists |= {f"bin {place + 1}": found.rows for place, found in enumerate(self.bins)}
        rows = [(side, rank, int(row)) for side, rows in lists.items() for rank, row in enumerate(rows)]
        return pd.DataFrame(rows, columns=["side", "rank", "row"])


def exemplars(
    codes: Codes,
    bit: int,
    *,
    count: int = 8,
    classes: int = 4,
    bins: int = 8,
    group: str | None = None,
    seed: int = 0,
) -> Exemplars:
    """Images that show what a bit reads: its two sides, its threshold, its whole range, and contrasts within classes.

    Without logits an image's agreement with the bits that depend on this bit takes their place,

        s_i = sum_j phi_j (2 x_ij - 1) / sum_j |phi_j|

    over the at most 8 bits j with the largest |phi| that is significant (p < .05, Bonferroni over the bits).

    These are for looking, never for scoring: they are chosen and shown on the same items.

    Args:
        codes: codes `[N, B]`; with logits the images are ranked by margin, without them by agreement.
        bit: which bit.
        count: images in each list.
        classes: the most contrasts to give; each has up to `count // 2` images a side.
        bins: quantile bins; equal values stay together, so there may be fewer, and one more ends at the threshold.
        group: an item column; at most one image of each value is shown in a list, so that near copies of one thing
            do not fill it.
        seed: of the draws within bins, and of the order of equal images.

    Returns:
        Row numbers; see `Exemplars`.

    Raises:
        UsageError: a bit the code does not have, a group column the items do not have, count or bins below 1, or
            classes below 0.

    Example:
        >>> logits = np.array([[-2.0], [0.1], [3.0], [-0.2]])
        >>> found = exemplars(Codes.from_logits(logits), 0, count=2)
        >>> found.one.tolist(), found.zero.tolist(), found.threshold.tolist()
        ([2, 1], [0, 3], [3, 1])
        >>> [str(part) for part in exemplars(Codes.from_logits(logits), 0, bins=2).bins]
        ['-2 to 0: contains 50 % of the images', '0 to 3: contains 50 % of the images']
    """
    check_codes("codes", codes)
    check_whole("count", count, 1)
    check_whole("classes", classes, 0)
    check_whole("bins", bins, 1)
    check_seed(seed)
    values = bit_values(codes, bit)
    keys = None if group is None else group_column(codes, group)
    generator = np.random.default_rng(seed)
    threshold = spread = counts = edges = margins = None
    related: tuple[int, ...] = ()
    if codes.logits is not None:
        margins = codes.logits[:, bit].astype(np.float32)
        up = np.argsort(margins, kind="stable")
        near = _first(np.argsort(np.abs(margins), kind="stable"), keys, count)
        threshold = near[np.argsort(margins[near], kind="stable")]
        spread = _spread(up, keys, count)
        counts, edges = _histogram(margins)
        chosen = "ranked by logit, how far the image lies from the bit's threshold"
    else:
        up = generator.permutation(len(codes))  # a place in a random order, in place of a margin
        related, ranks, margins = _agreement(codes, bit, values, len(codes) if keys is None else _groups(keys))
        if ranks is None:
            chosen = f"drawn at random (seed {seed}): these codes have no logits to rank by, and no bit depends on it"
        else:
            up = up[np.argsort(ranks[up], kind="stable")]
            names = few([str(b) for b in related], RELATED)
            chosen = f"ordered by agreement with the bits that depend most on it ({names}): these codes have no logits"
    if group is not None:
        chosen += f"; at most one image for each {group}"
    down = up[::-1]
    none = np.empty(0, dtype=np.int64)
    return Exemplars(
        source=Source.of(codes),
        seed=seed,
        bit=bit,
        one=_first(down[values[down]], keys, count),
        zero=_first(up[~values[up]], keys, count),
        threshold=none if threshold is None else threshold,
        quantiles=none if spread is None else spread,
        bins=() if margins is None else _bins(codes, values, margins, bins, keys, count, generator),
        related=related,
        contrasts=_contrasts(codes, values, up, keys, max(1, count // 2), classes) if codes.labelled else (),
        counts=counts,
        edges=edges,
        chosen=chosen,
    )


def _groups(keys: np.ndarray) -> int:
    return int(keys.max(initial=0)) + 1


def _agreement(
    codes: Codes, bit: int, values: np.ndarray, independent: int
) -> tuple[tuple[int, ...], np.ndarray | None, np.ndarray | None]:
    """The bits that depend most on a bit, and each image's agreement with them, -1 to 1; none where no bit does.

    Args:
        values: the bit, bool `[N]`.
        independent: images that count, near copies once.

    Returns:
        The bits; the agreement as a rank, uint8 `[N]`, which is quick to sort by; the agreement itself.
    """
    ones = column_counts(codes.packed, codes.bits)
    both = column_counts(codes.packed[values], codes.bits)
    phi = phi_of_counts(both, ones[bit], ones, len(codes))
    phi[bit] = 0
    least = -ndtri(0.025 / max(codes.bits - 1, 1)) / max(independent, 1) ** 0.5
    order = np.argsort(-np.abs(phi), kind="stable")[:RELATED]
    related = tuple(int(b) for b in order if abs(phi[b]) > least)
    if not related:
        return (), None, None
    # at most 8 bits have at most 256 patterns: each has its agreement once
    pattern = np.zeros(len(codes), np.uint8)
    for place, b in enumerate(related):
        pattern |= bit_values(codes, b).view(np.uint8) << np.uint8(place)
    signs = 2.0 * (np.arange(256)[:, None] >> np.arange(len(related)) & 1) - 1
    agreement = sum(phi[b] * signs[:, place] for place, b in enumerate(related)) / np.abs(phi[list(related)]).sum()
    rank = np.unique(agreement, return_inverse=True)[1].reshape(-1).astype(np.uint8)
    return related, rank[pattern], agreement[pattern]


def _bins(
    codes: Codes,
    values: np.ndarray,
    margins: np.ndarray,
    bins: int,
    keys: np.ndarray | None,
    count: int,
    generator: np.random.Generator,
) -> tuple[Bin, ...]:
    """Quantile bins of the margins, with a border at 0, and up to `count` images of each."""
    if not len(margins):
        return ()
    low = margins.min()
    ends = np.unique(np.quantile(margins, np.arange(1, bins + 1) / bins, method="inverted_cdf"))  # values that occur
    if low <= 0 < margins.max() and 0 not in ends:
        before = ends[ends < 0]
        if len(before) and not ((margins > before[-1]) & (margins <= 0)).any():
            ends = ends[ends != before[-1]]
        ends = np.sort(np.append(ends, 0))
    place = np.searchsorted(ends, margins, side="left")
    found = []
    for number, (start, end) in enumerate(zip([low, *ends[:-1]], ends, strict=True)):
        inside = np.flatnonzero(place == number)
        rows = _balanced(codes, _first(generator.permutation(inside), keys, len(inside)), count)
        share, ones = len(inside) / len(margins), float(values[inside].mean())
        found.append(Bin(low=float(start), high=float(end), share=share, ones=ones, rows=rows))
    return tuple(found)


def _balanced(codes: Codes, order: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` rows of an order, of each class one in turn; an image of several classes is of its first."""
    for start in (order[: 16 * count], order):  # so many images mostly have `count` classes
        labels = _one_class(codes, start)
        first = np.sort(np.unique(labels, return_index=True)[1])[:count]
        if len(first) == count:
            return start[first]
    turn = places(np.unique(labels, return_inverse=True)[1].reshape(-1))[2]
    return order[np.argsort(turn, kind="stable")[:count]]


def _one_class(codes: Codes, rows: np.ndarray) -> np.ndarray:
    labels = codes.labels[rows]
    return np.where(labels.any(axis=1), labels.argmax(axis=1), -1) if codes.multilabel else labels


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
