"""Two codes of the same images: the difference of a retrieval measure, with a paired interval and p-value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from codelab.core.attributes import Groups
from codelab.core.checks import check_choice, check_same_images
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number, p_phrase
from codelab.core.result import Result, Source
from codelab.retrieval import measures
from codelab.retrieval.deletion import TIED_HOW, Design
from codelab.retrieval.summary import RetrievalResult
from codelab.statistics.jackknife import jackknife_interval, jackknife_p_value

MEASURES = ("retrieval_map", "knn_accuracy", "precision_at_k", "recall_at_k", "precision_within_radius", "ndcg")


@dataclass(frozen=True, kw_only=True)
class RetrievalComparison(Result):
    """The value of code `a` minus that of code `b`, and its interval `low` to `high`, at `confidence`.

    `p_value` is two-sided: how often codes that are equally good in expectation differ by as much. `source` is that of
    `a`, `other` that of `b`; `left_out` and `average` are those of the measure.

    The line quotes the difference with its interval and p-value, and the two values.
    """

    measure: str
    value: float
    low: float
    high: float
    p_value: float
    confidence: float
    a: float
    b: float
    parts: int
    n_queries: int
    skipped: int
    small_classes: int
    average: str
    left_out: str
    other: Source | None
    note: str

    def headline(self) -> str:
        spread = f"{100 * self.confidence:g} % {number(self.low)} to {number(self.high)}"
        values = f"{number(self.a)} and {number(self.b)}"
        return f"{self.measure} difference {number(self.value)} ({spread}), {p_phrase('p', self.p_value)}, {values}"


def compare_retrieval(
    a: Codes,
    b: Codes,
    *,
    measure: str | Callable[..., RetrievalResult] = "retrieval_map",
    groups: Groups = None,
    average: str = "query",
    seed: int = 0,
    **options: Any,
) -> RetrievalComparison:
    """The difference of a retrieval measure between two codes of the same images, each image left out of its ranking.

    Both codes are measured on the same subsets of the images, as for the interval of one; the variance is that of the
    differences, so what makes an image hard to both codes cancels. With equal expectations, a p-value below 0.05
    comes in about 5 % of samples.

    Args:
        a, b: labelled Codes of the same items in the same order, by `id`; the bits may differ in number.
        measure: a measure of retrieval or its name: `retrieval_map`, `knn_accuracy`, `precision_at_k`, `recall_at_k`,
            `precision_within_radius` or `ndcg`.
        groups, average, seed: as in `codelab.retrieval.options.Options`.
        options: other options of the measure (`k`, `ties`, `by`).

    Raises:
        UsageError: a measure that is not one of these, an option out of range, or `bootstrap`.
        DataError: codes of other images, in another order or with other labels.

    Source: Efron & Tibshirani 1993, chapter 11; Kott 2001.

    Example:
        >>> labels = np.arange(80) % 4
        >>> good = Codes.from_bits(np.eye(4, dtype=bool)[labels], labels)
        >>> poor = Codes.from_bits(np.random.default_rng(0).random((80, 4)) < 0.5, labels)
        >>> found = compare_retrieval(good, poor)
        >>> round(found.value, 1), found.p_value < 0.001
        (0.7, True)
    """
    name = measure if isinstance(measure, str) else getattr(measure, "__name__", repr(measure))
    check_choice("measure", name, MEASURES)
    if "bootstrap" in options:
        raise UsageError("compare_retrieval: bootstrap is not an option, the interval is a jackknife")
    _check_same(a, b, groups)
    given: dict[str, Any] = {"groups": groups, "average": average, "seed": seed, "bootstrap": None, **options}
    first, second = (cast(RetrievalResult, getattr(measures, name)(codes, **given)) for codes in (a, b))
    value = first.value - second.value
    tied = "tied" in (first.design, second.design)
    design = Design("tied" if tied else first.design, len(cast(np.ndarray, first.deleted)))
    subsets = np.zeros(0) if tied else cast(np.ndarray, first.of_subsets) - cast(np.ndarray, second.of_subsets)
    effects = None if first.effects is None else first.effects - cast(np.ndarray, second.effects)
    difference = design.deleted(subsets, value, effects, two=True).averages
    low, high = jackknife_interval(value, difference, (-1.0, 1.0), first.confidence)
    return RetrievalComparison(
        source=first.source,
        other=second.source,
        note=f"no p-value; the interval is {TIED_HOW}" if tied else "",
        seed=seed,
        measure=first.measure,
        value=value,
        low=low,
        high=high,
        p_value=float("nan") if tied else jackknife_p_value(value, difference),
        confidence=first.confidence,
        a=first.value,
        b=second.value,
        parts=len(difference),
        n_queries=first.n_queries,
        skipped=first.skipped,
        small_classes=first.small_classes,
        average=average,
        left_out=first.left_out,
    )


def _check_same(a: Codes, b: Codes, groups: Groups) -> None:
    """Raises DataError unless the two codes have the same ids, labels and groups in the same order."""
    check_same_images("compare_retrieval", a, b)
    if a.labels is None or b.labels is None or a.classes != b.classes or not np.array_equal(a.labels, b.labels):
        raise DataError("compare_retrieval: a and b have different labels, expected the same label for each image")
    if isinstance(groups, str) and groups in a.items.column_names and groups in b.items.column_names:
        # a missing number is NaN, which differs from itself
        mine, theirs = ([None if v != v else v for v in codes.items[groups].to_pylist()] for codes in (a, b))
        if mine != theirs:
            raise DataError(f"compare_retrieval: groups={groups!r} differs between a and b, expected the same values")
