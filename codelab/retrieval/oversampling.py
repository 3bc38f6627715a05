"""How many codes to fetch by Hamming distance so that the true neighbours of the features are among them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.attributes import Groups, group_column, named_groups
from codelab.core.bits import differing
from codelab.core.checks import check_choice, check_codes, check_real, check_seed, check_whole
from codelab.core.codes import Codes
from codelab.core.drawing import BLUE, GREY, blank, level_line
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number
from codelab.core.progress import counter
from codelab.core.result import Result, Source
from codelab.features.binariser import binarize
from codelab.neighbours.hamming import Scan
from codelab.neighbours.rescoring import KINDS, fetched, real_vectors
from codelab.neighbours.weighted import cosine
from codelab.retrieval.ties import hits
from codelab.statistics.intervals import CONFIDENCE, RESAMPLES

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)
TARGETS = (0.95, 0.99)
DRAWS = 5
"""Codes of random directions beside these."""
BLOCK = 1 << 23
"""Distances of features held at a time: 64 MB."""
GRID = 160
"""Numbers of fetched codes at which the curve of a resample is computed; between them it is interpolated."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OversamplingCurve(Result):
    """Recall of the `k` nearest neighbours by cosine (of `by`) among the codes nearest by Hamming distance.

    `recall` `[F]`, with its interval `low` to `high`, is the mean over `queries` of the expected share of the true
    neighbours among the first factor times k codes, `factors` `[F]`; the order within one Hamming distance is random.
    `needed` `[T]` is the smallest oversampling, 1 or more, that reaches each of `targets` `[T]`, with `needed_low` to
    `needed_high`. `random` `[R, F]` and `random_needed` `[R, T]` are those of codes of as many bits, each of which is
    the sign of a random direction of the same features. Intervals (95 %) are a bootstrap over queries, over whole
    groups where `groups` counts those that queries come from. `left_out` says which codes a query does not rank.

    The line quotes the recall without oversampling, and the oversampling needed for each target.
    """

    factors: np.ndarray
    recall: np.ndarray
    low: np.ndarray
    high: np.ndarray
    targets: np.ndarray
    needed: np.ndarray
    needed_low: np.ndarray
    needed_high: np.ndarray
    random: np.ndarray
    random_needed: np.ndarray
    k: int
    by: str
    queries: int
    groups: int | None
    left_out: str
    confidence: float = CONFIDENCE
    estimator: str = "exact expectation over the order of ties"

    def headline(self) -> str:
        start = f"recall@{self.k} {number(float(self.recall[0]))} at {self.factors[0]:g}x"
        return f"{start}; {', '.join(self._line(t) for t in range(len(self.targets)))}"

    def _line(self, t: int) -> str:
        low, high = self.needed_low[t], self.needed_high[t]
        beside = f"; random directions {self.random_needed[:, t].mean():.1f}x" if len(self.random) else ""
        return f"{self.targets[t]:.2f} from {self.needed[t]:.1f}x on ({low:.1f} to {high:.1f}{beside})"

    def to_frame(self) -> pd.DataFrame:
        """One row a factor: `oversampling`, `recall` with its interval, and mean and range of random directions."""
        import pandas as pd

        columns = {"oversampling": self.factors, "recall": self.recall, "low": self.low, "high": self.high}
        drawn = self.random if len(self.random) else np.full((1, len(self.factors)), np.nan)
        beside = {"random_directions": drawn.mean(axis=0), "random_low": drawn.min(axis=0)}
        return pd.DataFrame({**columns, **beside, "random_high": drawn.max(axis=0)})

    def plot(self) -> go.Figure:
        """Recall against oversampling with its interval, beside codes of random directions."""
        figure = blank("codes fetched for each neighbour wanted (oversampling)", f"recall@{self.k}")
        for place, row in enumerate(self.random):
            figure.add_scatter(
                x=self.factors,
                y=row,
                mode="lines",
                name="random directions",
                line={"color": GREY, "width": 1},
                showlegend=place == 0,
                hovertemplate="%{x:g}x: %{y:.3f}",
            )
        figure.add_scatter(
            x=self.factors,
            y=self.recall,
            error_y={"type": "data", "array": self.high - self.recall, "arrayminus": self.recall - self.low},
            mode="lines+markers",
            name="these codes",
            line={"color": BLUE, "width": 2},
            hovertemplate="%{x:g}x: %{y:.3f}",
        )
        for target in self.targets:
            figure.add_hline(**level_line(float(target)))
        figure.update_xaxes(type="log")
        return figure


