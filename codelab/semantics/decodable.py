"""Decodable bits: which bits of one code can be read linearly from another code of the same images."""

from __future__ import annotations

import dataclasses

import numpy as np

from codelab.core.attributes import Groups, group_column
from codelab.core.checks import check_same_images, need_items
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.formats import number
from codelab.core.result import PerBit, Source
from codelab.measures.class_information import check_permutations
from codelab.semantics.read_out import read_out
from codelab.statistics.clusters import group_units
from codelab.statistics.exchange import shuffled_rows
from codelab.statistics.nulls import permutation_p_value
from codelab.statistics.phi import paired_phi, phi
from codelab.statistics.precision_recall import precision_recall_areas
from codelab.statistics.splits import half

IMAGES = 20_000
"""Images that are looked at, at most."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodableBits(PerBit):
    """Per bit of the earlier code, arrays `[B]`: how well all bits of the later code give it, on held-out images.

    `phi` is the correlation of the bit with the read-out's answer, `accuracy` the share of right answers beside
    `majority`, that of the more frequent value, and `auprc` the area under the precision-recall curve beside its
    chance level `prevalence`. `single` is the bit of the later code that agrees with it best, chosen on the half that
    the read-out was fitted on, and `single_phi` its correlation, turned to its side; `single_auprc` likewise: where
    the read-out is far above it, the bit is still there, but spread over several. `p_value`: how often the largest phi
    of all bits reaches this one where images are permuted. A bit that never changes in a half has phi 0 and NaN
    elsewhere.

    The line quotes how many bits can be read, and the mean phi of the read-outs beside that of single bits.
    """

    phi: np.ndarray
    accuracy: np.ndarray
    majority: np.ndarray
    auprc: np.ndarray
    prevalence: np.ndarray
    single: np.ndarray
    single_phi: np.ndarray
    single_auprc: np.ndarray
    p_value: np.ndarray
    n_scored: int
    other: Source | None
    groups: int | None
    permutations: int
    estimator: str = "logistic read-out, fitted on one half and scored on the other; the p-value is over all bits"

    COLUMNS = (
        *("phi", "accuracy", "majority", "auprc", "prevalence"),
        *("single", "single_phi", "single_auprc", "p_value"),
    )

    def headline(self) -> str:
        found = f"{int((self.p_value < 0.05).sum())} of {len(self.phi)} bits can be read at p < 0.05"
        means = f"mean phi {number(float(self.phi.mean()))}, by the best single bit"
        return f"{found}; {means} {number(float(self.single_phi.mean()))}"


def decodable_bits(
    before: Codes, after: Codes, *, groups: Groups = None, permutations: int = 200, seed: int = 0
) -> DecodableBits:
    """Which bits of a code are still linearly decodable from another code of the same images.

    After a head reset, or any later training: a bit that no single new bit repeats may still be there as a direction.

    Args:
        before: the code whose bits are read, `[N, B]`.
        after: the code they are read from, of the same items in the same order, by `id`.
        groups: an item column of `before`, or one value an image; images of one group are near copies: they are in one
            half, and are permuted as a whole.
        permutations: of the held-out images, behind the p-values.
        seed: of the images where there are more than `IMAGES`, of the halves and the permutations.

    Raises:
        UsageError: no such column.
        DataError: codes of other images, or in another order; too few images (groups) for two halves; or a read-out
            that does not converge.

    Source: linear probes: Alain & Bengio 2016 (arXiv 1610.01644); the distribution of the maximum: Westfall & Young
        1993.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> new, coin = rng.integers(0, 2, (400, 6)), rng.integers(0, 2, 400)
        >>> old = np.stack([1 - new[:, 4], new[:, :3].sum(axis=1) > 1, coin], axis=1)
        >>> found = decodable_bits(Codes.from_bits(old), Codes.from_bits(new))
        >>> found.accuracy[:2].tolist(), (found.p_value < 0.05).tolist(), bool(found.single_phi[1] < 0.7)
        ([1.0, 1.0], [True, True, False], True)
    """
    check_permutations(permutations, seed)
    check_same_images("decodable_bits", before, after, ("before", "after"))
    need_items("decodable_bits", len(before), least=4)
    units = group_units("decodable_bits", before, groups)
    unit = group_column(before, groups)
    generator = np.random.default_rng(seed)
    rows = np.arange(len(before))
    if len(rows) > IMAGES:
        rows = np.sort(generator.choice(rows, IMAGES, replace=False))
        unit = np.unique(unit[rows], return_inverse=True)[1].reshape(-1)
    order = generator.permutation(int(unit.max(initial=-1)) + 1)
    first = half(order, unit)
    fit, score = np.flatnonzero(first), np.flatnonzero(~first)
    if min(len(np.unique(unit[part])) for part in (fit, score)) < 2:
        raise DataError(f"decodable_bits: {len(order)} images or groups, expected two or more in each half")
    old, new = before[rows].to_bits(), after[rows].to_bits()
    agrees = phi(old[fit], new[fit])
    single = np.abs(agrees).argmax(axis=1)
    side = agrees[np.arange(before.bits), single] >= 0
    alone, truth = new[score][:, single] == side, old[score]
    sure = _answers(old[fit], new[fit], new[score])
    given = sure > 0
    found = paired_phi(given, truth)
    unit_of = np.unique(unit[score], return_inverse=True)[1].reshape(-1)
    null = [paired_phi(given, truth[shuffled_rows(unit_of, generator)]).max() for _ in range(permutations)]
    share = truth.mean(axis=0)
    known = ~np.isnan(sure).any(axis=0) & (share > 0) & (share < 1)
    return DecodableBits(
        source=Source.of(before),
        other=Source.of(after),
        seed=seed,
        phi=found,
        accuracy=np.where(known, (given == truth).mean(axis=0), np.nan),
        majority=np.maximum(share, 1 - share),
        auprc=_areas(truth, sure, known),
        prevalence=share,
        single=single,
        single_phi=paired_phi(alone, truth),
        single_auprc=_areas(truth, alone, known),
        p_value=permutation_p_value(found, np.array(null)[:, None]),
        n_scored=len(score),
        groups=None if units is None else int(units.max()) + 1,
        permutations=permutations,
    )


def _answers(old: np.ndarray, new: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Log-odds of each old bit `[n, B]` on held-out images; NaN where the bit never changes."""
    x, then = 2.0 * new - 1, 2.0 * held - 1
    sure = np.full((len(held), old.shape[1]), np.nan)
    for b in np.flatnonzero(old.any(axis=0) & ~old.all(axis=0)).tolist():
        sure[:, b] = read_out("decodable_bits", x, old[:, b]).logits(then)[:, 1]
    return sure


def _areas(truth: np.ndarray, sure: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve of each column, `[B]`; NaN where it is not known."""
    areas = np.full(truth.shape[1], np.nan)
    areas[known] = precision_recall_areas(truth[:, known], sure[:, known])
    return areas
