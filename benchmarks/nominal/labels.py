"""Tests and intervals of the measures that compare bits with labels."""

import numpy as np

from codelab.measures.attribute_information import attribute_information
from codelab.measures.class_information import class_information
from codelab.measures.class_log_odds import class_log_odds
from codelab.measures.joint_information import joint_information
from nominal.scenarios import Sample


def of_class(sample: Sample) -> np.ndarray:
    return class_information(sample.codes, groups=sample.groups, seed=sample.seed).p_value[sample.alive]


def of_kind(sample: Sample, given: str = "") -> np.ndarray:
    found = attribute_information(sample.codes, "kind", given=given, groups=sample.groups, seed=sample.seed)
    return found.p_value[sample.alive]


def jointly(sample: Sample) -> np.ndarray:
    """Of three kinds of labels and two ways to halve the data: one p-value a sample would say little."""
    ways = [(of, 2 * sample.seed + half) for of in ("class", "kind", "size") for half in range(2)]
    return np.array([joint_information(sample.codes, of=of, groups=sample.groups, seed=s).p_value for of, s in ways])


def of_log_odds(sample: Sample) -> np.ndarray:
    return class_log_odds(sample.codes, groups=sample.groups, seed=sample.seed).p_value[:, sample.alive]


def log_odds(sample: Sample) -> np.ndarray:
    """Whether each interval holds 0, which is the truth of every class and bit."""
    found = class_log_odds(sample.codes, groups=sample.groups, permutations=1, seed=sample.seed)
    return ((found.low <= 0) & (found.high >= 0))[:, sample.alive]


RATES = {
    "class information": of_class,
    "attribute information": of_kind,
    "attribute information given class": lambda sample: of_kind(sample, "class"),
    "joint information": jointly,
    "class log-odds": of_log_odds,
}
COVERAGES = {"class log-odds": log_odds}
