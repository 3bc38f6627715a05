"""How far apart codes lie: Hamming distances of pairs, of one class, of two classes, and of independent bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.bits import differing
from codelab.core.checks import check_codes, check_seed
from codelab.core.codes import Codes
from codelab.core.drawing import DIFFERENT, GREY, INK, SAME, blank
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number
from codelab.core.result import Result, Source
from codelab.core.verdict import Verdict
from codelab.kernels.counting import column_counts

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

NEARER = 0.55
"""P(same-class pair nearer than different-class pair): good from here, worth a look below. Chance is 0.5."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairDistances(Result):
    """Histograms over the distances 0 to B, each `[B + 1]`.

    `every` counts pairs of two different items drawn at random, `same` pairs of one class, `different` pairs of two
    classes (both None where there are no labels, or no such pair). `independent` is the exact distribution, summing
    to 1, that bits with the same shares of ones would have if they were independent. `value` is the probability that
    a pair of one class is nearer than a pair of two classes, a tie counting half (NaN without labels).

    The line quotes `value` beside chance; without labels the mean distance.
    """

    every: np.ndarray
    same: np.ndarray | None
    different: np.ndarray | None
    independent: np.ndarray
    pairs: int

    def headline(self) -> str:
        if self.same is None or self.different is None:
            mean = float(self.every @ np.arange(len(self.every)) / max(self.every.sum(), 1))
            return f"mean distance {number(mean)} bits over {self.pairs:,} pairs"
        return f"{number(self.value)} of pairs of one class nearer than of two (chance {number(0.5)})"

    @property
    def value(self) -> float:
        """P(a pair of one class is nearer than a pair of two classes): 0.5 is chance, 1 is perfect."""
        if self.same is None or self.different is None:
            return float("nan")
        same, different = self.same / self.same.sum(), self.different / self.different.sum()
        farther = 1 - np.cumsum(different)
        return float(same @ (farther + different / 2))

    def to_frame(self) -> pd.DataFrame:
        """One row a distance."""
        import pandas as pd

        columns = {"every": self.every, "same": self.same, "different": self.different}
        present = {name: values for name, values in columns.items() if values is not None}
        return pd.DataFrame({"distance": range(len(self.every)), **present, "independent": self.independent})

    def plot(self) -> go.Figure:
        """Hamming distances of random pairs, of one class and of two, beside what independent bits would give."""
        figure = blank("Hamming distance (bits that differ)", "share of pairs")
        x = np.arange(len(self.every))
        figure.add_scatter(
            x=x,
            y=self.independent,
            name="if bits were independent",
            mode="lines",
            line={"color": GREY, "width": 1.5, "dash": "dot", "shape": "hvh"},
        )
        lines: list[tuple[np.ndarray | None, str, str, str]] = [
            (self.every, "any two images", INK, "solid"),
            (self.different, "different classes", DIFFERENT, "dash"),
            (self.same, "same class", SAME, "solid"),
        ]
        for counts, name, colour, dash in lines:
            if counts is not None:
                figure.add_scatter(
                    x=x,
                    y=counts / counts.sum(),
                    name=name,
                    mode="lines",
                    line={"color": colour, "width": 2, "dash": dash, "shape": "hvh"},
                )
        drawn = [c for c in (self.every, self.same, self.different) if c is not None]
        top = max(int(np.flatnonzero(c).max()) for c in drawn)
        likely = np.flatnonzero(self.independent > 1e-4)
        figure.update_traces(hovertemplate="distance %{x}: %{y:.2%}")
        figure.update_xaxes(range=[-0.5, max(top, int(likely.max())) + 0.5])
        figure.update_yaxes(rangemode="tozero", tickformat=".0%")
        figure.update_layout(hovermode="x unified")
        return figure


