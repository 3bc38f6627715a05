"""Averages of a retrieval measure on subsets of the items, for the jackknife.

A part is taken out of the queries and out of the database, because both are samples; where they are the same items,
an item counts as a query and in the rankings of all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg

from codelab.kernels.counting import distinct_codes
from codelab.retrieval.ranking import HammingRanking, Ranking
from codelab.retrieval.summary import Averaging, Deleted, class_average
from codelab.statistics.jackknife import PARTS, deal, each_pair_once

FEW = 5
"""Queries that most classes must have, to be measured in halves of the items as well."""

TIED = 0.25
"""Share of equal codes from which a vote has no interval, where no class is clearly the first among them."""

TIED_HOW = "the range of values, as equal codes decide the votes"

WIDER = 16
"""Nearest items, in units of those that vote, among which the voters of every half are looked for."""

SKEW = 0.3
"""Skewness of a binomial count from which a share is not nearly normal (Box, Hunter & Hunter 1978)."""

SKEW_HOW = "the range of values, as too few items are outside the most frequent class"

LEAST, LEAST_OF_TWO = 1 / 2, 1 / 3
"""Least share of the jackknife's variance that is left where effects of pairs are taken off, for the value of a code
and for the difference of two. The latter is as often too low as too high, and by 1/2 it would be found too rarely. Low
values have low variances, so that with 1/3 the intervals of rare bits would hold the truth in 88 % of samples."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Part numbers of the queries `[Q]` and of the database `[N]`, below `number`."""

    queries: np.ndarray
    database: np.ndarray
    number: int

    @classmethod
    def of(cls, ranking: Ranking, averaging: Averaging, kind: str = "jackknife") -> Parts:
        """Whole groups are in one part; for class averages each class is spread over all parts.

        There are `PARTS`, for halves as many as `hadamard` has; fewer where groups are fewer.
        """
        q, one = len(ranking.queries), ranking.database is ranking.queries
        mine = np.arange(q) if ranking.query_owner is None else ranking.query_owner
        theirs = mine if one else ranking.owner
        if theirs is None:
            theirs = q + np.arange(len(ranking.database))
        sides = np.repeat([0, 1], [q, len(theirs)])  # queries are dealt first, so that every part has its share
        strata = sides
        if averaging.average == "class":
            labels = np.concatenate([ranking.queries.labels, ranking.database.labels])
            first = np.where(labels.any(axis=1), labels.argmax(axis=1), -1) if labels.ndim == 2 else labels
            strata = sides * (int(first.max()) + 2) + first
        number = min(PARTS, len(np.unique(mine)))
        if kind == "halves":
            number = 12 if 12 <= number < 16 else 1 << (number.bit_length() - 1)
        dealt = deal(np.concatenate([mine, theirs]), strata, parts=number, seed=averaging.seed)
        return cls(dealt[:q], dealt[q:], number)


@dataclass(frozen=True, eq=False)
class Design:
    """Subsets of the parts on which a measure is taken, and the averages without each part that follow from them.

    * `jackknife`: all parts but one.
    * `pairs`, of a measure of whole rankings, which may be chance alone: the jackknife, with the effects of two parts
      together counted once (see `codelab.statistics.jackknife.each_pair_once`). Twice, the difference of two codes
      whose distances mean nothing would be significant in 0.5 % of samples instead of 5 %.
    * `halves`, of a measure that jumps, such as a vote. A vote may turn whichever part is taken out, and the jackknife
      counts this for each part: its variance of k-NN accuracy is twice to four times too large. Halves have no item in
      common, so that the difference of their averages varies as between samples. With the whole's average t, m parts
      and a Hadamard matrix H (+1, -1),

          d_j = (average of the parts with H_ij = 1, less that of the others) / 2,    j = 1 .. m - 1,
          V_2 = mean of d_j^2,    t_i = t - sum over j of  H_ij d_j / (m - 1),

      so that (m - 1) / m sum of (t_i - t)^2 is V_2, and for a mean of items the t_i are those without part i.
    * `tied`, of votes that ties decide (see `_contested`): none. Where many codes are equal, one class wins the vote
      of them all, and which one may turn on a single item. The variance of that does not fall as 1 / n, as halves
      suppose: for codes of rare bits their intervals would hold the truth in 89 % of samples, and 14 % of the
      differences of two such codes would be significant.

    Source: Efron & Stein 1981 (pairs); McCarthy 1969 (balanced half-samples); Shao & Wu 1989 (a measure that jumps
    needs many items deleted).
    """

    kind: str
    parts: int

    def subsets(self) -> np.ndarray:
        """Bool `[K, m]`: the parts of each subset."""
        if self.kind == "tied":
            return np.zeros((0, self.parts), bool)
        if self.kind != "halves":
            return ~np.eye(self.parts, dtype=bool)
        positive = hadamard(self.parts) > 0
        halves = [side for row in positive[1:] for side in (row, ~row)]
        return np.array(halves, dtype=bool).reshape(-1, self.parts)

    def deleted(self, averages: np.ndarray, whole: float, effects: np.ndarray | None, *, two: bool = False) -> Deleted:
        """From the averages `[K]` of the subsets, that of the whole, and the effects of pairs of parts `[m, m]`.

        `two`: all of these are differences of two codes.
        """
        if self.kind == "tied":
            return Deleted(np.full(self.parts, np.nan), averages, effects, self.kind, TIED_HOW)
        if self.kind != "halves":
            how = f"jackknife over {self.parts} parts of the items"
            if effects is None:
                return Deleted(averages, averages, effects, self.kind, how)
            once = each_pair_once(averages, effects, LEAST_OF_TWO if two else LEAST)
            return Deleted(once, averages, effects, self.kind, f"{how}, each pair once")
        differences = (averages[::2] - averages[1::2]) / 2
        changes = hadamard(self.parts)[1:].T @ differences / max(self.parts - 1, 1)
        how = f"halves made of {self.parts} parts of the items"
        return Deleted(whole - changes, averages, effects, self.kind, how)


