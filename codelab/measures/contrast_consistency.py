"""Contrast consistency: does a bit move the features the same way in every class that it splits?"""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np

from codelab.core.checks import check_codes, check_seed
from codelab.core.codes import Codes, unpack_bits
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number
from codelab.core.result import PerBit, Source
from codelab.statistics.contrasts import Classes
from codelab.statistics.intervals import percentiles
from codelab.statistics.nulls import false_discovery, skewed_p_value

HYPERPLANES = 64
"""Random hyperplanes behind `random_directions`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContrastConsistency(PerBit):
    """Per bit, arrays `[B]`.

    A class's contrast is its mean feature where the bit is 1 minus that where it is 0. `consistency` is the mean
    cosine of two classes' contrasts, with the sampling noise taken off (formula: `Classes.consistency`). 1: all
    classes share one direction; 0: each has its own; a direction shared by half of the classes, where the others do
    not move, gives nearly 0.5.

    `cosine` is the plain mean cosine between classes, which noise shrinks to 0. `low` to `high` is the 95 % interval
    of `consistency` over resampled classes. `p_value` and `q_value` are against bits permuted within each class, that
    is bits that move nothing, and `null` is the mean `cosine` there. `flip_p_value` is against contrasts with signs
    flipped at random class by class, that is bits that move each class in its own way. Both have a fitted tail (see
    `skewed_p_value`). `classes_used` classes have both sides of the bit; where fewer than 2 do, `consistency` is 0.
    `contrast_z` is the sum of squared contrasts over its standard error: where it is small, look at the interval and
    `q_value` first.

    `random_directions` is the mean consistency of bits made by random hyperplanes through the features of the codes
    (those given, where the codes have none): what any direction gives, and the value to compare a bit with.
    `same_view`: bits and features come from one view of the images, so the direction of the head is part of the
    consistency.

    The line quotes how many bits stand out at q < 0.05, and the mean consistency beside random directions.
    """

    consistency: np.ndarray
    low: np.ndarray
    high: np.ndarray
    cosine: np.ndarray
    null: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    flip_p_value: np.ndarray
    contrast_z: np.ndarray
    classes_used: np.ndarray
    random_directions: float
    same_view: bool
    items: int
    permutations: int
    estimator: str = "noise-corrected mean cosine"

    COLUMNS = (
        "consistency",
        "low",
        "high",
        "cosine",
        "null",
        "p_value",
        "q_value",
        "flip_p_value",
        "contrast_z",
        "classes_used",
    )

    def headline(self) -> str:
        found = f"{int((self.q_value < 0.05).sum())} of {len(self.q_value)} bits at q < 0.05"
        mean, null = number(float(self.consistency.mean())), number(self.random_directions)
        return f"{found}; mean consistency {mean} (random directions {null})"


def contrast_consistency(
    codes: Codes,
    features: np.ndarray | None = None,
    *,
    permutations: int = 200,
    resamples: int = 200,
    items: int = 20_000,
    seed: int = 0,
) -> ContrastConsistency:
    """Whether a bit moves the features in the same direction in every class, as the paper's section 4 claims.

    Args:
        codes: labelled codes `[N, B]`.
        features: `[N, d]`, best of *another view* of the same images: a bit shares its noise with the features it was
            computed from; default: the features of the codes.
        permutations: of each bit within each class, behind the p-values.
        resamples: of the classes, behind the intervals and the flipped signs.
        items: at most this many labelled items are used, drawn by `seed`.
        seed: of all chance.

    Returns:
        One row a bit; see `ContrastConsistency`.

    Raises:
        DataError: no labels, one class only, multi-label data, no features, or features that do not fit or are not
            finite.
        UsageError: fewer than 1 permutation or resample.

    Source: the paper's section 4, "people in the picture" in tench and French horn; cosine between classes: Hernandez
        et al. 2022; unbiased products: Walther et al. 2016 (crossnobis); shrunk norms: Morris 1983; traces of squared
        covariances: Srivastava 2005.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels, bit = np.repeat(np.arange(5), 80), rng.integers(0, 2, 400)
        >>> features = rng.normal(size=(400, 8)) + 2 * bit[:, None] * np.eye(8)[0]
        >>> noise = rng.integers(0, 2, 400)
        >>> found = contrast_consistency(Codes.from_bits(np.stack([bit, noise], axis=1), labels), features)
        >>> found.consistency.round(1).tolist()[0], (found.q_value < 0.05).tolist()
        (1.0, [True, False])
    """
    check_codes("codes", codes)
    if permutations < 1 or resamples < 1:
        raise UsageError(f"permutations {permutations}, resamples {resamples}: expected at least 1 of each")
    check_seed(seed)
    same_view = features is None
    values = _checked_features(codes, features)
    generator = np.random.default_rng(seed)
    rows = np.flatnonzero(codes.labels >= 0)
    rows = np.sort(generator.permutation(rows)[:items])
    rows = rows[np.argsort(codes.labels[rows], kind="stable")]
    _, edges = np.unique(codes.labels[rows], return_index=True)
    if len(edges) < 2:
        raise DataError("contrast_consistency: all labelled items are of one class, expected two classes or more")
    classes = Classes.of(values[rows], np.append(edges, len(rows)))
    bits = unpack_bits(codes.packed[rows], codes.bits).astype(np.float32)

    found = classes.contrasts(bits)
    shared, several = found.shared(), found.used.sum(axis=0) > 1
    null, statistic = np.zeros((2, permutations, codes.bits))
    for i in range(permutations):
        # one order for all bits: each keeps its own margins in every class, and its null
        order = np.concatenate([a + generator.permutation(b - a) for a, b in pairwise(classes.edges)])
        drawn = classes.contrasts(bits[order])
        null[i], statistic[i] = drawn.cosine(), drawn.shared()
    p_value = np.where(several, skewed_p_value(shared, statistic), 1.0)

    n_classes = len(edges)
    times = generator.multinomial(n_classes, np.full(n_classes, 1 / n_classes), size=resamples).astype(float)
    signs = generator.choice([-1.0, 1.0], size=(resamples, n_classes))
    once = np.ones((1, n_classes))
    draws, contrast_z = classes.consistency(bits, np.concatenate([once, times]))
    consistency, (low, high) = np.nan_to_num(draws[0]), _intervals(draws[1:])
    flip = skewed_p_value(shared, classes.flipped(bits, signs))

    read = values if same_view or codes.features is None else codes.features
    centred = (read - read.mean(axis=0))[rows]
    directions = generator.normal(size=(read.shape[1], HYPERPLANES)).astype(np.float32)
    hyperplanes, _ = classes.consistency((centred @ directions > 0).astype(np.float32), once)
    return ContrastConsistency(
        source=Source.of(codes),
        seed=seed,
        consistency=consistency,
        low=np.minimum(low, consistency),
        high=np.maximum(high, consistency),
        cosine=found.cosine(),
        null=null.mean(axis=0),
        p_value=p_value,
        q_value=false_discovery(p_value),
        flip_p_value=np.where(several, flip, 1.0),
        contrast_z=contrast_z,
        classes_used=found.used.sum(axis=0),
        random_directions=float(np.nan_to_num(hyperplanes[0]).mean()),
        same_view=same_view,
        items=len(rows),
        permutations=permutations,
    )


def _intervals(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle 95 % of each column of draws `[R, B]`; (0, 0) where more than half of them are NaN."""
    low, high = np.zeros((2, draws.shape[1]))
    for b, column in enumerate(draws.T):
        known = column[~np.isnan(column)]
        if len(known) >= len(column) / 2:
            low[b], high[b] = percentiles(known)
    return low, high


def _checked_features(codes: Codes, features: np.ndarray | None) -> np.ndarray:
    if codes.multilabel:
        raise DataError("contrast_consistency: needs one label an image, found multi-label data")
    if not codes.labelled:
        raise DataError("contrast_consistency: needs labels, and none of these codes has one")
    if features is None:
        if codes.features is None:
            raise DataError("contrast_consistency: these codes have no features; export them with --features")
        return codes.features
    features = np.asarray(features)
    if features.ndim != 2 or len(features) != len(codes) or features.dtype.kind not in "fiu":
        raise DataError(
            f"contrast_consistency: expected features [{len(codes)}, d], found {features.dtype} {list(features.shape)}"
        )
    if not np.isfinite(features).all():
        row, column = np.argwhere(~np.isfinite(features))[0]
        raise DataError(f"contrast_consistency: features row {row}, column {column} is {features[row, column]}")
    return features
