"""Two codes of the same images: which bit of one is which bit of the other."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.attributes import Groups, group_column
from codelab.core.checks import check_same_images
from codelab.core.codes import Codes
from codelab.core.formats import number
from codelab.core.result import Result, Source
from codelab.measures.class_information import check_permutations
from codelab.semantics.directions import random_directions
from codelab.statistics.clusters import group_units
from codelab.statistics.exchange import shuffled_rows
from codelab.statistics.phi import phi

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Matching(Result):
    """Pairs of bits of codes `a` and `b`, one to one, with the largest sum of |phi|: arrays `[K]`, best first.

    `phi` is the correlation of bits `a` and `b` with its sign: below 0 the bit is the other's complement. `threshold`
    is the 95th percentile of the largest |phi| of matchings of permuted images: pairs above it are `matched`. `lost`
    are the bits of a without a partner above it, `new` those of b. `value` is the mean |phi| over the pairs, `null`
    that of permuted images, and `random` that of two sets of random directions of the features of a (NaN without
    features): what one backbone gives without any training of the head. `reseeded` is that of a and a training of
    another seed (NaN where none is given): what the recipe finds again by itself.

    The line quotes how many bits are matched, and the mean |phi| beside both nulls.
    """

    a: np.ndarray
    b: np.ndarray
    phi: np.ndarray
    matched: np.ndarray
    lost: np.ndarray
    new: np.ndarray
    threshold: float
    null: float
    random: float
    reseeded: float
    other: Source | None
    groups: int | None
    permutations: int

    @property
    def value(self) -> float:
        """Mean |phi| of the pairs."""
        return float(np.abs(self.phi).mean())

    def headline(self) -> str:
        found = f"{int(self.matched.sum())} of {len(self.phi)} bits matched above |phi| {number(self.threshold)}"
        null = f"permuted {number(self.null)}, random directions {number(self.random)}"
        null += "" if np.isnan(self.reseeded) else f", another seed {number(self.reseeded)}"
        return f"{found}; mean |phi| {number(self.value)} ({null})"

    def to_frame(self) -> pd.DataFrame:
        """One row a pair: `a`, `b`, `phi`, `matched`."""
        import pandas as pd

        return pd.DataFrame({"a": self.a, "b": self.b, "phi": self.phi, "matched": self.matched})


def match_bits(
    a: Codes,
    b: Codes,
    *,
    reseeded: Codes | None = None,
    groups: Groups = None,
    permutations: int = 50,
    seed: int = 0,
) -> Matching:
    """The one-to-one matching of the bits of two codes of the same images with the largest sum of |phi|.

    A code of another seed, of another run or of a later checkpoint: which bits did it find again? Give independent
    initialisations: codes that share theirs match without having learnt anything alike.

    Args:
        a, b: codes of the same items in the same order, by `id`; the bits may differ in number.
        reseeded: codes of the same items by the training of a with another seed, to compare with.
        groups: an item column of `a`, or one value an image: near copies, permuted as a whole.
        permutations: of the images of b, behind `threshold` and `null`.
        seed: of the permutations and the random directions.

    Raises:
        DataError: codes of other images, or in another order.

    Source: Kuhn 1955 (Hungarian matching); matching units over seeds: Li et al. 2016; why initialisations must be
        independent: arXiv 2606.02061.

    Example:
        >>> bits = np.random.default_rng(0).integers(0, 2, (200, 4))
        >>> found = match_bits(Codes.from_bits(bits), Codes.from_bits(1 - bits[:, [2, 0, 1, 3]]))
        >>> dict(zip(found.a.tolist(), found.b.tolist())), found.phi.tolist()
        ({0: 1, 1: 2, 2: 0, 3: 3}, [-1.0, -1.0, -1.0, -1.0])
    """
    check_permutations(permutations, seed)
    check_same_images("match_bits", a, b)
    if reseeded is not None:
        check_same_images("match_bits", a, reseeded, ("a", "reseeded"))
    units = group_units("match_bits", a, groups)
    unit = group_column(a, groups)
    generator = np.random.default_rng(seed)
    mine, theirs = a.to_bits(), b.to_bits()
    rows, columns, found = _hungarian(mine, theirs)
    null = [np.abs(_hungarian(mine, theirs[shuffled_rows(unit, generator)])[2]) for _ in range(permutations)]
    threshold = float(np.quantile([values.max() for values in null], 0.95))
    random = float("nan")
    if a.features is not None:
        sets = [random_directions(a.features, codes.bits, seed + i) for i, codes in enumerate((a, b))]
        random = float(np.abs(_hungarian(*sets)[2]).mean())
    order = np.argsort(-np.abs(found), kind="stable")
    rows, columns, found = rows[order], columns[order], found[order]
    above = np.abs(found) > threshold
    return Matching(
        source=Source.of(a),
        other=Source.of(b),
        seed=seed,
        a=rows,
        b=columns,
        phi=found,
        matched=above,
        lost=np.setdiff1d(np.arange(a.bits), rows[above]),
        new=np.setdiff1d(np.arange(b.bits), columns[above]),
        threshold=threshold,
        null=float(np.mean(null)),
        random=random,
        reseeded=float("nan") if reseeded is None else float(np.abs(_hungarian(mine, reseeded.to_bits())[2]).mean()),
        groups=None if units is None else int(units.max()) + 1,
        permutations=permutations,
    )


def _hungarian(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and phi of the matching of two sets of bits."""
    from scipy.optimize import linear_sum_assignment

    found = phi(a, b)
    rows, columns = linear_sum_assignment(np.abs(found), maximize=True)
    return rows, columns, found[rows, columns]
