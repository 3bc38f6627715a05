"""Which bits vary within many classes: what is shared across classes rather than a name of one."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import special

from codelab.classes import need_classes
from codelab.codes import Codes
from codelab.counts import ClassCounts
from codelab.perbit import PerBit
from codelab.significance import binary_entropy, expected_information, table_information, wilson_interval

SPLIT = (0.2, 0.8)
"""A class is split by a bit whose share of ones in it lies strictly between these."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitReuse(PerBit):
    """Per bit, arrays `[B]`.

    `within_entropy` is H(bit | class) in bits, corrected for chance, and `within_plugin` as counted.
    `split` counts the classes with 0.2 < p(bit | class) < 0.8, `split_sure` those whose whole 95 % interval of p is
    in there. `perplexity` is the number of classes over which the within-class entropy is spread: C where the bit
    varies alike in all, 1 where it varies in one, 0 where it varies in none. `on_perplexity` is the number of
    classes over which the images with bit = 1 are spread. `classes` classes occur.
    """

    within_entropy: np.ndarray
    within_plugin: np.ndarray
    split: np.ndarray
    split_sure: np.ndarray
    perplexity: np.ndarray
    on_perplexity: np.ndarray
    classes: int

    COLUMNS = ("within_entropy", "within_plugin", "split", "split_sure", "perplexity", "on_perplexity")


def bit_reuse(codes: Codes | ClassCounts) -> BitReuse:
    """In how many classes each bit varies.

    Args:
        codes: labelled codes `[N, B]`, or their `ClassCounts`; items without a label are left out.

    Returns:
        One row a bit; see `BitReuse`.

    Raises:
        DataError: no labels, or all in one class.

    Source: the paper's section 4 shows four bits that split several classes; these are the counts of it.

    Example:
        >>> labels = np.repeat([0, 1, 2], 40)
        >>> shared, named = np.arange(120) % 2, labels == 0
        >>> reuse = bit_reuse(Codes.from_bits(np.stack([shared, named], axis=1), labels))
        >>> reuse.split.tolist(), reuse.perplexity.round(2).tolist()
        ([3, 0], [3.0, 0.0])
    """
    counts = need_classes("bit_reuse", ClassCounts.of(codes))
    class_n = counts.class_n
    share = counts.ones / class_n[:, None]
    low, high = wilson_interval(counts.ones, class_n[:, None])
    entropy = binary_entropy(counts.bit_ones / counts.n)
    plugin = table_information(counts.ones.T, class_n)
    information = plugin - expected_information(counts.bit_ones, class_n)
    return BitReuse(
        source=counts.source,
        within_entropy=np.clip(entropy - information, 0.0, entropy),
        within_plugin=np.maximum(entropy - plugin, 0.0),
        split=((share > SPLIT[0]) & (share < SPLIT[1])).sum(axis=0),
        split_sure=((low > SPLIT[0]) & (high < SPLIT[1])).sum(axis=0),
        perplexity=_perplexity(class_n[:, None] * binary_entropy(share)),
        on_perplexity=_perplexity(counts.ones),
        classes=len(class_n),
    )


def _perplexity(weights: np.ndarray) -> np.ndarray:
    """exp of the entropy of each column of `weights` `[C, B]` made to sum to 1; 0 where all are 0."""
    total = weights.sum(axis=0)
    shares = np.divide(weights, total, out=np.zeros(weights.shape), where=total > 0)
    return np.where(total > 0, np.exp(special.entr(shares).sum(axis=0)), 0.0)
