"""Averages of a retrieval measure without each part of the items, for the jackknife.

A part is taken out of the queries and out of the database, because both are samples; where they are the same items,
an item counts as a query and in the rankings of all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from codelab.retrieval.ranking import HammingRanking, Ranking
from codelab.retrieval.summary import Averaging, class_average
from codelab.statistics.jackknife import PARTS, deal

FEW = 5
"""Queries that most classes must have, to be measured in halves of the items as well."""


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


def measure_counts(
    ranking: Ranking, averaging: Averaging, score: Callable[[np.ndarray], np.ndarray], top: int = 1
) -> tuple[np.ndarray, np.ndarray | None]:
    """A measure of histograms: its values `[Q]` and its average without each part `[m]`.

    Hamming histograms of parts add up, so one pass over the database serves all parts and the whole. Where the
    interval is a bootstrap, no average without a part is computed, and None is returned.

    Args:
        ranking: the queries and the database.
        averaging: how values of queries are averaged.
        score: values `[q]` from histograms int64 `[q, top + 1, G]`; NaN: the query is not counted.
        top: the highest grade.
    """
    if averaging.bootstrap is not None or not isinstance(ranking, HammingRanking):
        deleted = averages_of_rankings(ranking, averaging, lambda left: values_of_counts(left, score, top))
        return values_of_counts(ranking, score, top), deleted
    parts = Parts.of(ranking, averaging)
    values, without = np.empty(len(ranking.queries)), np.empty((parts.number, len(ranking.queries)))
    for rows, counts in ranking.histograms_of_parts(parts.database, parts.number, top):
        whole = counts.sum(axis=0)
        values[rows] = score(whole)
        left = np.subtract(whole, counts, out=counts)
        without[:, rows] = score(left.reshape(-1, *whole.shape[1:])).reshape(len(left), -1)
    without[parts.queries, np.arange(len(values))] = np.nan  # a query is not counted without its own part
    return values, np.array([class_average(ranking, row, averaging.average) for row in without])


def averages_of_rankings(
    ranking: Ranking, averaging: Averaging, score: Callable[[Ranking], np.ndarray]
) -> np.ndarray | None:
    """The average without each part `[m]` of a measure that is computed again on the items that are left.

    Args:
        ranking, averaging: as in `measure_counts`; None is returned where the interval is a bootstrap.
        score: values `[Q]` of a ranking's queries; NaN: the query is not counted.
    """
    if averaging.bootstrap is not None:
        return None
    parts = Parts.of(ranking, averaging)
    averages = np.full(parts.number, np.nan)
    for part in range(parts.number):
        mine, theirs = parts.queries != part, parts.database != part
        if mine.any() and theirs.any():
            left = ranking.only(mine, theirs)
            averages[part] = class_average(left, score(left), averaging.average)
    return averages


def averages_of_halves(
    ranking: Ranking, averaging: Averaging, score: Callable[[Ranking], np.ndarray], values: np.ndarray
) -> tuple[np.ndarray | None, bool]:
    """Averages `[m]` with the jackknife's variance, from halves of the items, of a measure that jumps, such as a vote.

    A vote may turn whichever part is taken out, and the jackknife counts this for each of 20 parts: its variance of
    k-NN accuracy is twice to four times too large. Halves have no item in common, so that the difference of their
    averages varies as between samples. With the whole's average t, m parts and a Hadamard matrix H (+1, -1),

        d_j = (average of the parts with H_ij = 1, less that of the others) / 2,    j = 1 .. m - 1,
        t_i = t - sum over j of  H_ij d_j / (m - 1),

    so that (m - 1) / m sum of (t_i - t)^2 is the mean of d_j^2, and for a mean of items the t_i are those without
    part i. A class average of which most classes have fewer than `FEW` queries has other classes in halves: it is left
    to the jackknife, too wide as it is.

    Args:
        ranking, averaging, score: as in `averages_of_rankings`.
        values: `[Q]`, those of the ranking.

    Returns:
        the averages, and whether they are from halves.

    Source: McCarthy 1969 (balanced half-samples); Shao & Wu 1989 (a measure that jumps needs many items deleted).
    """
    labels = ranking.queries.labels
    sizes = np.bincount(labels[labels >= 0])
    few = averaging.average == "class" and np.median(sizes[sizes > 0]) < FEW
    if averaging.bootstrap is not None or few:
        return averages_of_rankings(ranking, averaging, score), False
    parts = Parts.of(ranking, averaging, halved=True)
    signs = linalg.hadamard(parts.number)[:, 1:]
    differences = np.zeros(parts.number - 1)
    for j, first in enumerate(signs.T > 0):
        for sign, side in ((0.5, first), (-0.5, ~first)):
            left = ranking.only(side[parts.queries], side[parts.database])
            differences[j] += sign * class_average(left, score(left), averaging.average)
    whole = class_average(ranking, values, averaging.average)
    return whole - signs @ differences / max(parts.number - 1, 1), True


def values_of_counts(ranking: Ranking, score: Callable[[np.ndarray], np.ndarray], top: int = 1) -> np.ndarray:
    """One value a query `[Q]`, by `score` from its histogram int64 `[q, top + 1, G]`."""
    values = np.empty(len(ranking.queries))
    for rows, counts in ranking.histograms(top):
        values[rows] = score(counts)
    return values
