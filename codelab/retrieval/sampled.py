"""How well codes and their features retrieve, on a bounded number of queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from codelab.core.attributes import Groups, group_column, named_groups
from codelab.core.checks import check_codes, check_whole
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.formats import number
from codelab.core.result import Result, Source
from codelab.core.verdict import Verdict
from codelab.retrieval import ties
from codelab.retrieval.measures import knn_accuracy, precision_at_k, retrieval_map
from codelab.retrieval.ranking import rank
from codelab.retrieval.summary import RetrievalResult, class_average

if TYPE_CHECKING:
    import pandas as pd

K = 10
"""Neighbours of k-NN accuracy and precision@k; fewer where there are fewer images."""

MEASURES: dict[str, Callable[..., RetrievalResult]] = {
    "retrieval_map": retrieval_map,
    "knn_accuracy": knn_accuracy,
    "precision_at_k": precision_at_k,
}

QUERIES = 2000
"""Most queries."""

PAIRS = 20_000_000
"""Pairs of query and image that are ranked: seconds. More images have fewer queries."""

FEWEST = 200
"""Fewest queries, whatever the number of images."""


@dataclass(frozen=True, kw_only=True)
class SampledRetrieval(Result):
    """One row a measure, arrays `[M]`: `values` of the codes, their interval `low` to `high`, and `features`.

    Each of the `queries` ranks all other images. `features` are the values by cosine of the features on the same
    queries, NaN where there are none. `names` are the functions, `measures` how a measure is quoted.

    The line quotes the values of codes and features, and the number of queries.
    """

    names: tuple[str, ...]
    measures: tuple[str, ...]
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    features: np.ndarray
    confidence: float
    queries: int
    left_out: str

    def headline(self) -> str:
        parts = [f"{name} {number(value)}" for name, value in zip(self.measures, self.values, strict=True)]
        beside = " / ".join(number(value) for value in self.features)
        words = "no features" if np.isnan(self.features).all() else f"features {beside}"
        return f"{', '.join(parts)} ({words}), {self.queries:,} queries"

    def to_frame(self) -> pd.DataFrame:
        """One row a measure."""
        import pandas as pd

        columns = {"measure": self.measures, "codes": self.values, "low": self.low, "high": self.high}
        return pd.DataFrame(columns | {"features": self.features, "queries": self.queries})


def sampled_retrieval(
    codes: Codes, *, groups: Groups = None, queries: int | None = None, seed: int = 0
) -> SampledRetrieval:
    """mAP, 10-NN accuracy and precision@10 of codes and of their features, on the same random queries.

    Args:
        codes: labelled codes `[N, B]`.
        groups: item column, or one value an image: a query's own group is left out of its ranking.
        queries: how many, at most N. Default: 2,000, and fewer above 10,000 images, but at least 200.
        seed: of the queries, and of the parts of the intervals.

    Returns:
        One row a measure; multi-label codes have no k-NN accuracy.

    Raises:
        UsageError: an option out of range.
        DataError: no labels, or no query with a relevant item.

    Example:
        >>> sampled_retrieval(Codes.from_bits(np.eye(4)[np.arange(80) % 4], np.arange(80) % 4), queries=50).headline()
        'mAP@ALL 1.000, 10-NN accuracy 1.000, precision@10 1.000 (no features), 50 queries'
    """
    check_codes("codes", codes)
    n = len(codes)
    if n < 2 or not codes.labelled:
        raise DataError(f"sampled_retrieval: found {n} codes, expected 2 or more with labels")
    most = min(QUERIES, max(FEWEST, PAIRS // n)) if queries is None else check_whole("queries", queries, 1)
    bare = replace(codes, items=codes.items.select(["id"]), features=None, logits=None)
    rows = np.sort(np.random.default_rng(seed).choice(n, most, replace=False)) if most < n else None
    groups = named_groups(groups)
    own: Any = None if groups is None else group_column(codes, groups)
    if rows is not None:
        unit = np.arange(n) if own is None else own
        own = (unit[rows], unit)

    def measured(name: str, database: Codes, **how: Any) -> RetrievalResult:
        sets = (database,) if rows is None else (database[rows], database)
        return MEASURES[name](*sets, groups=own, seed=seed, **k_of(name, n), **how)

    names = tuple(name for name in MEASURES if name != "knn_accuracy" or not codes.multilabel)
    found = [measured(name, bare) for name in names]
    beside = np.full(len(names), np.nan)
    if codes.features is not None:
        ranked = replace(bare, features=codes.features)
        by_name = _in_one_pass(ranked if rows is None else ranked[rows], ranked, own)
        if "knn_accuracy" in names:  # one resample: no interval is shown, and a jackknife would rank 20 times
            by_name["knn_accuracy"] = measured("knn_accuracy", ranked, by="features", bootstrap=1).value
        beside = np.array([by_name[name] for name in names])
    return SampledRetrieval(
        source=Source.of(codes),
        seed=seed,
        names=names,
        measures=tuple(result.measure for result in found),
        values=np.array([result.value for result in found]),
        low=np.array([result.interval[0] for result in found]),
        high=np.array([result.interval[1] for result in found]),
        features=beside,
        confidence=found[0].confidence,
        queries=found[0].n_queries,
        left_out="self" if groups is None else f"same {groups}" if isinstance(groups, str) else "same group",
    )


def _in_one_pass(queries: Codes, database: Codes, groups: Any) -> dict[str, float]:
    """mAP and precision@k by features: ranking them takes longer than all else, and both follow from its counts."""
    ranking = rank(queries, database, groups=groups, by="features")
    k = k_of("precision_at_k", len(database))["k"]
    average, precision = np.empty((2, len(queries)))
    for rows, counts in ranking.histograms():
        average[rows] = ties.average_precision(counts, len(database), "expected", "relevant")
        precision[rows] = ties.hits(counts.sum(axis=1), counts[:, 1], k, "expected") / k
    precision[np.isnan(average)] = np.nan  # no relevant item
    values = {"retrieval_map": average, "precision_at_k": precision}
    return {name: class_average(ranking, each, "query") for name, each in values.items()}


def k_of(name: str, n: int) -> dict[str, int]:
    """The option `k` of a measure on n images, where it has one."""
    return {} if name == "retrieval_map" else {"k": max(1, min(K, n - 1))}


def judge_retrieval(title: str, found: SampledRetrieval, results: Mapping[str, Result]) -> Verdict:
    """How well do the codes retrieve? A note: what is good depends on the classes, so the controls judge it."""
    parts = []
    for name, value, low, high, features in zip(
        found.measures, found.values, found.low, found.high, found.features, strict=True
    ):
        beside = "" if np.isnan(features) else f", features {features:.3f}"
        parts.append(f"{name} {value:.3f} ({found.confidence:.0%} interval {low:.3f} to {high:.3f}{beside})")
    others = "all other images" if found.left_out == "self" else "all images of other groups"
    text = f"{'; '.join(parts)}. {found.queries:,} queries, each against {others}."
    return Verdict("note", title, f"{found.measures[0]} {found.values[0]:.3f}", text)
