"""Averages of a retrieval measure on subsets of the items, for the jackknife.

A part is taken out of the queries and out of the database, because both are samples; where they are the same items,
an item counts as a query and in the rankings of all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from codelab.retrieval.ranking import HammingRanking, Ranking
from codelab.retrieval.summary import Averaging, Deleted, class_average
from codelab.statistics.jackknife import PARTS, deal

FEW = 5
"""Queries that most classes must have, to be measured in halves of the items as well."""

QUARTERS = {4: ((1, 2),), 8: ((1, 2), (3, 4), (5, 6)), 16: ((1, 2), (4, 8), (5, 10), (6, 11), (7, 9))}
"""Pairs of rows of the Hadamard matrices of 4, 8 and 16 parts; with their products they are all rows but the first."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Part numbers of the queries `[Q]` and of the database `[N]`, below `number`."""

    queries: np.ndarray
    database: np.ndarray
    number: int

    @classmethod
    def of(cls, ranking: Ranking, averaging: Averaging, *, halved: bool = False) -> Parts:
        """Whole groups are in one part; for class averages each class is spread over all parts.

        There are `PARTS`, and for halves 16 (a Hadamard matrix has a power of two); fewer where groups are fewer.
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
        if halved:
            number = 1 << (number.bit_length() - 1)
        dealt = deal(np.concatenate([mine, theirs]), strata, parts=number, seed=averaging.seed)
        return cls(dealt[:q], dealt[q:], number)


@dataclass(frozen=True, eq=False)
class Design:
    """Subsets of the parts on which a measure is taken, and the averages without each part that follow from them.

    * `jackknife`: all parts but one.
    * `halves`, of a measure that jumps, such as a vote. A vote may turn whichever part is taken out, and the jackknife
      counts this for each part: its variance of k-NN accuracy is twice to four times too large. Halves have no item in
      common, so that the difference of their averages varies as between samples. With the whole's average t, m parts
      and a Hadamard matrix H (+1, -1),

          d_j = (average of the parts with H_ij = 1, less that of the others) / 2,    j = 1 .. m - 1,
          V_2 = mean of d_j^2,    t_i = t - sum over j of  H_ij d_j / (m - 1),

      so that (m - 1) / m sum of (t_i - t)^2 is V_2, and for a mean of items the t_i are those without part i.
    * `quarters`, of a measure of pairs that may be chance alone. With a variance A / n + B / n^2, halves (and the
      jackknife) give V_2 = A / n + 2 B / n^2, and the variance between quarters gives V_4 = A / n + 4 B / n^2, so

          V = (3 V_2 - V_4) / 2,    V_2 / 2 <= V <= V_2,

      and the t_i are drawn together to have this variance. Where a class has fewer than 2 m queries, V is V_2, too
      wide where the measure is chance alone.

    Source: McCarthy 1969 (balanced half-samples); Shao & Wu 1989 (a measure that jumps needs many items deleted).
    """

    kind: str
    parts: int

    def subsets(self) -> np.ndarray:
        """Bool `[K, m]`: the parts of each subset."""
        if self.kind == "jackknife":
            return ~np.eye(self.parts, dtype=bool)
        positive = linalg.hadamard(self.parts) > 0
        halves = [side for row in positive[1:] for side in (row, ~row)]
        quarters = [
            (positive[i] == one) & (positive[j] == other)
            for i, j in self._pairs()
            for one in (True, False)
            for other in (True, False)
        ]
        return np.array(halves + quarters, dtype=bool).reshape(-1, self.parts)

    def deleted(self, averages: np.ndarray, whole: float) -> Deleted:
        """From the averages `[K]` of the subsets, and that of the whole."""
        if self.kind == "jackknife":
            return Deleted(averages, averages, self.kind, f"jackknife over {self.parts} parts of the items")
        free = self.parts - 1
        differences = (averages[: 2 * free : 2] - averages[1 : 2 * free : 2]) / 2
        scale, how = 1.0, "halves"
        quarters = averages[2 * free :].reshape(-1, 4)
        half, usable = (differences**2).mean() if free else 0.0, ~np.isnan(quarters).any(axis=1)
        if self.kind == "quarters" and usable.any() and half > 0:
            quarter = quarters[usable].var(axis=1, ddof=1).mean() / 4
            scale, how = np.sqrt(np.clip((3 - quarter / half) / 2, 0.5, 1.0)), "halves and quarters"
        changes = linalg.hadamard(self.parts)[:, 1:] @ differences / max(free, 1)
        return Deleted(whole - scale * changes, averages, self.kind, f"{how} made of {self.parts} parts of the items")

    def _pairs(self) -> tuple[tuple[int, int], ...]:
        """Rows of the Hadamard matrix that part the items into quarters."""
        return QUARTERS.get(self.parts, ()) if self.kind == "quarters" else ()


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
        values[rows] = score(counts.sum(axis=0))
        for subset, row in zip(subsets, of_subset[:, rows], strict=True):
            mine = subset[parts.queries[rows]]
            if mine.any():
                row[mine] = score(counts[np.ix_(subset, mine)].sum(axis=0))
    averages = np.array([class_average(ranking, row, averaging.average) for row in of_subset])
    return values, design.deleted(averages, class_average(ranking, values, averaging.average))


def delete(
    ranking: Ranking,
    averaging: Averaging,
    score: Callable[[Ranking], np.ndarray],
    values: np.ndarray,
    kind: str = "jackknife",
) -> Deleted | None:
    """The average without each part of a measure that is computed again on subsets of the items.

    Args:
        ranking, averaging, kind: as in `measure_counts`; None is returned where the interval is a bootstrap.
        score: values `[Q]` of a ranking's queries; NaN: the query is not counted.
        values: `[Q]`, those of the ranking.
    """
    if averaging.bootstrap is not None:
        return None
    parts, design = _design(ranking, averaging, kind)
    averages = []
    for subset in design.subsets():
        mine, theirs = subset[parts.queries], subset[parts.database]
        averages.append(np.nan)
        if mine.any() and theirs.any():
            left = ranking.only(mine, theirs)
            averages[-1] = class_average(left, score(left), averaging.average)
    return design.deleted(np.array(averages), class_average(ranking, values, averaging.average))


def _design(ranking: Ranking, averaging: Averaging, kind: str) -> tuple[Parts, Design]:
    """The jackknife for class averages, which lose classes in small subsets; halves for votes and classes of `FEW`."""
    labels = ranking.queries.labels
    sizes = np.bincount(labels[labels >= 0]) if labels.ndim == 1 else labels.sum(axis=0)
    sizes = sizes[sizes > 0]
    if averaging.average == "class" and (kind == "quarters" or np.median(sizes) < FEW):
        kind = "jackknife"
    parts = Parts.of(ranking, averaging, halved=kind != "jackknife")
    if kind == "quarters" and (sizes < 2 * parts.number).any():  # a quarter has too few of the rarest class
        kind = "halves"
    return parts, Design(kind, parts.number)


def values_of_counts(ranking: Ranking, score: Callable[[np.ndarray], np.ndarray], top: int = 1) -> np.ndarray:
    """One value a query `[Q]`, by `score` from its histogram int64 `[q, top + 1, G]`."""
    values = np.empty(len(ranking.queries))
    for rows, counts in ranking.histograms(top):
        values[rows] = score(counts)
    return values
