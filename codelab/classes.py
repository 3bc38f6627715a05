"""What each bit says about the class of an image."""

from __future__ import annotations

import dataclasses

import numpy as np

from codelab.codes import Codes
from codelab.counts import ClassCounts
from codelab.errors import DataError, UsageError
from codelab.perbit import PerBit
from codelab.significance import (
    binary_entropy,
    expected_information,
    false_discovery,
    permutation_p_value,
    permuted_information,
    table_information,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassInformation(PerBit):
    """Per bit, arrays `[B]`, in bits.

    `plugin` is I(bit; class) as counted; `expectation` its exact mean over permutations of the labels;
    `information` = plugin - expectation (near 0, either sign, where there is none); `p_value` from label
    permutations, `q_value` after Benjamini-Hochberg; `entropy` H(bit); `uncertainty` = information / H(bit).
    `n` labelled items in `classes` classes that occur.
    """

    plugin: np.ndarray
    expectation: np.ndarray
    information: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    entropy: np.ndarray
    uncertainty: np.ndarray
    n: int
    classes: int
    permutations: int

    COLUMNS = ("plugin", "expectation", "information", "p_value", "q_value", "entropy", "uncertainty")


def class_information(codes: Codes | ClassCounts, *, permutations: int = 200, seed: int = 0) -> ClassInformation:
    """Mutual information of each bit and the class, corrected for chance, with its significance.

    Args:
        codes: labelled codes `[N, B]`, or their `ClassCounts`; items without a label are left out.
        permutations: label permutations behind each p-value.
        seed: of the permutations.

    Returns:
        One row a bit; see `ClassInformation`. A bit that never changes has information 0 and p-value 1.

    Raises:
        DataError: no labels, or all in one class.
        UsageError: fewer than 1 permutation.

    Source: exact expectation: Vinh, Epps & Bailey 2010; q-values: Benjamini & Hochberg 1995.

    Example:
        >>> labels = np.arange(200) % 2
        >>> noise = np.random.default_rng(0).integers(0, 2, 200)
        >>> found = class_information(Codes.from_bits(np.stack([labels, noise], axis=1), labels))
        >>> found.plugin.round(2).tolist(), (found.q_value < 0.01).tolist()
        ([1.0, 0.0], [True, False])
    """
    if permutations < 1:
        raise UsageError(f"permutations {permutations}: expected at least 1")
    counts = need_classes("class_information", ClassCounts.of(codes))
    ones, class_n = counts.bit_ones, counts.class_n
    plugin = table_information(counts.ones.T, class_n)
    expectation = expected_information(ones, class_n)
    entropy = binary_entropy(ones / counts.n)
    varies = entropy > 0
    generator = np.random.default_rng(seed)
    p_value = np.ones(counts.bits)
    for bit in np.flatnonzero(varies):
        null = permuted_information(int(ones[bit]), class_n, permutations, generator)
        p_value[bit] = permutation_p_value(plugin[bit], null, expectation[bit])
    information = np.where(varies, plugin - expectation, 0.0)
    return ClassInformation(
        source=counts.source,
        seed=seed,
        plugin=plugin,
        expectation=expectation,
        information=information,
        p_value=p_value,
        q_value=false_discovery(p_value),
        entropy=entropy,
        uncertainty=np.divide(information, entropy, out=np.zeros_like(entropy), where=varies),
        n=counts.n,
        classes=int((class_n > 0).sum()),
        permutations=permutations,
    )


def need_classes(measure: str, counts: ClassCounts, *, multilabel: bool = False) -> ClassCounts:
    """The counts without empty classes, or a DataError where labels, or two classes, are missing."""
    if counts.multilabel and not multilabel:
        raise DataError(f"{measure}: needs one label an image, found multi-label data")
    present = np.flatnonzero(counts.class_n)
    if counts.n == 0 or len(present) == 0:
        raise DataError(f"{measure}: needs labels, and none of these codes has one")
    if len(present) == 1 and not counts.multilabel:
        raise DataError(f"{measure}: all labels are {counts.classes[present[0]]!r}, expected two classes or more")
    return dataclasses.replace(
        counts,
        class_n=counts.class_n[present],
        ones=counts.ones[present],
        classes=tuple(counts.classes[c] for c in present),
    )
