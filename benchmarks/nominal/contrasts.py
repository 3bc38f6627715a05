"""Tests and intervals of the measures that follow a bit or an attribute across classes."""

import numpy as np

from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.measures.attribute_reuse import attribute_reuse
from codelab.measures.contrast_consistency import ContrastConsistency, contrast_consistency
from nominal.scenarios import FEATURES, Sample, holds, once, whole

PARALLEL = (0.25, 0.5, 0.75, 0.9)
"""W of the planted contrasts, whose directions are drawn anew for each class."""
STEP = 4.0
"""Length of a planted contrast, in standard deviations of a feature."""
EFFECT = 0.6
"""Planted risk difference of a bit by an attribute, in the classes that have it."""
SHARED = 0.5
"""Probability that a class has it, drawn anew for each class: the reuse."""


@once(whole)
def contrasts(sample: Sample) -> ContrastConsistency:
    """What three rows of the table read from."""
    return contrast_consistency(sample.codes, sample.features, groups=sample.groups, seed=sample.seed)


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
    """The last bits are planted: each moves the features, in each class in a direction that leans on a common one."""
    _need_six_classes(sample)
    generator = np.random.default_rng([sample.seed, 13])
    inside = []
    for place, parallel in enumerate(PARALLEL, start=sample.codes.bits - len(PARALLEL)):
        aside = generator.normal(size=(len(sample.codes.classes), FEATURES - 1))
        aside *= np.sqrt(1 - parallel) / np.linalg.norm(aside, axis=1, keepdims=True)
        steps = STEP * np.column_stack([np.full(len(aside), np.sqrt(parallel)), aside])
        bit = sample.codes.to_bits()[:, place]
        features = sample.features + bit[:, None] * steps[sample.codes.labels]
        codes = Codes.from_bits(bit[:, None], sample.codes.labels, items=sample.codes.items)
        found = contrast_consistency(codes, features, groups=sample.groups, permutations=50, seed=sample.seed)
        inside.append(_known(holds(found.low, found.high, parallel)))
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
    return _known(holds(found.low, found.high, SHARED))


def reuse_within(sample: Sample) -> np.ndarray:
    found = attribute_reuse(sample.codes, "kind", groups=sample.groups, seed=sample.seed)
    return found.within_p_value[sample.alive]


def _need_six_classes(sample: Sample) -> None:
    if len(sample.codes.classes) < 6:
        raise DataError("an interval over classes needs 6 of them")


def _known(inside: np.ndarray) -> np.ndarray:
    """Bits without an interval do not count."""
    return inside[~np.isnan(inside)]


RATES = {
    "contrast moves": moves,
    "contrast shared": shared_above_0,
    "contrast flipped": flipped,
    "reuse within": reuse_within,
}
COVERAGES = {"contrast parallel": parallel, "reuse across classes": reuse}
