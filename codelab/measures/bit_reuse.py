"""Which bits vary within many classes: what is shared across classes rather than a name of one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from codelab.core.checks import check_seed
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.formats import number
from codelab.core.result import PerBit
from codelab.measures.class_information import need_classes
from codelab.measures.contrast_consistency import ContrastConsistency, contrast_consistency
from codelab.statistics.counts import ClassCounts
from codelab.statistics.estimators import binary_entropy, expected_information, table_information
from codelab.statistics.intervals import wilson_interval

if TYPE_CHECKING:
    import pandas as pd

SPLIT = (0.2, 0.8)
"""A class is split by a bit whose share of ones in it lies strictly between these."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitReuse(PerBit):
    """Per bit, arrays `[B]`.

    `within_entropy` is H(bit | class) in bits, corrected for chance, and `within_plugin` as counted.
    `split` counts the classes with 0.2 < p(bit | class) < 0.8, `split_sure` those whose whole 95 % interval of p is
    in there. `perplexity` is the number of classes over which the within-class entropy is spread: C where the bit
    varies alike in all, 1 where it varies in one, 0 where it varies in none. `on_perplexity` is the number of
    classes over which the images with bit = 1 are spread. `classes` classes occur. `contrast` says whether the bit
    moves the features the same way in all of them; None where there are no features.

    The line quotes how many bits split a class, the mean entropy within classes, and the line of the contrasts.
    """

    within_entropy: np.ndarray
    within_plugin: np.ndarray
    split: np.ndarray
    split_sure: np.ndarray
    perplexity: np.ndarray
    on_perplexity: np.ndarray
    classes: int
    contrast: ContrastConsistency | None = None
    estimator: str = "plug-in less its exact permutation mean"

    COLUMNS = ("within_entropy", "within_plugin", "split", "split_sure", "perplexity", "on_perplexity")

    def headline(self) -> str:
        split = f"{int((self.split > 0).sum())} of {len(self.split)} bits split a class"
        entropy = f"entropy within classes {number(float(self.within_entropy.mean()))} bit"
        return f"{split}, {entropy}" + (f"; {self.contrast.headline()}" if self.contrast else "")

    def to_frame(self) -> pd.DataFrame:
        """One row a bit; with features also the columns of `ContrastConsistency`."""
        frame = super().to_frame()
        return frame if self.contrast is None else frame.merge(self.contrast.to_frame(), on="bit")


def bit_reuse(
    codes: Codes | ClassCounts, features: np.ndarray | None = None, *, permutations: int = 200, seed: int = 0
) -> BitReuse:
    """In how many classes each bit varies, and whether it means the same in all of them.

    Args:
        codes: labelled codes `[N, B]`, or their `ClassCounts`; items without a label are left out.
        features: `[N, d]`, best of another view of the same images; default: the features of the codes, if any.
        permutations: behind the p-values of the contrast consistency.
        seed: of its chance.

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
    if features is not None and not isinstance(codes, Codes):
        raise UsageError("features: need the codes themselves, their counts are not enough")
    if permutations < 1:
        raise UsageError(f"permutations {permutations}: expected at least 1")
    check_seed(seed)
    counts = need_classes("bit_reuse", ClassCounts.of(codes))
    contrast = None
    if isinstance(codes, Codes) and (features is not None or codes.features is not None):
        contrast = contrast_consistency(codes, features, permutations=permutations, seed=seed)
    class_n = counts.class_n
    share = counts.ones / class_n[:, None]
    low, high = wilson_interval(counts.ones, class_n[:, None])
    entropy = binary_entropy(counts.bit_ones / counts.n)
    plugin = table_information(counts.ones.T, class_n)
    information = plugin - expected_information(counts.bit_ones, class_n)
    return BitReuse(
        source=counts.source,
        seed=None if contrast is None else seed,
        # a bit that never varies within a class as counted may not vary there by correction
        within_entropy=np.where(plugin >= entropy - 1e-12, 0.0, np.clip(entropy - information, 0.0, entropy)),
        within_plugin=np.maximum(entropy - plugin, 0.0),
        split=((share > SPLIT[0]) & (share < SPLIT[1])).sum(axis=0),
        split_sure=((low > SPLIT[0]) & (high < SPLIT[1])).sum(axis=0),
        perplexity=_perplexity(class_n[:, None] * binary_entropy(share)),
        on_perplexity=_perplexity(counts.ones),
        classes=len(class_n),
        contrast=contrast,
    )


def _perplexity(weights: np.ndarray) -> np.ndarray:
    """exp of the entropy of each column's shares, `weights` `[C, B]`; 0 where all are 0."""
    total = weights.sum(axis=0)
    shares = np.divide(weights, total, out=np.zeros(weights.shape), where=total > 0)
    return np.where(total > 0, np.exp(special.entr(shares).sum(axis=0)), 0.0)