def hadamard(order: int) -> np.ndarray:
    """A matrix of +1 and -1 whose rows are orthogonal, the first all +1: its order is a power of two, or 12.

    Source: Paley 1933 (order 12, from the squares modulo 11).
    """
    if order != 12:
        return linalg.hadamard(order)
    square = np.where(np.isin(np.arange(11), np.arange(1, 11) ** 2 % 11), 1, -1)
    matrix = np.ones((12, 12), int)
    matrix[1:, 1:] = linalg.circulant(square)
    return matrix


def measure_counts(
    ranking: Ranking,
    averaging: Averaging,
    score: Callable[[np.ndarray], np.ndarray],
    top: int = 1,
    kind: str = "jackknife",
) -> tuple[np.ndarray, Deleted | None]:
    """A measure of histograms: its values `[Q]` and its average without each part.

    Hamming histograms of parts add up, so one pass over the database serves all parts and the whole. Where the
    interval is a bootstrap, no average without a part is computed, and None is returned.

    Args:
        ranking: the queries and the database.
        averaging: how values of queries are averaged.
        score: values `[q]` from histograms int64 `[q, top + 1, G]`; NaN: the query is not counted.
        top: the highest grade.
        kind: of the `Design`.
    """
    if averaging.bootstrap is not None or not isinstance(ranking, HammingRanking):
        values = values_of_counts(ranking, score, top)
        return values, delete(ranking, averaging, lambda left: values_of_counts(left, score, top), values, kind)
    parts, design = _design(ranking, averaging, kind)
    subsets = design.subsets()
    values, of_subset = np.empty(len(ranking.queries)), np.full((len(subsets), len(ranking.queries)), np.nan)
    for rows, counts in ranking.histograms_of_parts(parts.database, parts.number, top):
        whole = counts.sum(axis=0)
        values[rows] = score(whole)
        for subset, row in zip(subsets, of_subset[:, rows], strict=True):
            mine = subset[parts.queries[rows]]
            if mine.any():
                few = 2 * subset.sum() <= parts.number  # the fewer parts are added up: all but one are all less one
                part = counts[np.ix_(subset if few else ~subset, mine)].sum(axis=0)
                row[mine] = score(part if few else whole[mine] - part)
    return values, _deleted(ranking, averaging, parts, design, values, of_subset)


def delete(
    ranking: Ranking,
    averaging: Averaging,
    score: Callable[[Ranking], np.ndarray],
    values: np.ndarray,
    kind: str = "jackknife",
    nearest: int | None = None,
) -> Deleted | None:
    """The average without each part of a measure that is computed again on subsets of the items.

    Args:
        ranking, averaging, kind: as in `measure_counts`; None is returned where the interval is a bootstrap.
        score: values `[Q]` of a ranking's queries; NaN: the query is not counted.
        values: `[Q]`, those of the ranking.
        nearest: the measure looks at so many labelled items nearest to a query, and at those tied with the last.
    """
    if averaging.bootstrap is not None:
        return None
    parts, design = _design(ranking, averaging, kind)
    subsets, dealt = design.subsets(), parts.database
    of_subset, left = np.full((len(subsets), len(values)), np.nan), ranking
    if nearest is not None and isinstance(ranking, HammingRanking) and len(subsets):
        looked_at = _looked_at(ranking, dealt, subsets, nearest)
        if looked_at is not None:
            left, dealt = ranking.only(np.ones(len(values), bool), looked_at), dealt[looked_at]
    for subset, row in zip(subsets, of_subset, strict=True):
        mine, theirs = subset[parts.queries], subset[dealt]
        if mine.any() and theirs.any():
            row[mine] = score(left.only(mine, theirs))
    return _deleted(ranking, averaging, parts, design, values, of_subset)