def pair_distances(codes: Codes, *, pairs: int = 200_000, seed: int = 0) -> PairDistances:
    """Hamming distances of random pairs: all, within a class, across classes, and what independent bits would show.

    Args:
        codes: codes `[N, B]`.
        pairs: how many pairs to draw, and as many again within classes (a class of many items more often).
        seed: of the draws.

    Returns:
        Histograms; see `PairDistances`. Two items share a class when they share any label.

    Raises:
        DataError: fewer than 2 codes.
        UsageError: fewer than 1 pair.

    Example:
        >>> codes = Codes.from_bits([[0, 0, 0], [0, 0, 1], [1, 1, 1], [1, 1, 0]], labels=[0, 0, 1, 1])
        >>> found = pair_distances(codes, pairs=1000)
        >>> np.flatnonzero(found.same).tolist(), np.flatnonzero(found.different).tolist(), found.value
        ([1], [2, 3], 1.0)
    """
    check_codes("codes", codes)
    check_seed(seed)
    n = len(codes)
    if n < 2:
        raise DataError(f"pair_distances: found {n} codes, expected at least 2")
    if pairs < 1:
        raise UsageError(f"pairs {pairs}: expected at least 1")
    generator = np.random.default_rng(seed)
    first = generator.integers(0, n, pairs)
    second = (first + generator.integers(1, n, pairs)) % n  # never the same item twice
    every = _histogram(codes, first, second)
    same = different = None
    if codes.multilabel:
        shared = (codes.labels[first] & codes.labels[second]).any(axis=1)
        known = codes.labels[first].any(axis=1) & codes.labels[second].any(axis=1)
        same = _histogram(codes, first[shared], second[shared])
        different = _histogram(codes, first[known & ~shared], second[known & ~shared])
    elif codes.labelled:
        a, b = codes.labels[first], codes.labels[second]
        apart = (a >= 0) & (b >= 0) & (a != b)
        different = _histogram(codes, first[apart], second[apart])
        same = _histogram(codes, *_within_classes(codes.labels, pairs, generator))
    return PairDistances(
        source=Source.of(codes),
        seed=seed,
        every=every,
        same=None if same is None or not same.any() else same,
        different=None if different is None or not different.any() else different,
        independent=_independent(column_counts(codes.packed, codes.bits) / n),
        pairs=pairs,
    )


def _within_classes(labels: np.ndarray, pairs: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of two items of one class, every such pair equally likely."""
    order = np.argsort(labels, kind="stable")
    order = order[np.searchsorted(labels[order], 0) :]  # items without a label come first
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    weights = sizes * (sizes - 1.0)
    if not weights.any():
        return order[:0], order[:0]
    chosen = generator.choice(len(sizes), size=pairs, p=weights / weights.sum())
    place = generator.integers(0, sizes[chosen])
    other = (place + generator.integers(1, sizes[chosen])) % sizes[chosen]
    return order[starts[chosen] + place], order[starts[chosen] + other]


def _histogram(codes: Codes, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Number of pairs at each distance, int64 `[B + 1]`."""
    apart = differing(codes.packed[first], codes.packed[second])
    return np.bincount(apart, minlength=codes.bits + 1)


def _independent(p: np.ndarray) -> np.ndarray:
    """The distribution of the number of differing bits when bit b differs with probability 2 p_b (1 - p_b)."""
    out = np.ones(1)
    for differs in 2 * p * (1 - p):
        out = np.convolve(out, [1 - differs, differs])
    return out


def judge_distances(title: str, distances: PairDistances, results: Mapping[str, Result]) -> Verdict:
    """Are images of one class nearer than images of two?"""
    if distances.same is None or distances.different is None:
        return Verdict("note", title, "", "Not measured: there are no pairs of one class and of two classes.")
    value = distances.value
    return Verdict(
        "good" if value >= NEARER else "watch",
        title,
        f"{value:.0%}",
        f"Two images of one class are nearer than two of different classes {value:.0%} of the time (chance 50%).",
        f"good from {NEARER:.0%}",
    )
