"""Retrieval measures that do not depend on how ties fall, each with what it was measured on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from codelab.codes import Codes
from codelab.errors import DataError, UsageError
from codelab.ranking import Groups, Ranking, rank
from codelab.result import Result, Source
from codelab.search import SearchResult, search

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RetrievalResult", "SearchResult", "knn_accuracy", "retrieval_map", "search"]

TIES = ("expected", "optimistic", "pessimistic")
NORMALISE = ("relevant", "min_k", "found")


@dataclass(frozen=True, kw_only=True)
class RetrievalResult(Result):
    """One measure of retrieval, and everything a reader needs to compute it again; `print` gives a line to quote.

    `source` is the database, `queries` the query set. `per_query` is `[Q]`, NaN where a query has no relevant item
    (`skipped` of them; they are not in the average). `per_class` is `[C]`, NaN where no query has the class.
    """

    measure: str
    value: float
    interval: tuple[float, float]
    confidence: float
    per_query: np.ndarray = field(repr=False)
    per_class: np.ndarray = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    queries: Source
    n: int
    n_queries: int
    skipped: int
    bits: int | None
    by: str
    ties: str
    normalise: str | None = None
    relevance: str
    left_out: str
    average: str

    def to_frame(self) -> pd.DataFrame:
        """One row: the value, its interval and how it was measured."""
        import pandas as pd

        names = ("measure", "value", "confidence", "n", "n_queries", "skipped", "bits", "by", "ties", "normalise")
        row = {name: getattr(self, name) for name in (*names, "relevance", "left_out", "average", "seed")}
        row["low"], row["high"] = self.interval
        return pd.DataFrame([row])

    def __str__(self) -> str:
        low, high = self.interval
        what = f"{self.bits} bits, Hamming" if self.by == "codes" else "features, cosine"
        parts = [
            f"{self.n_queries:,} queries, N = {self.n:,}, {what}",
            f"ties {self.ties}",
            f"divided by {self.normalise}" if self.normalise else "",
            f"relevant: {self.relevance}",
            f"left out: {self.left_out}" if self.left_out else "",
            f"average over {'queries' if self.average == 'query' else 'classes'}",
            f"{self.skipped:,} queries without a relevant item not counted" if self.skipped else "",
            f"seed {self.seed}",
        ]
        spread = f"[{low:.4f}, {high:.4f}] ({self.confidence:.0%} bootstrap; "
        return f"{self.measure} = {self.value:.4f} {spread}{'; '.join(p for p in parts if p)})"


def retrieval_map(
    queries: Codes,
    database: Codes | None = None,
    *,
    k: int | None = None,
    ties: str = "expected",
    normalise: str = "relevant",
    exclude_self: bool = False,
    groups: Groups | tuple[Groups, Groups] = None,
    by: str = "codes",
    average: str = "query",
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    threads: int | None = None,
) -> RetrievalResult:
    """Mean average precision, exactly, from distance histograms: the expectation over random order of ties.

    Args:
        queries: labelled Codes; an item is relevant when it has the query's label, or shares one of its labels.
        database: labelled Codes; None: the queries, each left out of its own ranking.
        k: how many places count (mAP@k); None for all.
        ties: `expected`; `optimistic` or `pessimistic` put the relevant items of a tie first or last.
        normalise: divide by all `relevant` items, by at most k of them (`min_k`), or by those `found` in the first k
            places (the hashing papers' form; 0 where none is found).
        exclude_self: leave row i out of query i's ranking where `database` is the queries again.
        groups: item column, or one value an item: the query's own group is left out of its ranking as well (near
            copies: skin tones of one emoji, frames of one video). A pair of arrays where the sets differ.
        by: `codes` (Hamming), or `features` (cosine over `Codes.features`; set others with `dataclasses.replace`).
        average: over queries (`query`), or over classes the mean of their queries (`class`).
        bootstrap, confidence, seed: resamples of the queries, and the share of them the interval holds.
        threads: default: the cores this process may use.

    Returns:
        RetrievalResult. Queries without a relevant item are left out of the average and counted in `skipped`.

    Raises:
        UsageError: an option that cannot be.
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
    ranking = rank(queries, database, exclude_self=exclude_self, groups=groups, by=by, threads=threads)
    _check(ties, TIES, "ties")
    _check(normalise, NORMALISE, "normalise")
    places = _check_k(k, ranking)
    from codelab.average_precision import average_precision

    values = np.empty(len(queries))
    for rows, counts in ranking.histograms():
        total = counts.sum(axis=1)
        values[rows] = average_precision(total, counts[:, 1], places, TIES.index(ties), NORMALISE.index(normalise))
    return _result(
        ranking,
        values,
        measure=f"mAP@{'ALL' if k is None else k}",
        ties=ties,
        normalise=normalise,
        average=average,
        bootstrap=bootstrap,
        confidence=confidence,
        seed=seed,
    )


