"""Tests of the measures of meaning."""

import dataclasses

import numpy as np
import pyarrow as pa

from codelab.core.codes import Codes
from codelab.semantics.alignment import align_attributes
from codelab.semantics.ccgp import ccgp
from codelab.semantics.decodable import decodable_bits
from codelab.semantics.formulas import describe
from codelab.semantics.matching import match_bits
from codelab.semantics.monosemanticity import monosemanticity
from codelab.semantics.pairs import attribute_pairs
from nominal.scenarios import Sample, draw

APART = 500_000
"""Seeds of a second, unrelated code of each sample are apart from those of the table."""


def aligned(sample: Sample) -> np.ndarray:
    """The smallest p-value of a sample: it is over all bits and questions already."""
    columns = ["class", "kind", "size"]
    found = align_attributes(sample.codes, columns, groups=sample.groups, permutations=99, seed=sample.seed)
    return found.p_value.min()


def of_pairs(sample: Sample) -> np.ndarray:
    """An attribute without meaning that differs between the copies of an object."""
    view = np.random.default_rng([sample.seed, 13]).integers(0, 2, len(sample.codes)).astype(str)
    codes = dataclasses.replace(sample.codes, items=sample.codes.items.append_column("view", pa.array(view)))
    found = attribute_pairs(codes, "view", equal=(), groups=sample.groups, permutations=99, seed=sample.seed)
    return found.p_value[sample.alive]


def alike(sample: Sample) -> np.ndarray:
    found = monosemanticity(sample.codes, sample.features, groups=sample.groups, permutations=99, seed=sample.seed)
    return found.p_value[sample.alive]


def generalised(sample: Sample) -> np.ndarray:
    """Of two attributes, by bits and by features."""
    codes = dataclasses.replace(sample.codes, features=sample.features.astype(np.float32))
    found = [ccgp(codes, of, groups=sample.groups, permutations=39, seed=sample.seed) for of in ("kind", "size")]
    return np.array([p for one in found for p in (one.p_value, one.features_p_value)])


def matched(sample: Sample) -> np.ndarray:
    """0 where a bit is matched with one of an unrelated code, else 1."""
    found = match_bits(sample.codes, unrelated(sample), groups=sample.groups, permutations=99, seed=sample.seed)
    return np.array(0.0 if found.matched.any() else 1.0)


def decoded(sample: Sample) -> np.ndarray:
    """The smallest p-value of four bits that are read from an unrelated code: it is over all of them already."""
    few = sample.codes.select_bits(np.flatnonzero(sample.alive)[:4])
    found = decodable_bits(few, unrelated(sample), groups=sample.groups, permutations=99, seed=sample.seed)
    return found.p_value.min()


def unrelated(sample: Sample) -> Codes:
    """Another code of the same images, which are near copies in it too."""
    other = draw(sample.scenario, APART + sample.seed).codes
    return Codes.from_bits(other.to_bits(), items={"id": sample.codes.items["id"].to_pylist()})


def described(sample: Sample) -> np.ndarray:
    options = {"literals": 1, "beam": 1, "permutations": 99, "seed": sample.seed}
    selections = ("kind = cat", "kind = dog", "size = small")
    return np.array([describe(sample.codes, of, groups=sample.groups, **options).p_value for of in selections])


RATES = {
    "alignment, smallest p": aligned,
    "attribute pairs": of_pairs,
    "monosemanticity": alike,
    "CCGP": generalised,
    "bits matched": matched,
    "decodable bits": decoded,
    "formulas": described,
}
