"""Retrieval measures, exact over the order of ties; each result names the conditions it was measured under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.checks import check_choice, check_real, check_whole
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number
from codelab.core.result import Result, Source
from codelab.neighbours.search import ranked
from codelab.retrieval import ties as tie_orders
from codelab.retrieval.deletion import delete, measure_counts
from codelab.retrieval.options import Options, RankOptions, begin
from codelab.retrieval.ranking import HammingRanking, Ranking
from codelab.retrieval.summary import RetrievalResult, class_average, summarise

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Unpack


def retrieval_map(
    queries: Codes,
    database: Codes | None = None,
    *,
    k: int | None = None,
    ties: str = "expected",
    normalise: str = "relevant",
    **options: Unpack[Options],
) -> RetrievalResult:
    """Mean average precision, exactly, from distance histograms: the expectation over random order of ties.

    Args:
        queries: labelled Codes; an item is relevant when it has the query's label, or shares one of its labels. A
            query without a label has no relevant item; an item without one is relevant to none.
        database: labelled Codes; None, or the queries again: each query is left out of its own ranking (see
            `exclude_self`).
        k: how many places count (mAP@k), at most N; None: all. Where fewer items are left after self and groups are
            left out, the places past the last item are empty.
        ties: `expected`; `optimistic` or `pessimistic` put the relevant items of a tie first or last. With
            `normalise="found"` the better order may have the lower value, as it finds more items to divide by: the
            expected value then need not lie between the two.
        normalise: divide by all `relevant` items, by at most k of them (`min_k`), or by those `found` in the first k
            places (the hashing papers' form; 0 where none is found).
        options: `groups`, `by`, `average`, `bootstrap` and others, explained in `codelab.retrieval.options.Options`.

    Returns:
        RetrievalResult. Queries without a relevant item are left out of the average and counted in `skipped`.

    Raises:
        UsageError: an option out of range.
        DataError: sets that do not fit each other, no labels, or no query with a relevant item.

    Source:
        McSherry & Najork 2008; He et al. 2018.

    Example:
        >>> codes = Codes.from_bits([[0, 0], [0, 0], [0, 1], [1, 1]], labels=[0, 1, 0, 1])
        >>> result = retrieval_map(codes[[0]], codes)
        >>> round(result.value, 4)  # rows 0 and 1 tie at distance 0: the mean of (1 + 2/3) / 2 and (1/2 + 2/3) / 2
        0.7083
        >>> [round(retrieval_map(codes[[0]], codes, ties=t).value, 4) for t in ("optimistic", "pessimistic")]
        [0.8333, 0.5833]
    """
    ranking, averaging = begin("retrieval_map", queries, database, options)
    check_choice("ties", ties, tie_orders.TIES)
    check_choice("normalise", normalise, tie_orders.NORMALISE)
    places = _places(k, ranking)

    def score(counts: np.ndarray) -> np.ndarray:
        return tie_orders.average_precision(counts, places, ties, normalise)

    values, deleted = measure_counts(ranking, averaging, score, kind="jackknife" if k else "pairs")
    measure = f"mAP@{'ALL' if k is None else k}"
    return summarise(ranking, values, averaging, deleted, measure=measure, ties=ties, normalise=normalise)


def precision_at_k(
    queries: Codes,
    database: Codes | None = None,
    *,
    k: int,
    ties: str = "expected",
    **options: Unpack[Options],
) -> RetrievalResult:
    """Share of relevant items among the k nearest.

    Always divided by k, also where fewer than k items are left to rank after self and groups are left out.
    Arguments, result and errors are those of `retrieval_map`.

    Example:
        >>> codes = Codes.from_bits([[0, 0], [0, 0], [0, 1], [1, 1]], labels=[0, 1, 0, 1])
        >>> precision_at_k(codes[[0]], codes, k=1).value  # a relevant and another item tie at distance 0
        0.5
    """
    ranking, averaging = begin("precision_at_k", queries, database, options)
    check_choice("ties", ties, tie_orders.TIES)
    places = _places(check_whole("k", k, 0), ranking)

    def score(counts: np.ndarray) -> np.ndarray:
        hits, relevant = tie_orders.hits(counts.sum(axis=1), counts[:, 1], places, ties), counts[:, 1].sum(axis=1)
        return np.where(relevant > 0, hits / k, np.nan)

    values, deleted = measure_counts(ranking, averaging, score)
    return summarise(ranking, values, averaging, deleted, measure=f"precision@{k}", ties=ties)


def recall_at_k(
    queries: Codes,
    database: Codes | None = None,
    *,
    k: int,
    ties: str = "expected",
    **options: Unpack[Options],
) -> RetrievalResult:
    """Share of a query's relevant items that are among the k nearest.

    Arguments, result and errors are those of `retrieval_map`.

    Example:
        >>> codes = Codes.from_bits([[0, 0], [0, 0], [0, 1], [1, 1]], labels=[0, 1, 0, 1])
        >>> recall_at_k(codes[[0]], codes, k=3).value
        1.0
    """
    ranking, averaging = begin("recall_at_k", queries, database, options)
    check_choice("ties", ties, tie_orders.TIES)
    places = _places(check_whole("k", k, 0), ranking)

    def score(counts: np.ndarray) -> np.ndarray:
        hits, relevant = tie_orders.hits(counts.sum(axis=1), counts[:, 1], places, ties), counts[:, 1].sum(axis=1)
        return np.divide(hits, relevant, out=np.full(len(hits), np.nan), where=relevant > 0)

    values, deleted = measure_counts(ranking, averaging, score)
    return summarise(ranking, values, averaging, deleted, measure=f"recall@{k}", ties=ties)


def precision_within_radius(
    queries: Codes,
    database: Codes | None = None,
    *,
    radius: float = 2,
    **options: Unpack[Options],
) -> RetrievalResult:
    """Share of relevant items among all at distance <= radius (hash lookup); no order matters, so there are no ties.

    A query with no item within the radius has precision 0, as in the hashing papers; `note` has their number.
    `radius` is a Hamming distance, or 1 - cosine for features; other arguments are those of `retrieval_map`.

    Example:
        >>> codes = Codes.from_bits([[0, 0], [0, 0], [0, 1], [1, 1]], labels=[0, 1, 0, 1])
        >>> round(precision_within_radius(codes[[0]], codes, radius=1).value, 4)
        0.6667
    """
    ranking, averaging = begin("precision_within_radius", queries, database, options)
    if not check_real("radius", radius) >= 0:
        raise UsageError(f"radius={radius}: expected 0 or more")
    values, found = _within(ranking, radius)
    if isinstance(ranking, HammingRanking):
        near = int(min(radius, ranking.bits)) + 1
        deleted = measure_counts(ranking, averaging, lambda counts: tie_orders.lookup(counts, near))[1]
    else:
        deleted = delete(ranking, averaging, lambda left: _within(left, radius)[0], values)
    nothing = int(((found == 0) & ~np.isnan(values)).sum())
    note = f"{nothing:,} queries found nothing and count as 0" if nothing else ""
    measure = f"precision within {radius:g}"
    return summarise(ranking, values, averaging, deleted, measure=measure, ties=None, note=note)


@dataclass(frozen=True, kw_only=True)
class PrecisionRecallCurve(Result):
    """Precision and recall within each radius, averaged over queries; one row a radius in `to_frame`.

    `precision` is averaged over the `found` queries that have any item within the radius; a radius within which no
    query has an item is not listed.

    The line quotes the two ends of the curve.
    """

    radius: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    found: np.ndarray
    queries: Source
    n: int
    n_queries: int
    skipped: int
    bits: int | None
    by: str
    relevance: str
    left_out: str
    average: str

    def headline(self) -> str:
        ends = [f"{number(float(self.precision[i]))} at recall {number(float(self.recall[i]))}" for i in (0, -1)]
        return f"precision {' to '.join(ends)}, {self.n_queries:,} queries"

    def __str__(self) -> str:
        what = f"{ranked(self.source, self.bits)}, {'Hamming' if self.by == 'codes' else 'cosine'}"
        parts = [
            f"{self.n_queries:,} queries, N = {self.n:,}, {what}",
            f"relevant: {self.relevance}",
            f"left out: {self.left_out}" if self.left_out else "",
            f"average over {'queries' if self.average == 'query' else 'classes'}",
            f"{self.skipped:,} queries without a relevant item not counted" if self.skipped else "",
        ]
        ends = " to ".join(
            f"{self.precision[i]:.4f} at recall {self.recall[i]:.4f} (radius {self.radius[i]:g})" for i in (0, -1)
        )
        return f"precision {ends} ({'; '.join(part for part in parts if part)})"

    def to_frame(self) -> pd.DataFrame:
        """One row a radius: `radius`, `precision`, `recall`, `found`."""
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in ("radius", "precision", "recall", "found")})


def precision_recall_curve(
    queries: Codes,
    database: Codes | None = None,
    *,
    average: str = "query",
    **options: Unpack[RankOptions],
) -> PrecisionRecallCurve:
    """Precision and recall within each Hamming radius (for features: each hundredth of 1 - cosine).

    Other options are `exclude_self`, `groups`, `by` and `threads` of `codelab.retrieval.options.Options`. Arguments
    and errors are those of `retrieval_map`.

    Example:
        >>> codes = Codes.from_bits([[0, 0], [0, 0], [0, 1], [1, 1]], labels=[0, 1, 0, 1])
        >>> precision_recall_curve(codes[[0]], codes).to_frame().round(2).values.tolist()
        [[0.0, 0.5, 0.5, 1.0], [1.0, 0.67, 1.0, 1.0], [2.0, 0.5, 1.0, 1.0]]
    """
    ranking, _ = begin("precision_recall_curve", queries, database, options, RankOptions)
    check_choice("average", average, ("query", "class"))
    radii = ranking.radii()
    precision, recall = np.full((2, len(queries), len(radii)), np.nan)
    for rows, total, relevant in ranking.within(radii):
        everything = relevant[:, -1:]
        usable = everything > 0
        np.divide(relevant, total, out=precision[rows], where=usable & (total > 0))
        np.divide(relevant, everything, out=recall[rows], where=usable)
    skipped = int(np.isnan(recall[:, -1]).sum())
    if skipped == len(queries):
        raise DataError(f"precision_recall_curve: none of the {skipped} queries has a relevant item in the database")
    found = (~np.isnan(precision)).sum(axis=0)
    listed = np.flatnonzero(found)
    return PrecisionRecallCurve(
        source=ranking.source(ranking.database),
        radius=radii[listed],
        precision=np.array([class_average(ranking, precision[:, i], average) for i in listed]),
        recall=np.array([class_average(ranking, recall[:, i], average) for i in listed]),
        found=found[listed],
        queries=ranking.source(queries),
        n=len(ranking.database),
        n_queries=len(queries),
        skipped=skipped,
        bits=ranking.bits,
        by=ranking.by,
        relevance=ranking.relevance,
        left_out=ranking.left_out,
        average=average,
    )


def ndcg(
    queries: Codes,
    database: Codes | None = None,
    *,
    k: int | None = None,
    gain: str = "exponential",
    ties: str = "expected",
    **options: Unpack[Options],
) -> RetrievalResult:
    """Normalised discounted cumulative gain; the grade of an item is how many labels it shares with the query.

        DCG = sum over places i = 1 .. k of  gain_i / log2(i + 1),   nDCG = DCG / (DCG of the best order)

    Args:
        queries, database, k, ties, options: as in `retrieval_map`.
        gain: `exponential` (2^grade - 1, as in the hashing papers) or `linear` (the grade).

    Raises:
        UsageError: more labels shared than can be counted: grades times bits stay below about 32,000, which is 126
            grades at 256 bits and 28 at 1,100 (500 for features).

    Source:
        McSherry & Najork 2008, for ties.

    Example:
        >>> tags = np.array([[1, 1], [1, 0], [1, 1]], dtype=bool)
        >>> codes = Codes.from_bits([[0, 0], [0, 1], [1, 1]], labels=tags)
        >>> round(ndcg(codes[[0]], codes).value, 4)  # 3, 1, 3 where the best order is 3, 3, 1
        0.9514
    """
    ranking, averaging = begin("ndcg", queries, database, options)
    check_choice("ties", ties, tie_orders.TIES)
    check_choice("gain", gain, ("exponential", "linear"))
    places = _places(k, ranking)
    top = ranking.top_grade()
    grades = np.arange(top + 1, dtype=np.float64)
    worth = grades if gain == "linear" else 2**grades - 1

    def score(counts: np.ndarray) -> np.ndarray:
        return tie_orders.normalised_gain(counts, worth, places, ties)

    values, deleted = measure_counts(ranking, averaging, score, top, "jackknife" if k else "pairs")
    measure = f"nDCG@{'ALL' if k is None else k} ({gain} gain)"
    return summarise(ranking, values, averaging, deleted, measure=measure, ties=ties)


def knn_accuracy(
    queries: Codes,
    database: Codes | None = None,
    *,
    k: int = 20,
    weighted: bool = False,
    temperature: float = 0.07,
    **options: Unpack[Options],
) -> RetrievalResult:
    """Accuracy of a majority vote among each query's k nearest neighbours.

    The value does not depend on the order of rows. Votes of items tied at the k-th place are averaged before the
    argmax: m items tied for p places have a vote of p / m each. If c classes have the most votes and the query's
    label is among them, the query counts 1 / c. This is not the expected accuracy over random order of ties: where
    three neighbours tie for one place and two of them have the query's label, the query counts 1, not 2/3 (at k = 1
    `precision_at_k` is this expectation).

    Args:
        queries: Codes with one label an item; queries without a label are not counted.
        database: Codes with one label an item; items without a label do not vote. None, or the queries again:
            each query is left out of its own ranking.
        k: how many neighbours vote; all of them where fewer are left after self and groups are left out.
        weighted: a neighbour's vote weighs exp(cosine / temperature), as in DINO's k-NN; the cosine of two codes of B
            bits at distance d is 1 - 2 d / B.
        temperature: of the weights.
        options: as in `retrieval_map`.

    Raises:
        UsageError: an option out of range.
        DataError: sets that do not fit each other, no labels, multi-label data.

    Example:
        >>> codes = Codes.from_bits([[0, 0], [0, 1], [1, 1], [1, 0]], labels=["a", "a", "b", "b"])
        >>> knn_accuracy(codes, k=1).value  # both neighbours of every code are at distance 1, one of each class
        0.5
    """
    ranking, averaging = begin("knn_accuracy", queries, database, options)
    if ranking.database.multilabel:
        raise DataError("knn_accuracy: needs one label an item, these codes are multi-label")
    if not check_real("temperature", temperature) > 1e-300:
        raise UsageError(f"temperature={temperature}: expected more than 0")
    places = _places(check_whole("k", k, 0), ranking)

    def score(left: Ranking) -> np.ndarray:
        return _right_votes(left, places, temperature if weighted else None)

    values = score(ranking)
    deleted = delete(ranking, averaging, score, values, "halves", nearest=places)
    note = "tied neighbours share the places"
    if weighted:
        note += f"; votes weigh exp(cosine / {temperature:g})"
    measure = f"{'weighted ' if weighted else ''}{k}-NN accuracy"
    how = {"ties": "shared", "note": note, "lacking": "a label and a neighbour"}
    return summarise(ranking, values, averaging, deleted, measure=measure, **how)


def _right_votes(ranking: Ranking, places: int, temperature: float | None) -> np.ndarray:
    """1 where the vote of a query's neighbours is right, 1 / c where c classes share the most votes, `[Q]`."""
    values = np.full(len(ranking.queries), np.nan)
    for rows, votes in ranking.votes(places, temperature):
        labels = ranking.queries.labels[rows]
        most = votes.max(axis=1, keepdims=True)
        best = np.isclose(votes, most, rtol=1e-12, atol=0)
        answer = best[np.arange(len(votes)), labels] / best.sum(axis=1)
        values[rows] = np.where((labels >= 0) & (most[:, 0] > 0), answer, np.nan)
    return values


def _within(ranking: Ranking, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Precision within the radius, and the number of items within it, of each query."""
    values, found = np.empty(len(ranking.queries)), np.empty(len(ranking.queries))
    for rows, total, relevant in ranking.within(np.array([radius, np.inf])):
        precision = relevant[:, 0] / np.maximum(total[:, 0], 1)
        values[rows] = np.where(relevant[:, 1] > 0, precision, np.nan)
        found[rows] = total[:, 0]
    return values, found


def _places(k: int | None, ranking: Ranking) -> int:
    n = len(ranking.database)
    if k is not None and not 1 <= check_whole("k", k, 0) <= n:
        raise UsageError(f"k={k}: the database has {n} codes, expected 1 to {n}")
    return n if k is None else k