def oversampling_curve(
    codes: Codes,
    *,
    k: int = 10,
    by: str = "features",
    factors: Sequence[float] | None = None,
    targets: Sequence[float] = TARGETS,
    groups: Groups = None,
    queries: int = 1000,
    draws: int = DRAWS,
    seed: int = 0,
) -> OversamplingCurve:
    """How many of the k true neighbours are among the codes fetched first, and how many to fetch for nearly all.

    The true neighbours are the k nearest by cosine; those tied at the last place share it. Where a query has n_d codes
    at Hamming distance d, r_d of them true neighbours, and N_d codes nearer than d, the expected recall is, among the
    first m codes,

        recall(m) = 1/k sum_d  r_d min(max(m - N_d, 0), n_d) / n_d

    Args:
        codes: codes `[N, B]` with features, or logits.
        k: neighbours wanted.
        by: `features` or `logits`.
        factors: oversampling, 1 or more each. Default: 1 to 64, as far as there are codes.
        targets: recalls, above 0 to 1, whose smallest oversampling is sought.
        groups: item column, or one value an image: near copies, which a query does not rank.
        queries: at most so many codes, drawn by `seed`, are queries; each ranks all others.
        draws: codes of random directions of the same features to compare with; 0: none.
        seed: of the queries, the directions and the resamples.

    Raises:
        UsageError: an option out of range.
        DataError: no such vectors, or fewer than k codes that a query can rank.

    Source: order within ties: McSherry & Najork 2008; random directions: Charikar 2002.

    Example:
        >>> angle = np.arange(256) * 2 * np.pi / 256
        >>> line = (np.arange(32) + 0.1) * np.pi / 32
        >>> bits = np.cos(angle[:, None] - line) > 0  # 64 arcs of four points, which share a code
        >>> features = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        >>> found = oversampling_curve(Codes.from_bits(bits, features=features), k=2, targets=[0.75, 1], draws=0)
        >>> found.recall[:3].round(2).tolist(), found.needed.tolist()
        ([0.5, 0.75, 0.78], [1.5, 5.5])
    """
    check_codes("codes", codes)
    check_seed(seed)
    check_choice("by", by, KINDS)
    k, queries, draws = check_whole("k", k, 1), check_whole("queries", queries, 1), check_whole("draws", draws, 0)
    groups = named_groups(groups)
    vectors = np.asarray(real_vectors("oversampling_curve", codes, by), np.float32)
    unit = group_column(codes, groups)
    generator = np.random.default_rng(seed)
    rows = np.sort(generator.permutation(len(codes))[:queries])
    others = len(codes) - np.bincount(unit)[unit[rows]]
    if not len(rows) or others.min() < k:
        found = int(others.min(initial=len(codes)))
        raise DataError(f"oversampling_curve: a query has {found} codes to rank, expected k={k} or more")
    most = int(others.max())
    chosen, sought = _checked(factors, targets, k, most)
    near = list(_true_neighbours(vectors, rows, unit, k))
    places = np.array([fetched(k, most, factor) for factor in chosen])
    own = _Found.of(codes, rows, unit, near)
    drawn = [_Found.of(_random_code(vectors, codes.bits, seed + 1 + draw), rows, unit, near) for draw in range(draws)]
    numbers = np.unique(np.concatenate([np.geomspace(k, most, GRID).astype(np.int64), places]))
    curve = own.recall(numbers)
    times = _resampled(unit[rows], generator)
    resampled = times @ curve / times.sum(axis=1, keepdims=True)
    low, high = np.quantile(resampled[:, np.searchsorted(numbers, places)], _ENDS, axis=0)
    needed = np.array([[_crossed(numbers, line, target) for target in sought] for line in resampled])
    needed_low, needed_high = np.quantile(needed, _ENDS, axis=0) / k
    return OversamplingCurve(
        source=Source.of(codes),
        seed=seed,
        factors=chosen,
        recall=own.recall(places).mean(axis=0),
        low=low,
        high=high,
        targets=sought,
        needed=own.needed(sought, k) / k,
        needed_low=needed_low,
        needed_high=needed_high,
        random=np.array([one.recall(places).mean(axis=0) for one in drawn]).reshape(draws, len(places)),
        random_needed=np.array([one.needed(sought, k) for one in drawn]).reshape(draws, len(sought)) / k,
        k=k,
        by=by,
        queries=len(rows),
        groups=None if groups is None else len(np.unique(unit[rows])),
        left_out="self" if groups is None else f"same {groups}" if isinstance(groups, str) else "same group",
    )


_ENDS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


