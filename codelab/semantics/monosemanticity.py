"""Monosemanticity: are the images of one side of a bit more alike, in other features, than images at random?"""

from __future__ import annotations

import dataclasses

import numpy as np

from codelab.core.attributes import Groups, group_column
from codelab.core.checks import check_codes
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.fields import check_finite
from codelab.core.formats import number
from codelab.core.result import PerBit, Source
from codelab.measures.class_information import check_permutations
from codelab.semantics.directions import random_directions
from codelab.statistics.clusters import group_units
from codelab.statistics.exchange import shuffled_rows
from codelab.statistics.nulls import false_discovery, mid_p_value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Monosemanticity(PerBit):
    """Per bit, arrays `[B]`: the mean pairwise cosine of the images on its 1 side (`one`) and on its 0 side (`zero`),
    each less that of a random side of as many images; NaN where a side has fewer than two.

    `value` is the mean of the two sides. `p_value`, `q_value` (Benjamini-Hochberg) and `dependent_q_value`
    (Benjamini-Yekutieli) are of `value`, against images permuted, whole groups at once. `random_directions` is the
    mean value of random directions of the codes' own features (NaN without them); `same_features`: the features are
    those of the codes, so that a bit is alike by construction.

    The line quotes how many bits have sides more alike than random ones.
    """

    one: np.ndarray
    zero: np.ndarray
    value: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    dependent_q_value: np.ndarray
    random_directions: float
    same_features: bool
    groups: int | None
    permutations: int
    estimator: str = "mean pairwise cosine of a side less that of random sides of its size"

    COLUMNS = ("one", "zero", "value", "p_value", "q_value", "dependent_q_value")

    def headline(self) -> str:
        sure = int((self.q_value < 0.05).sum())
        known = self.value[~np.isnan(self.value)]  # a constant bit has no value
        mean = number(float(known.mean()) if len(known) else float("nan"))
        mean = f"mean {mean} (random directions {number(self.random_directions)})"
        return f"{sure} of {len(self.value)} bits have sides more alike than random ones at q < 0.05; {mean}"


def monosemanticity(
    codes: Codes,
    features: np.ndarray | None = None,
    *,
    groups: Groups = None,
    permutations: int = 100,
    seed: int = 0,
) -> Monosemanticity:
    """How much more alike the images of each side of a bit are than random ones, in the features of another model.

    With unit features e and a side S, in time linear in N:

        mean pairwise cosine = (|sum_S e|^2 - |S|) / (|S| (|S| - 1))

    Args:
        codes: codes `[N, B]`.
        features: `[N, d]` of *another* backbone; default: the features of the codes, in which bits are alike by
            construction.
        groups: an item column or one value an image; images of one group are near copies, permuted as a whole.
        permutations: behind the p-values, and behind the random sides.
        seed: of the permutations.

    Raises:
        UsageError: no such column.
        DataError: no features, features that do not fit or are not finite, or one of length 0.

    Source: the score: Pach et al. 2025; in linear time: arXiv 2602.12403.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> bit, features = rng.integers(0, 2, 300), rng.normal(size=(300, 8))
        >>> features[:, 0] += 4 * bit
        >>> codes = Codes.from_bits(np.stack([bit, rng.integers(0, 2, 300)], 1))
        >>> found = monosemanticity(codes, features)
        >>> (found.q_value < 0.05).tolist(), bool(found.one[0] > found.zero[0])
        ([True, False], True)
    """
    check_codes("codes", codes)
    check_permutations(permutations, seed)
    units = group_units("monosemanticity", codes, groups)
    unit = _unit_length(codes, features)
    generator = np.random.default_rng(seed)
    order = group_column(codes, groups)
    bits = codes.to_bits()
    sides = _cosines(bits, unit)
    null = np.stack([_cosines(bits, unit[shuffled_rows(order, generator)]) for _ in range(permutations)])
    chance = null.mean(axis=0)
    value = (sides - chance).mean(axis=0)
    known = ~np.isnan(value)
    p_value = np.ones(codes.bits)
    p_value[known] = mid_p_value(value[known], (null - chance).mean(axis=1)[:, known])
    random = float("nan")
    if codes.features is not None:
        directions = random_directions(codes.features, codes.bits, seed)
        random = float(np.nanmean(_cosines(directions, unit) - _mean_cosine(unit)))
    return Monosemanticity(
        source=Source.of(codes),
        seed=seed,
        one=(sides - chance)[0],
        zero=(sides - chance)[1],
        value=value,
        p_value=p_value,
        q_value=false_discovery(p_value),
        dependent_q_value=false_discovery(p_value, dependent=True),
        random_directions=random,
        same_features=features is None,
        groups=None if units is None else int(units.max()) + 1,
        permutations=permutations,
    )


def _cosines(bits: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Mean pairwise cosine of the 1 side and of the 0 side of each bit, `[2, B]`; NaN below two images."""
    ones = bits.T.astype(np.float32) @ unit
    sums = np.stack([ones, unit.sum(axis=0) - ones]).astype(np.float64)
    n = np.stack([bits.sum(axis=0), (~bits).sum(axis=0)]).astype(np.float64)
    return np.divide((sums**2).sum(axis=2) - n, n * (n - 1), out=np.full(n.shape, np.nan), where=n > 1)


def _mean_cosine(unit: np.ndarray) -> float:
    """Mean pairwise cosine of all images: that of random sides in expectation."""
    n = len(unit)
    return float(((unit.sum(axis=0, dtype=np.float64) ** 2).sum() - n) / (n * (n - 1)))


def _unit_length(codes: Codes, features: np.ndarray | None) -> np.ndarray:
    given = codes.features if features is None else np.asarray(features)
    if given is None:
        raise DataError("monosemanticity: these codes have no features; give those of another backbone")
    if given.ndim != 2 or len(given) != len(codes) or given.dtype.kind not in "fiu":
        raise DataError(
            f"monosemanticity: expected features [{len(codes)}, d], found {given.dtype} {list(given.shape)}"
        )
    check_finite("monosemanticity: features", given)
    with np.errstate(over="ignore"):
        given = given.astype(np.float32)
        length = np.linalg.norm(given, axis=1, keepdims=True)
    if len(given) < 2 or not length.all() or not np.isfinite(length).all():
        raise DataError("monosemanticity: needs two images or more, with features of a finite length above 0")
    return given / length