def _looked_at(ranking: HammingRanking, dealt: np.ndarray, subsets: np.ndarray, k: int) -> np.ndarray | None:
    """Rows of the items that are among the k nearest labelled ones of any query in any subset, ties included.

    They are looked for among `WIDER` times k nearest items of each query. None where these could be most items of the
    database, or where they hold fewer than k of some subset, or not all that are tied with the last.
    """
    most = WIDER * k
    if len(ranking.queries) * most > len(ranking.database):
        return None
    far, rows = ranking.scan().nearest(ranking.queries.packed, most, ranking.query_owner)
    counts = (far >= 0) & (ranking.database.labels[rows] >= 0)
    radius = np.zeros(len(far), far.dtype)
    for subset in subsets:
        found = (counts & subset[dealt[rows]]).cumsum(axis=1)
        if (found[:, -1] < k).any():
            return None
        radius = np.maximum(radius, far[np.arange(len(far)), (found >= k).argmax(axis=1)])
    return None if (radius >= far[:, -1]).any() else np.unique(rows[far <= radius[:, None]])


def _design(ranking: Ranking, averaging: Averaging, kind: str) -> tuple[Parts, Design]:
    """The jackknife for class averages of whole rankings, and of votes where classes are smaller than `FEW`."""
    labels = ranking.queries.labels
    sizes = np.bincount(labels[labels >= 0]) if labels.ndim == 1 else labels.sum(axis=0)
    sizes = sizes[sizes > 0]
    if averaging.average == "class" and (kind == "pairs" or np.median(sizes) < FEW):
        kind = "jackknife"
    if kind == "halves" and isinstance(ranking, HammingRanking) and _contested(ranking):
        kind = "tied"
    parts = Parts.of(ranking, averaging, kind)
    return parts, Design(kind, parts.number)


def _contested(ranking: Ranking) -> bool:
    """Whether `TIED` of the codes are equal, and their first class leads by less than two standard errors."""
    codes, owner = ranking.database, ranking.owner
    same, count = distinct_codes(codes.packed)
    rows = same == count.argmax()
    if rows.mean() < TIED:
        return False
    labels = codes.labels[rows]
    second, first = np.sort(np.bincount(labels[labels >= 0], minlength=2))[-2:]
    copies = 1.0 if owner is None else rows.sum() / len(np.unique(owner[rows]))
    return bool((first - second) ** 2 < 4 * copies * (first + second))


def _deleted(
    ranking: Ranking, averaging: Averaging, parts: Parts, design: Design, values: np.ndarray, of_subset: np.ndarray
) -> Deleted:
    """From the values of the queries `[Q]`, and on each subset `[K, Q]`, NaN where it lacks the query."""
    averages = np.array([class_average(ranking, row, averaging.average) for row in of_subset])
    effects = _effects(parts, values, of_subset) if design.kind == "pairs" else None
    found = design.deleted(averages, class_average(ranking, values, averaging.average), effects)
    if design.kind == "pairs" and _lopsided(ranking):
        return replace(found, averages=np.full(parts.number, np.nan), how=SKEW_HOW)
    return found


def _lopsided(ranking: Ranking) -> bool:
    """Whether too few queries are outside the most frequent class.

    A ranking by chance has the share of the query's class as precision, so that mAP varies as the classes' shares do:

        skewness = |1 - 2 p| / sqrt(n p (1 - p)),    p the share of n groups that is outside the most frequent class.
    """
    labels, owner = ranking.queries.labels, ranking.query_owner
    if labels.ndim == 2:
        return False
    if owner is not None:
        labels = labels[np.unique(owner, return_index=True)[1]]
    sizes = np.bincount(labels[labels >= 0])
    n, p = sizes.sum(), 1 - sizes.max(initial=0) / max(sizes.sum(), 1)
    return bool(p > 0 and abs(1 - 2 * p) >= SKEW * np.sqrt(n * p * (1 - p)))


def _effects(parts: Parts, values: np.ndarray, without: np.ndarray) -> np.ndarray:
    """The effect `[m, m]` of each part, as database, on the queries of each part, as a share of their average.

    A query that loses its last relevant item is lost to the average, which its value less the average changes.
    """
    counted = ~np.isnan(values)
    values, without = values[counted], without[:, counted]
    changed = values - np.where(np.isnan(without), values.mean() if len(values) else 0.0, without)
    rows = [np.bincount(parts.queries[counted], row, parts.number) for row in changed]
    return np.stack(rows) / max(len(values), 1)


def values_of_counts(ranking: Ranking, score: Callable[[np.ndarray], np.ndarray], top: int = 1) -> np.ndarray:
    """One value a query `[Q]`, by `score` from its histogram int64 `[q, top + 1, G]`."""
    values = np.empty(len(ranking.queries))
    for rows, counts in ranking.histograms(top):
        values[rows] = score(counts)
    return values
