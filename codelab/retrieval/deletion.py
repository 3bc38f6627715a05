"""Averages of a retrieval measure without each part of the items, for the jackknife.

A part is taken out of the queries and out of the database, because both are samples; where they are the same items,
an item counts as a query and in the rankings of all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from codelab.retrieval.ranking import HammingRanking, Ranking
from codelab.retrieval.summary import Averaging, class_average
from codelab.statistics.jackknife import PARTS, deal


@dataclass(frozen=True, eq=False)
class Parts:
    """Part numbers of the queries `[Q]` and of the database `[N]`, below `number`."""

    queries: np.ndarray
    database: np.ndarray
    number: int

    @classmethod
    def of(cls, ranking: Ranking, averaging: Averaging) -> Parts:
        """Whole groups are in one part; for class averages each class is spread over all parts."""
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


def values_of_counts(ranking: Ranking, score: Callable[[np.ndarray], np.ndarray], top: int = 1) -> np.ndarray:
    """One value a query `[Q]`, by `score` from its histogram int64 `[q, top + 1, G]`."""
    values = np.empty(len(ranking.queries))
    for rows, counts in ranking.histograms(top):
        values[rows] = score(counts)
    return values
