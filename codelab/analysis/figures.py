"""The figures that verdicts use, each one number of a set of codes: controls are measured in the same way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from codelab.analysis.given import block_width
from codelab.core.bits import differing
from codelab.core.codes import Codes
from codelab.core.errors import CodelabError, DataError
from codelab.measures.bit_usage import bit_usage
from codelab.measures.block_entropy import block_entropy
from codelab.measures.class_information import class_information, need_classes
from codelab.measures.degrees_of_freedom import degrees_of_freedom
from codelab.measures.pair_distances import pair_distances
from codelab.retrieval.compare import RetrievalComparison, compare_retrieval
from codelab.retrieval.sampled import MEASURES, K, k_of
from codelab.statistics.counts import ClassCounts
from codelab.statistics.estimators import expected_information, strata_information

PAIRS = 20_000
"""Pairs of images whose distances are compared."""

PERMUTATIONS = 20
"""Permutations of whole groups behind the mean information by chance; the mean over bits needs no more."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Images that codes are compared on.

    Args:
        codes: the codes to be measured, with labels and ids alone.
        groups: numbers `[N]` of near copies, or None.
        pairs: row numbers `[2, PAIRS]` of two different images each.
        cosines: `[PAIRS]` of their features, or None.
        seed: of what measures draw; the same for all codes, so that their differences are paired.
    """

    codes: Codes
    groups: np.ndarray | None
    pairs: np.ndarray
    cosines: np.ndarray | None
    seed: int

    @classmethod
    def of(cls, codes: Codes, groups: np.ndarray | None, seed: int) -> Sample:
        """Codes `[N, B]` with all they have, N at least 2."""
        generator, n = np.random.default_rng(seed), len(codes)
        first = generator.integers(0, n, PAIRS)
        pairs = np.stack([first, (first + generator.integers(1, n, PAIRS)) % n])
        cosines = None
        if codes.features is not None:
            length = np.linalg.norm(codes.features, axis=1, keepdims=True)
            unit = codes.features / np.where(length > 0, length, 1)
            cosines = np.einsum("pd,pd->p", unit[pairs[0]], unit[pairs[1]])
        bare = replace(codes, items=codes.items.select(["id"]), features=None, logits=None)
        return cls(bare, groups, pairs, cosines, seed)

    def measured(self, packed: np.ndarray | None = None, *, related: bool = False) -> dict[str, float]:
        """The figures of these codes, or of others of the same images; without those that cannot be measured.

        `related`: only those that relate the bits to the class or the features.
        """
        sample = self if packed is None else replace(self, codes=replace(self.codes, packed=packed))
        found = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of few images: all codes have as many
            for figure in FIGURES:
                if related and not figure.about:
                    continue
                try:
                    value = figure.measure(sample)
                except CodelabError:  # no labels, too few images to fill a block, all pairs at one distance
                    continue
                if np.isfinite(value):
                    found[figure.name] = value
        return found


def _class_information(sample: Sample) -> float:
    """Mean over bits of the corrected information about the class; of several labels an image, the sum over labels."""
    if sample.groups is None and not sample.codes.multilabel:  # the mean by chance is exact: no p-value, no draws
        counts = need_classes("class_information", ClassCounts.of(sample.codes))
        by_chance = expected_information(counts.bit_ones, counts.class_n)
        return float((strata_information(counts.ones[None], counts.class_n[None]) - by_chance).mean())
    permutations = 1 if sample.groups is None else PERMUTATIONS
    options: dict[str, Any] = {"groups": sample.groups, "permutations": permutations, "seed": sample.seed}
    return float(class_information(sample.codes, **options).information.mean())


def _retrieval(name: str) -> Callable[[Sample], float]:
    def value(sample: Sample) -> float:
        need_classes(name, ClassCounts.of(sample.codes), multilabel=True)  # of one class, all images are relevant
        options: dict[str, Any] = {"groups": sample.groups, "bootstrap": 1, "seed": sample.seed}
        return MEASURES[name](sample.codes, **k_of(name, len(sample.codes)), **options).value

    return value


def _feature_distances(sample: Sample) -> float:
    """Correlation, over pairs of images, of the Hamming distance with 1 - cosine of the features."""
    if sample.cosines is None:
        raise DataError("feature_distances: these codes have no features")
    first, second = sample.codes.packed[sample.pairs]
    apart = differing(first, second)
    if apart.std() == 0 or sample.cosines.std() == 0:
        raise DataError("feature_distances: all pairs are at one distance")
    return float(np.corrcoef(apart, 1 - sample.cosines)[0, 1])


def paired_retrieval(a: Codes, b: Codes, groups: np.ndarray | None, seed: int) -> dict[str, RetrievalComparison]:
    """The paired difference of two codes of the same images in each retrieval measure that they have."""
    found = {}
    for name in MEASURES:
        options: dict[str, Any] = {**k_of(name, len(a)), "groups": groups, "seed": seed}
        try:
            found[name] = compare_retrieval(a, b, measure=name, **options)
        except CodelabError:  # no labels, no pair of one class, or several labels an image
            continue
    return found


@dataclass(frozen=True)
class Figure:
    """A figure that a verdict uses.

    Args:
        name: of its measure.
        words: how a table calls it.
        title: of the verdict that it stands beside.
        measure: its value; raises CodelabError where there is none.
        about: what it relates the bits to, `class` or `features`; empty where it looks at the bits alone.
        decimals: how it is rounded.
    """

    name: str
    words: str
    title: str
    measure: Callable[[Sample], float]
    about: Literal["", "class", "features"] = ""
    decimals: int = 3


FIGURES = (
    Figure("mean_entropy", "mean entropy of a bit", "Bit balance", lambda s: bit_usage(s.codes).value),
    Figure(
        "bits_in_use",
        "bits in use",
        "Bits in use",
        lambda s: float((bit_usage(s.codes).state == "active").sum()),
        decimals=0,
    ),
    Figure(
        "degrees_of_freedom",
        "independent bits",
        "Independent bits",
        lambda s: degrees_of_freedom(s.codes, groups=s.groups).value,
        decimals=1,
    ),
    Figure(
        "block_entropy",
        "entropy of a block of bits",
        "Block entropy",
        lambda s: block_entropy(s.codes, block_width(s.codes)).value,
        decimals=2,
    ),
    Figure(
        "class_information",
        "class information of a bit",
        "Class in single bits",
        _class_information,
        "class",
    ),
    Figure(
        "class_in_distances",
        "pairs of one class nearer than of two",
        "Class in distances",
        lambda s: pair_distances(s.codes, pairs=PAIRS, seed=s.seed).value,
        "class",
    ),
    Figure("retrieval_map", "mAP@ALL", "Retrieval", _retrieval("retrieval_map"), "class"),
    Figure("knn_accuracy", f"{K}-NN accuracy", "Retrieval", _retrieval("knn_accuracy"), "class"),
    Figure("precision_at_k", f"precision@{K}", "Retrieval", _retrieval("precision_at_k"), "class"),
    Figure(
        "feature_distances",
        "correlation with distances of features",
        "",
        _feature_distances,
        "features",
    ),
)
NAMED = {figure.name: figure for figure in FIGURES}