def _checked(
    factors: Sequence[float] | None, targets: Sequence[float], k: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """The factors and the targets, ascending."""
    if factors is None:
        factors = [factor for factor in FACTORS if factor * k <= most]
    for name, values in (("factors", factors), ("targets", targets)):
        if not isinstance(values, Iterable) or isinstance(values, str):
            raise UsageError(f"{name}={values!r}: expected a list of numbers")
    for factor in factors:
        fetched(k, most, factor)
    for target in targets:
        if not 0 < check_real("targets", target) <= 1:
            raise UsageError(f"targets: found {target}, expected recalls above 0, at most 1")
    if not len(factors) or not len(targets):
        raise UsageError("factors and targets: expected at least one of each")
    return np.unique(np.asarray(factors, float)), np.unique(np.asarray(targets, float))


def _true_neighbours(
    vectors: np.ndarray, rows: np.ndarray, unit: np.ndarray, k: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each query's nearest codes by cosine, without its own group, and how much each counts: k in all."""
    blocks, step = cosine(vectors[rows], vectors), max(1, BLOCK // len(vectors))
    with counter("neighbours by features", len(rows)) as advance:
        for start in range(0, len(rows), step):
            some = slice(start, min(start + step, len(rows)))
            distances = blocks.distances(some, slice(0, len(vectors)))
            for row, far in zip(rows[some], distances, strict=True):
                far[unit == unit[row]] = np.inf
                last = np.partition(far, k - 1)[k - 1]
                ahead, tied = np.flatnonzero(far < last), np.flatnonzero(far == last)
                weight = np.full(len(tied), (k - len(ahead)) / len(tied))
                yield np.concatenate([ahead, tied]), np.concatenate([np.ones(len(ahead)), weight])
            advance(some.stop - some.start)


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    """At each Hamming distance from each query, all codes and true neighbours, which weigh 1 in all: `[Q, B + 1]`."""

    total: np.ndarray
    true: np.ndarray

    @classmethod
    def of(cls, codes: Codes, rows: np.ndarray, unit: np.ndarray, near: list[tuple[np.ndarray, np.ndarray]]) -> _Found:
        owner, alike = unit.astype(np.int32), np.zeros(len(codes), np.int32)
        scan = Scan.of(codes, owner=owner)
        total = scan.histograms(codes.packed[rows], alike, alike[rows], query_owner=owner[rows]).sum(axis=1)
        true = np.zeros(total.shape)
        for line, row, (found, weight) in zip(true, rows, near, strict=True):
            np.add.at(line, differing(codes.packed[found], codes.packed[row]), weight / weight.sum())
        return cls(total, true)

    def recall(self, numbers: np.ndarray) -> np.ndarray:
        """Expected share of the true neighbours among the first so many codes, `[Q, M]`."""
        return np.stack([hits(self.total, self.true, int(m), "expected") for m in numbers], axis=1)

    def needed(self, targets: np.ndarray, least: int) -> np.ndarray:
        """The smallest number of codes, `least` or more, at which the mean recall reaches each target: exact.

        The mean recall grows by a slope at each further code: that of the distance which each query then is at.
        """
        slope = np.divide(self.true, self.total, out=np.zeros(self.true.shape), where=self.total > 0)
        ends = np.cumsum(self.total, axis=1)
        steps = np.bincount((ends - self.total).ravel(), slope.ravel(), int(ends.max()) + 1)
        steps -= np.bincount(ends.ravel(), slope.ravel(), int(ends.max()) + 1)
        recall = np.cumsum(np.cumsum(steps))[:-1] / len(self.total)
        return np.maximum(1 + np.searchsorted(recall, np.minimum(targets, recall[-1]) - 1e-9), least)


def _random_code(vectors: np.ndarray, bits: int, seed: int) -> Codes:
    """Each bit the sign of the centred features along a random direction."""
    return Codes(binarize(vectors, bits, method="lsh", seed=seed, progress=False).encode(vectors), bits)


def _resampled(unit: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """How often each query counts in each resample of whole groups, `[R, Q]`."""
    number = np.unique(unit, return_inverse=True)[1].reshape(-1)
    units = int(number.max()) + 1
    return generator.multinomial(units, np.full(units, 1 / units), RESAMPLES)[:, number].astype(float)


def _crossed(numbers: np.ndarray, recall: np.ndarray, target: float) -> float:
    """Where a rising curve, linear between `numbers`, reaches the target; its end where it does not."""
    place = int(np.searchsorted(recall, target - 1e-9))
    if place == 0 or place == len(recall):
        return float(numbers[min(place, len(recall) - 1)])
    share = (target - recall[place - 1]) / (recall[place] - recall[place - 1])
    return float(numbers[place - 1] + share * (numbers[place] - numbers[place - 1]))
