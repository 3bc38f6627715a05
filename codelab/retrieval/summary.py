"""The result of a retrieval measure: its value, a bootstrap interval, and a line to quote with all conditions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.checks import check_choice, check_real, check_whole
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number
from codelab.core.result import Result, Source
from codelab.neighbours.search import ranked
from codelab.retrieval.ranking import Ranking

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 1 << 22
"""Resampled values held at a time."""

_DISTANCE = {"codes": "Hamming", "features": "cosine"}


@dataclass(frozen=True, kw_only=True)
class RetrievalResult(Result):
    """One measure of retrieval with the conditions it was measured under; `print` gives them as a line to quote.

    `source` is the database, `queries` the query set. `per_query` is `[Q]`, NaN for the `skipped` queries, which have
    no relevant item and are not in the average. `per_class` is `[C]`, NaN where no query has the class. `interval` is
    the percentile interval, at `confidence`, of `bootstrap` resamples of the queries.

    The line quotes the measure, `value` with its interval, and how many queries gave it.
    """

    measure: str
    value: float
    interval: tuple[float, float]
    confidence: float
    bootstrap: int
    per_query: np.ndarray = field(repr=False)
    per_class: np.ndarray = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    queries: Source
    n: int
    n_queries: int
    skipped: int
    bits: int | None
    by: str
    ties: str | None
    normalise: str | None = None
    relevance: str
    left_out: str
    average: str
    note: str = ""
    lacking: str = "a relevant item"

    def headline(self) -> str:
        low, high = self.interval
        spread = f"{100 * self.confidence:g} % {number(low)} to {number(high)}"
        cut = f", {self.bits} bits used" if self.source and self.bits not in (None, self.source.bits) else ""
        return f"{self.measure} {number(self.value)} ({spread}), {self.n_queries:,} queries{cut}, {_DISTANCE[self.by]}"

    def to_frame(self) -> pd.DataFrame:
        """One row: the value, its interval and how it was measured."""
        import pandas as pd

        names = (
            "measure",
            "value",
            "confidence",
            "bootstrap",
            "n",
            "n_queries",
            "skipped",
            "bits",
            "by",
            "ties",
            "normalise",
        )
        row = {name: getattr(self, name) for name in (*names, "relevance", "left_out", "average", "note", "seed")}
        row["low"], row["high"] = self.interval
        return pd.DataFrame([row])

    def __str__(self) -> str:
        low, high = self.interval
        parts = [
            f"{self.confidence:.0%} of {self.bootstrap:,} bootstrap resamples",
            f"{self.n_queries:,} queries, N = {self.n:,}, {self.what}",
            f"ties {self.ties}" if self.ties else "",
            f"divided by {self.normalise}" if self.normalise else "",
            f"relevant: {self.relevance}",
            f"left out: {self.left_out}" if self.left_out else "",
            f"average over {'queries' if self.average == 'query' else 'classes'}",
            f"{self.skipped:,} queries without {self.lacking} not counted" if self.skipped else "",
            self.note,
            f"seed {self.seed}",
        ]
        return f"{self.measure} = {self.value:.4f} [{low:.4f}, {high:.4f}] ({'; '.join(p for p in parts if p)})"

    @property
    def what(self) -> str:
        """The codes or features that were ranked, and the distance, in words."""
        return f"{ranked(self.source, self.bits)}, {_DISTANCE[self.by]}"


@dataclass(frozen=True)
class Averaging:
    """How values of queries are averaged, and their interval; see `codelab.retrieval.options.Options`."""

    average: str = "query"
    bootstrap: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("average", self.average, ("query", "class"))
        check_whole("bootstrap", self.bootstrap, 1, "resamples")
        check_whole("seed", self.seed, 0)
        if not 0 < check_real("confidence", self.confidence) < 1:
            raise UsageError(f"confidence={self.confidence}: expected a share between 0 and 1")


def summarise(
    ranking: Ranking,
    values: np.ndarray,
    averaging: Averaging,
    *,
    measure: str,
    ties: str | None,
    normalise: str | None = None,
    note: str = "",
    lacking: str = "a relevant item",
) -> RetrievalResult:
    """The result of a measure from one value a query; NaN: the query has not what `lacking` names.

    Raises:
        DataError: all values are NaN.
    """
    counted = ~np.isnan(values)
    if not counted.any():
        raise DataError(f"{measure}: none of the {len(values)} queries has {lacking} in the database")
    kept = values[counted]
    members = _membership(ranking, counted)
    per_class = members.means(kept, np.ones(len(kept)))
    value = kept.mean() if averaging.average == "query" else _mean(per_class)
    return RetrievalResult(
        source=ranking.source(ranking.database),
        seed=averaging.seed,
        measure=measure,
        value=float(value),
        interval=_interval(kept, members, averaging),
        confidence=averaging.confidence,
        bootstrap=averaging.bootstrap,
        per_query=values,
        per_class=per_class,
        classes=ranking.queries.classes,
        queries=ranking.source(ranking.queries),
        n=len(ranking.database),
        n_queries=len(values),
        skipped=int((~counted).sum()),
        bits=ranking.bits,
        by=ranking.by,
        ties=ties,
        normalise=normalise,
        relevance=ranking.relevance,
        left_out=ranking.left_out,
        average=averaging.average,
        note=note,
        lacking=lacking,
    )


def class_average(ranking: Ranking, values: np.ndarray, average: str) -> float:
    """The mean of one value a query, without NaN: over queries, or the mean of the class means."""
    counted = ~np.isnan(values)
    if average == "query":
        return float(values[counted].mean())
    return _mean(_membership(ranking, counted).means(values[counted], np.ones(int(counted.sum()))))


@dataclass(frozen=True)
class _Members:
    """Which query is in which class, as pairs: with several labels a query is in several pairs."""

    queries: np.ndarray
    classes: np.ndarray
    n_classes: int

    def means(self, values: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Mean of each class `[C]`, query i counted `times[i]` times; NaN where a class has no queries."""
        times = times[self.queries]
        sizes = np.bincount(self.classes, times, self.n_classes)
        sums = np.bincount(self.classes, times * values[self.queries], self.n_classes)
        return np.divide(sums, sizes, out=np.full(self.n_classes, np.nan), where=sizes > 0)


def _membership(ranking: Ranking, counted: np.ndarray) -> _Members:
    """The classes of the queries that count."""
    labels = ranking.queries.labels[counted]
    queries, classes = np.nonzero(labels) if ranking.queries.multilabel else (np.arange(len(labels)), labels)
    return _Members(queries, classes, len(ranking.queries.classes))


def _mean(per_class: np.ndarray) -> float:
    return float(per_class[~np.isnan(per_class)].mean())


def _interval(values: np.ndarray, members: _Members, averaging: Averaging) -> tuple[float, float]:
    """Percentile bootstrap: the queries resampled with replacement."""
    generator = np.random.default_rng(averaging.seed)
    n, draws = len(values), np.empty(averaging.bootstrap)
    step = max(1, DRAWS // n)
    for start in range(0, len(draws), step):
        rows = generator.integers(0, n, (min(step, len(draws) - start), n), dtype=np.int32)
        part = slice(start, start + len(rows))
        if averaging.average == "query":
            draws[part] = values[rows].mean(axis=1)
        else:
            draws[part] = [_mean(members.means(values, np.bincount(r, minlength=n).astype(float))) for r in rows]
    tail = (1 - averaging.confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
