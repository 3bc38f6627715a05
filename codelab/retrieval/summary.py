"""The result of a retrieval measure: its value, an interval, and a line to quote with all conditions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np

from codelab.core.checks import check_choice, check_real, check_whole
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number
from codelab.core.result import Result, Source
from codelab.neighbours.search import ranked
from codelab.retrieval.ranking import Ranking
from codelab.statistics.intervals import Members, cluster_bootstrap, mean_of_classes, percentiles
from codelab.statistics.jackknife import jackknife_interval

if TYPE_CHECKING:
    import pandas as pd

_DISTANCE = {"codes": "Hamming", "features": "cosine"}


@dataclass(frozen=True, kw_only=True)
class RetrievalResult(Result):
    """One measure of retrieval with the conditions it was measured under; `print` gives them as a line to quote.

    `source` is the database, `queries` the query set. `per_query` is `[Q]`, NaN for the `skipped` queries, which have
    no relevant item and are not in the average. `per_class` is `[C]`, NaN where no query has the class.
    `small_classes` is how many classes have 1 to 4 counted queries. `interval`, at `confidence`, is that of a
    jackknife, and `deleted` `[m]` the value without each part of the items, worked out from the averages `of_subsets`
    and the `effects` of pairs of parts (see `codelab.retrieval.deletion.Design`). If `bootstrap` is a number, they are
    None, and the interval has the percentiles of so many resamples of the queries.

    The line quotes the measure, `value` with its interval, and how many queries gave it.
    """

    measure: str
    value: float
    interval: tuple[float, float]
    confidence: float
    bootstrap: int | None
    deleted: np.ndarray | None = field(repr=False)
    small_classes: int
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
    interval_by: str = ""
    design: str = ""
    of_subsets: np.ndarray | None = field(default=None, repr=False)
    effects: np.ndarray | None = field(default=None, repr=False)

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
            "interval_by",
            "small_classes",
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
            f"{self.confidence:.0%} interval by {self.interval_by}",
            f"{self.n_queries:,} queries, N = {self.n:,}, {self.what}",
            f"ties {self.ties}" if self.ties else "",
            f"divided by {self.normalise}" if self.normalise else "",
            f"relevant: {self.relevance}",
            f"left out: {self.left_out}" if self.left_out else "",
            f"average over {'queries' if self.average == 'query' else 'classes'}",
            f"{self.skipped:,} queries without {self.lacking} not counted" if self.skipped else "",
            f"{self.small_classes:,} classes have fewer than 5 queries" if self.small_classes else "",
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
    bootstrap: int | None = None
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("average", self.average, ("query", "class"))
        if self.bootstrap is not None:
            check_whole("bootstrap", self.bootstrap, 1, "resamples")
        check_whole("seed", self.seed, 0)
        if not 0 < check_real("confidence", self.confidence) < 1:
            raise UsageError(f"confidence={self.confidence}: expected a share between 0 and 1")


@dataclass(frozen=True, eq=False)
class Deleted:
    """The average without each part, `[m]`, and what it was worked out from: the averages of subsets, the effects of
    pairs of parts `[m, m]` or None, and in words."""

    averages: np.ndarray
    of_subsets: np.ndarray
    effects: np.ndarray | None
    kind: str
    how: str


def summarise(
    ranking: Ranking,
    values: np.ndarray,
    averaging: Averaging,
    deleted: Deleted | None,
    *,
    measure: str,
    ties: str | None,
    normalise: str | None = None,
    note: str = "",
    lacking: str = "a relevant item",
) -> RetrievalResult:
    """The result of a measure from one value a query; NaN: the query has not what `lacking` names.

    `deleted` is the average without each part of the items; None: the interval is a bootstrap over queries.

    Raises:
        DataError: all values are NaN.
    """
    counted = ~np.isnan(values)
    if not counted.any():
        raise DataError(f"{measure}: none of the {len(values)} queries has {lacking} in the database")
    kept = values[counted]
    members = Members.of(ranking.queries.labels[counted], len(ranking.queries.classes))
    per_class = members.means(kept)
    value = kept.mean() if averaging.average == "query" else mean_of_classes(per_class)
    if deleted is None:
        resamples = cast(int, averaging.bootstrap)
        draws = cluster_bootstrap(kept, members, average=averaging.average, resamples=resamples, seed=averaging.seed)
        interval_by = f"{resamples:,} bootstrap resamples of the queries"
        interval = percentiles(draws[:, int(averaging.average == "class")], averaging.confidence)
    else:
        interval_by = deleted.how
        interval = jackknife_interval(float(value), deleted.averages, (0.0, 1.0), averaging.confidence)
    sizes = np.bincount(members.classes)
    return RetrievalResult(
        source=ranking.source(ranking.database),
        seed=averaging.seed,
        measure=measure,
        value=float(value),
        interval=interval,
        confidence=averaging.confidence,
        bootstrap=averaging.bootstrap,
        deleted=None if deleted is None else deleted.averages,
        small_classes=int(((sizes > 0) & (sizes < 5)).sum()),
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
        interval_by=interval_by,
        design="" if deleted is None else deleted.kind,
        of_subsets=None if deleted is None else deleted.of_subsets,
        effects=None if deleted is None else deleted.effects,
    )


def class_average(ranking: Ranking, values: np.ndarray, average: str) -> float:
    """The mean of one value a query, without NaN: over queries, or the mean of the class means; NaN of no values."""
    counted = ~np.isnan(values)
    if average == "query" and counted.any():
        return float(values[counted].mean())
    members = Members.of(ranking.queries.labels[counted], len(ranking.queries.classes))
    return mean_of_classes(members.means(values[counted]))