def knn_accuracy(
    queries: Codes,
    database: Codes | None = None,
    *,
    k: int = 20,
    weighted: bool = False,
    temperature: float = 0.07,
    exclude_self: bool = False,
    groups: Groups | tuple[Groups, Groups] = None,
    by: str = "codes",
    average: str = "query",
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    threads: int | None = None,
) -> RetrievalResult:
    """Share of queries whose label is the one most of their k nearest neighbours have.

    Items tied at the k-th place share the places left among them, and classes with the most votes share the answer:
    the value does not depend on the order of rows.

    Args:
        queries: Codes with one label an item; those without are not counted.
        database: Codes with labels; None: the queries, each left out of its own ranking.
        k: how many neighbours vote.
        weighted: a neighbour's vote weighs exp(cosine / temperature) (DINO's k-NN); the cosine of two codes of B bits
            at distance d is 1 - 2 d / B.
        temperature: of the weights.
        exclude_self, groups, by, average, bootstrap, confidence, seed, threads: as in `retrieval_map`.

    Raises:
        UsageError: an option that cannot be.
        DataError: sets that do not fit each other, no labels, multi-label data.

    Example:
        >>> codes = Codes.from_bits([[0, 0], [0, 1], [1, 1], [1, 0]], labels=["a", "a", "b", "b"])
        >>> knn_accuracy(codes, k=1).value  # both neighbours of every code are at distance 1, one of each class
        0.5
    """
    ranking = rank(queries, database, exclude_self=exclude_self, groups=groups, by=by, threads=threads)
    if ranking.database.multilabel:
        raise DataError("knn_accuracy: needs one label an item, these codes are multi-label")
    places = _check_k(k, ranking)
    if not temperature > 0:
        raise UsageError(f"temperature={temperature}: expected more than 0")
    labels, mine = ranking.database.labels, queries.labels
    values = np.full(len(queries), np.nan)
    for rows, distances, out in ranking.distances():
        for query, row in enumerate(distances):
            true = mine[rows.start + query]
            allowed = labels >= 0 if out is None else (labels >= 0) & ~out[query]
            near, names = row[allowed], labels[allowed]
            if true < 0 or not (names == true).any():
                continue
            votes = _votes(near, names, places, len(ranking.database.classes), weighted, temperature, ranking)
            best = np.isclose(votes, votes.max(), rtol=1e-12, atol=0)
            values[rows.start + query] = best[true] / best.sum()
    return _result(
        ranking,
        values,
        measure=f"{'weighted ' if weighted else ''}{k}-NN accuracy",
        ties="expected",
        normalise=None,
        average=average,
        bootstrap=bootstrap,
        confidence=confidence,
        seed=seed,
    )


def _votes(
    near: np.ndarray, names: np.ndarray, k: int, classes: int, weighted: bool, temperature: float, ranking: Ranking
) -> np.ndarray:
    k = min(k, len(near))
    last = np.partition(near, k - 1)[k - 1]
    ahead, tied = near < last, near == last
    weight = ahead + tied * ((k - ahead.sum()) / tied.sum())
    if weighted:
        from codelab.ranking import SCALE

        cosine = 1 - 2 * near / ranking.keep.sum() if ranking.by == "codes" else -near / SCALE**2
        weight = weight * np.exp((cosine - 1) / temperature)
    return np.bincount(names, weight, classes)


def _check(value: str, allowed: tuple[str, ...], name: str) -> None:
    if value not in allowed:
        raise UsageError(f"{name}={value!r}: expected {', '.join(allowed)}")


def _check_k(k: int | None, ranking: Ranking) -> int:
    n = len(ranking.database)
    if k is not None and not 1 <= k <= n:
        raise UsageError(f"k={k}: the database has {n} codes, expected 1 to {n}")
    return n if k is None else k


def _result(
    ranking: Ranking,
    values: np.ndarray,
    *,
    measure: str,
    ties: str,
    normalise: str | None,
    average: str,
    bootstrap: int,
    confidence: float,
    seed: int,
) -> RetrievalResult:
    _check(average, ("query", "class"), "average")
    counted = ~np.isnan(values)
    if not counted.any():
        raise DataError(f"{measure}: none of the {len(values)} queries has a relevant item in the database")
    labels = ranking.queries.labels
    if ranking.queries.multilabel:
        member = labels[counted]
    else:
        member = labels[counted][:, None] == np.arange(len(ranking.queries.classes))
    member = member.astype(np.float64)
    kept = values[counted]
    sizes = member.sum(axis=0)
    with np.errstate(invalid="ignore"):
        per_class = (kept @ member) / sizes
    rng = np.random.default_rng(seed)
    draws = np.empty(bootstrap)
    for i in range(bootstrap):
        rows = rng.integers(0, len(kept), len(kept))
        if average == "query":
            draws[i] = kept[rows].mean()
        else:
            part = member[rows]
            size = part.sum(axis=0)
            draws[i] = ((kept[rows] @ part)[size > 0] / size[size > 0]).mean()
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return RetrievalResult(
        source=Source.of(ranking.database),
        seed=seed,
        measure=measure,
        value=float(kept.mean() if average == "query" else np.nanmean(per_class)),
        interval=(float(low), float(high)),
        confidence=confidence,
        per_query=values,
        per_class=per_class,
        classes=ranking.queries.classes,
        queries=Source.of(ranking.queries),
        n=len(ranking.database),
        n_queries=len(values),
        skipped=int((~counted).sum()),
        bits=int(ranking.keep.sum()) if ranking.by == "codes" else None,
        by=ranking.by,
        ties=ties,
        normalise=normalise,
        relevance=ranking.relevance,
        left_out=ranking.left_out,
        average=average,
    )
