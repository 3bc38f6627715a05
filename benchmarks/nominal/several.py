"""Tests and intervals of the measures of several attributes, and of retrieval."""

import dataclasses
from functools import cache

import numpy as np

from codelab.measures.disentanglement import Factors, factors
from codelab.retrieval.compare import compare_retrieval
from codelab.retrieval.measures import knn_accuracy, retrieval_map
from nominal.scenarios import Sample, Scenario, draw, holds, once, whole

SCORES = ("mig", "sap", "completeness", "informativeness", "disentanglement", "positional", "topographic")
RETRIEVAL = {"retrieval_map": (retrieval_map, {}), "knn_accuracy": (knn_accuracy, {"k": 5})}
TRUTH = 400
"""Samples whose mean is the expectation that an interval shall hold."""
APART = 100_000
"""Seeds of these samples are apart from those of the table."""


@once(whole)
def scores(sample: Sample) -> Factors:
    """What the rows of `factors` read from."""
    columns = ["kind", "size", "class"]
    return factors(sample.codes, columns, groups=sample.groups, permutations=99, seed=sample.seed)


def p_values(measure: str):
    """The row of one measure: its p-values on all factors."""
    return lambda sample: scores(sample).p_value[np.array(scores(sample).measure) == measure]


@cache
def truth(name: str, scenario: Scenario) -> float:
    """The expectation of the measure on samples of this scenario, in which labels mean nothing."""
    measure, options = RETRIEVAL[name]
    samples = (draw(scenario, APART + seed) for seed in range(TRUTH))
    return float(np.mean([measure(s.codes, groups=s.groups, bootstrap=1, **options).value for s in samples]))


def holds_truth(name: str):
    """The row of one measure: whether its interval holds the expectation. Queries are the database."""

    def row(sample: Sample) -> np.ndarray:
        measure, options = RETRIEVAL[name]
        low, high = measure(sample.codes, groups=sample.groups, **options).interval
        if (low, high) == (0, 1):  # the range of values: no interval
            low = np.nan
        return holds(low, high, truth(name, sample.scenario))

    return row


def paired(name: str):
    """The row of one measure: the p-value of the difference between two codes of the same distribution."""

    def row(sample: Sample) -> float:
        again = draw(sample.scenario, 2 * APART + sample.seed)
        other = dataclasses.replace(sample.codes, packed=again.codes.packed)
        options = RETRIEVAL[name][1]
        return compare_retrieval(sample.codes, other, measure=name, groups=sample.groups, **options).p_value

    return row


RATES = {f"factors, {measure}": p_values(measure) for measure in SCORES}
RATES |= {f"compare_retrieval, {name}": paired(name) for name in RETRIEVAL}
COVERAGES = {name: holds_truth(name) for name in RETRIEVAL}
