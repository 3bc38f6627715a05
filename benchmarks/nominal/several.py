"""Tests and intervals of the measures of several attributes, and of retrieval."""

from functools import lru_cache

import numpy as np

from codelab.measures.disentanglement import Factors, factors
from nominal.scenarios import Sample


@lru_cache(maxsize=256)
def scores(sample: Sample) -> Factors:
    return factors(sample.codes, ["kind", "size", "class"], groups=sample.groups, seed=sample.seed)


def p_values(measure: str):
    """The row of one measure: its p-values on all factors."""
    return lambda sample: scores(sample).p_value[np.array(scores(sample).measure) == measure]


SCORES = ("mig", "sap", "completeness", "informativeness", "disentanglement", "positional", "topographic")

RATES: dict = {f"factors, {measure}": p_values(measure) for measure in SCORES}
COVERAGES: dict = {}
