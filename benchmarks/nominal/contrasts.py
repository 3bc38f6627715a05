"""Tests and intervals of the measures that follow a bit or an attribute across classes."""

import dataclasses

import numpy as np

from codelab.core.errors import DataError
from codelab.measures.contrast_consistency import ContrastConsistency, contrast_consistency
from nominal.scenarios import FEATURES, Sample

PARALLEL = 0.5
"""W of the planted contrasts, whose directions are drawn anew for each class."""
STEP = 4.0
"""Length of a planted contrast, in standard deviations of a feature."""


def contrasts(sample: Sample) -> ContrastConsistency:
    return contrast_consistency(
        sample.codes, sample.features, groups=sample.groups, permutations=100, seed=sample.seed
    )


def moves(sample: Sample) -> np.ndarray:
    found = contrasts(sample)
    return found.moves_p_value[found.classes_used > 0]


def shared_above_0(sample: Sample) -> np.ndarray:
    found = contrasts(sample)
    return found.shared_p_value[found.classes_used > 1]


def flipped(sample: Sample) -> np.ndarray:
    found = contrasts(sample).flip_p_value
    if np.isnan(found).all():
        raise DataError("flipped signs need 6 classes")
    return found[~np.isnan(found)]


def parallel(sample: Sample) -> np.ndarray:
    """Bit 0 is planted: in each class it moves the features in a direction of its own, that leans on a common one."""
    generator = np.random.default_rng([sample.seed, 13])
    classes = len(sample.codes.classes)
    own = generator.normal(size=(classes, FEATURES - 1))
    own *= np.sqrt(1 - PARALLEL) / np.linalg.norm(own, axis=1, keepdims=True)
    steps = STEP * np.column_stack([np.full(classes, np.sqrt(PARALLEL)), own])
    bit = sample.codes.to_bits()[:, -1]
    planted = dataclasses.replace(sample, features=sample.features + bit[:, None] * steps[sample.codes.labels])
    found = contrasts(planted)
    if np.isnan(found.low[-1]):
        return np.zeros(0)
    return (found.low[-1:] <= PARALLEL) & (found.high[-1:] >= PARALLEL)


RATES = {"contrast moves": moves, "contrast shared": shared_above_0, "contrast flipped": flipped}
COVERAGES = {"contrast parallel": parallel}
