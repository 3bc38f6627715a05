"""Which bits vary within many classes: what is shared across classes rather than a name of one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from codelab.core.attributes import Groups
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.formats import number
from codelab.core.result import PerBit
from codelab.kernels.counting import class_counts
from codelab.measures.class_information import check_permutations, need_classes
from codelab.measures.contrast_consistency import ContrastConsistency, contrast_consistency
from codelab.statistics.counts import ClassCounts
from codelab.statistics.estimators import binary_entropy, expected_information, table_information
from codelab.statistics.exchange import Exchange, need_groups
from codelab.statistics.intervals import wilson_interval

if TYPE_CHECKING:
    import pandas as pd

SPLIT = (0.2, 0.8)
"""A class is split by a bit whose share of ones in it lies strictly between these."""

ESTIMATOR = "plug-in less its exact permutation mean"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitReuse(PerBit):
    """Per bit, arrays `[B]`.

    `within_entropy` is H(bit | class) in bits, corrected for chance, and `within_plugin` as counted.
    `split` counts the classes with 0.2 < p(bit | class) < 0.8, `split_sure` those whose whole 95 % interval of p is
    in there (Wilson's; with `groups` of near copies, each worth one image). `perplexity` is the number of classes over
    which the within-class entropy is spread: C where the bit varies alike in all, 1 where it varies in one, 0 where it
    varies in none. `on_perplexity` is the number of classes over which the images with bit = 1 are spread. `classes`
    classes occur. `contrast` says whether the bit moves the features the same way in all of them; None where there are
    no features.

    The line quotes how many bits split a class, the mean entropy within classes, and the line of the contrasts.
    """

    within_entropy: np.ndarray
    within_plugin: np.ndarray
    split: np.ndarray
    split_sure: np.ndarray
    perplexity: np.ndarray
    on_perplexity: np.ndarray
    classes: int
    groups: int | None = None
    contrast: ContrastConsistency | None = None
    estimator: str = ESTIMATOR

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
    codes: Codes | ClassCounts,
    features: np.ndarray | None = None,
    *,
    groups: Groups = None,
    permutations: int = 200,
    seed: int = 0,
) -> BitReuse:
    """In how many classes each bit varies, and whether it means the same in all of them.

    Args:
        codes: labelled codes `[N, B]`, or their `ClassCounts`; items without a label are left out.
        features: `[N, d]`, best of another view of the same images; default: the features of the codes, if any.
        groups: an item column or one value an image; images of one group are near copies.
        permutations: behind the p-values of the contrast consistency; with groups also of the labels by whole groups,
            whose mean information corrects the entropy.
        seed: of its chance.

    Returns:
        One row a bit; see `BitReuse`.

    Raises:
        DataError: no labels, all in one class, or one group only.
        UsageError: groups or features with counts in place of codes.

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
    check_permutations(permutations, seed)
    counts = need_classes("bit_reuse", ClassCounts.of(codes))
    labelled = codes.labels >= 0 if isinstance(codes, Codes) else slice(None)
    units = need_groups("bit_reuse", codes, groups, labelled)
    contrast = None
    if isinstance(codes, Codes) and (features is not None or codes.features is not None):
        contrast = contrast_consistency(codes, features, groups=groups, permutations=permutations, seed=seed)
    class_n = counts.class_n
    share = counts.ones / class_n[:, None]
    if units is None or not isinstance(codes, Codes):
        low, high = wilson_interval(counts.ones, class_n[:, None])
        chance = expected_information(counts.bit_ones, class_n)
    else:
        rows = codes[labelled]
        low, high = wilson_interval(*_group_shares(rows, units))
        chance = _mean_information(rows, units, permutations, seed)
    entropy = binary_entropy(counts.bit_ones / counts.n)
    plugin = table_information(counts.ones.T, class_n)
    information = plugin - chance
    return BitReuse(
        source=counts.source,
        seed=None if contrast is None and units is None else seed,
        # a bit that never varies within a class as counted may not vary there by correction
        within_entropy=np.where(plugin >= entropy - 1e-12, 0.0, np.clip(entropy - information, 0.0, entropy)),
        within_plugin=np.maximum(entropy - plugin, 0.0),
        split=((share > SPLIT[0]) & (share < SPLIT[1])).sum(axis=0),
        split_sure=((low > SPLIT[0]) & (high < SPLIT[1])).sum(axis=0),
        perplexity=_perplexity(class_n[:, None] * binary_entropy(share)),
        on_perplexity=_perplexity(counts.ones),
        classes=len(class_n),
        groups=None if units is None else int(units.max()) + 1,
        contrast=contrast,
        estimator=ESTIMATOR if units is None else "plug-in less its mean over permutations of whole groups",
    )


def _group_shares(codes: Codes, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In each class that occurs, the sum over groups of their shares of ones `[C, B]`, and groups `[C, 1]`."""
    ones, number = [], []
    for c in np.unique(codes.labels):
        rows = np.flatnonzero(codes.labels == c)
        _, unit, sizes = np.unique(units[rows], return_inverse=True, return_counts=True)
        counts = class_counts(codes.packed[rows], codes.bits, unit.reshape(-1), len(sizes))
        ones.append((counts / sizes[:, None]).sum(axis=0))
        number.append([len(sizes)])
    return np.stack(ones), np.array(number)


def _mean_information(codes: Codes, units: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Plug-in information of bit and class, `[B]`, on average over permutations of the labels by whole groups."""
    generator, exchange = np.random.default_rng(seed), Exchange.of(codes.labels, units)
    total = np.zeros(codes.bits)
    for _ in range(permutations):
        labels = exchange.draw(generator)
        sizes = np.bincount(labels, minlength=len(codes.classes))
        total += table_information(class_counts(codes.packed, codes.bits, labels, len(sizes)).T, sizes)
    return total / permutations


def _perplexity(weights: np.ndarray) -> np.ndarray:
    """exp of the entropy of each column's shares, `weights` `[C, B]`; 0 where all are 0."""
    total = weights.sum(axis=0)
    shares = np.divide(weights, total, out=np.zeros(weights.shape), where=total > 0)
    return np.where(total > 0, np.exp(special.entr(shares).sum(axis=0)), 0.0)
