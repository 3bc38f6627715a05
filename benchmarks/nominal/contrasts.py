"""Tests and intervals of the measures that follow a bit or an attribute across classes."""

import dataclasses

import numpy as np

from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.measures.attribute_reuse import attribute_reuse
from codelab.measures.contrast_consistency import ContrastConsistency, contrast_consistency
from nominal.scenarios import FEATURES, Sample

SHARED = 0.5
"""W of the planted contrasts, whose directions are drawn anew for each class; reuse of the planted effects."""
STEP = 4.0
"""Length of a planted contrast, in standard deviations of a feature."""
EFFECT = 0.6
"""Planted risk difference of a bit by an attribute, in the classes that have it."""


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
    if len(sample.codes.classes) < 6:
        raise DataError("flipped signs need 6 classes")
    found = contrasts(sample).flip_p_value
    return found[~np.isnan(found)]


def parallel(sample: Sample) -> np.ndarray:
    """The last bits are planted: each moves the features, in each class in a direction that leans on a common one, or
    along one line, in some classes the other way."""
    _need_six_classes(sample)
    generator = np.random.default_rng([sample.seed, 13])
    classes, inside = len(sample.codes.classes), []
    for bit in range(sample.codes.bits - 4, sample.codes.bits):
        aside = generator.normal(size=(classes, FEATURES - 1))
        aside *= np.sqrt(1 - SHARED) / np.linalg.norm(aside, axis=1, keepdims=True)
        steps = np.column_stack([np.full(classes, np.sqrt(SHARED)), aside])
        if bit % 2:
            other_way = generator.random(classes) < (1 - np.sqrt(SHARED)) / 2
            steps = np.where(other_way, -1, 1)[:, None] * np.eye(FEATURES)[0]
        column = sample.codes.to_bits()[:, bit]
        features = sample.features + STEP * column[:, None] * steps[sample.codes.labels]
        codes = Codes.from_bits(column[:, None], sample.codes.labels, items=sample.codes.items)
        found = contrasts(dataclasses.replace(sample, codes=codes, features=features))
        inside.append(_holds(found.low, found.high))
    return np.concatenate(inside)


def reuse(sample: Sample) -> np.ndarray:
    """All bits are planted: in half of the classes, drawn anew, an object's bit leans on its size."""
    _need_six_classes(sample)
    generator = np.random.default_rng([sample.seed, 13])
    codes = sample.codes
    names, thing = np.unique(np.array(codes.items["object"].to_pylist()), return_inverse=True)
    large = np.array(codes.items["size"].to_pylist()) == "large"
    reads = (generator.random((len(codes.classes), codes.bits)) < SHARED)[codes.labels]
    replaced = (generator.random((len(names), codes.bits)) < EFFECT)[thing]
    planted = np.where(reads & replaced, large[:, None], codes.to_bits())
    planted = Codes.from_bits(planted, codes.labels, items=codes.items)
    found = attribute_reuse(planted, "size", groups=sample.groups, permutations=1, seed=sample.seed)
    return _holds(found.low, found.high)


def reuse_within(sample: Sample) -> np.ndarray:
    found = attribute_reuse(sample.codes, "kind", groups=sample.groups, seed=sample.seed)
    return found.within_p_value[sample.alive]


def _need_six_classes(sample: Sample) -> None:
    if len(sample.codes.classes) < 6:
        raise DataError("an interval over classes needs 6 of them")


def _holds(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    told = ~np.isnan(low)
    return ((low <= SHARED) & (high >= SHARED))[told]


RATES = {
    "contrast moves": moves,
    "contrast shared": shared_above_0,
    "contrast flipped": flipped,
    "reuse within": reuse_within,
}
COVERAGES = {"contrast parallel": parallel, "reuse across classes": reuse}
