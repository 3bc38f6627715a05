"""Contrast consistency: does a bit move the features the same way in every class that it splits?"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from codelab.core.attributes import Groups
from codelab.core.checks import check_codes
from codelab.core.codes import Codes, unpack_bits
from codelab.core.errors import DataError
from codelab.core.formats import number
from codelab.core.result import PerBit, Source
from codelab.measures.class_information import check_permutations
from codelab.statistics.contrasts import FEW_CLASSES, TOLD, Classes, class_intervals, class_weights, one_class_each
from codelab.statistics.exchange import need_groups
from codelab.statistics.nulls import false_discovery, permutation_p_value, tail_p_value

HYPERPLANES = 64
"""Random hyperplanes behind `random_directions`."""

ALL_PATTERNS = 1024
"""Patterns of signs up to which all are tried, and no random ones drawn."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContrastConsistency(PerBit):
    """Per bit, arrays `[B]`.

    A class's contrast is its mean feature where the bit is 1 minus that where it is 0. `consistency` W says how
    parallel the contrasts of two classes are (formula: `Contrasts.consistency`): 1, all classes that move do so in one
    direction; 0, each in its own; below 0, some move against others. `low` to `high` is its 95 % interval over
    classes; -1 to 1 where only one class moves. All three are NaN where nothing can be told: `contrast_z`, the sum of
    squared contrasts in standard deviations of its null, is below 2, or fewer than 2 classes (the interval: 6) have
    both sides of the bit.

    Beside it, in squared units of the features, `shared` is the mean product of two classes' contrasts and `own` the
    mean square of one, both without sampling noise: a direction that half of the classes share, where the others do
    not move, has W = 1, less what the noise of the others takes off, and shared nearly half of own.
    `classes_used` classes have both sides of the bit.

    Three tests: `moves_p_value`, that the bit moves anything, in any direction, against bits permuted within each
    class; `shared_p_value`, that `shared` is above 0, against the same permuted bits, that is bits that move nothing;
    `flip_p_value`, that it is above 0, against contrasts with signs flipped class by class, that is bits that move
    each class in its own way (the share of patterns of signs that reach it; NaN below 6 classes). For the first two,
    `*_q_value` is after Benjamini-Hochberg, `*_dependent_q_value` after Benjamini-Yekutieli, which holds however the
    bits depend on each other, and `*_fitted_tail` says where a p-value is from a fitted tail (see `tail_p_value`).

    `random_directions` is the mean W of bits made by random hyperplanes through the features of the codes (those
    given, where the codes have none): what any direction gives, and the value to compare a bit with; NaN where it
    cannot be told. `same_view`: bits and features come from one view of the images, so the direction of the head is
    part of the consistency. `groups` of near copies are permuted and counted as a whole; None: each image by itself.
    `note` says for how many bits nothing can be told.

    The line quotes how many bits share a direction at q < 0.05, and the mean consistency beside random directions.
    """

    consistency: np.ndarray
    low: np.ndarray
    high: np.ndarray
    shared: np.ndarray
    own: np.ndarray
    moves_p_value: np.ndarray
    moves_q_value: np.ndarray
    moves_dependent_q_value: np.ndarray
    moves_fitted_tail: np.ndarray
    shared_p_value: np.ndarray
    shared_q_value: np.ndarray
    shared_dependent_q_value: np.ndarray
    shared_fitted_tail: np.ndarray
    flip_p_value: np.ndarray
    contrast_z: np.ndarray
    classes_used: np.ndarray
    random_directions: float
    same_view: bool
    items: int
    groups: int | None
    permutations: int
    note: str = ""
    estimator: str = "products of contrasts less their sampling variance; p-values of rare draws have a fitted tail"

    COLUMNS = (
        *("consistency", "low", "high", "shared", "own"),
        *("moves_p_value", "moves_q_value", "moves_dependent_q_value", "moves_fitted_tail"),
        *("shared_p_value", "shared_q_value", "shared_dependent_q_value", "shared_fitted_tail"),
        *("flip_p_value", "contrast_z", "classes_used"),
    )

    def headline(self) -> str:
        found = f"{int((self.shared_q_value < 0.05).sum())} of {len(self.own)} bits share a direction at q < 0.05"
        told = self.consistency[~np.isnan(self.consistency)]
        if not len(told):
            return f"{found}; consistency cannot be told"
        return f"{found}; mean consistency {number(told.mean())} (random directions {number(self.random_directions)})"


def contrast_consistency(
    codes: Codes,
    features: np.ndarray | None = None,
    *,
    groups: Groups = None,
    permutations: int = 200,
    items: int = 20_000,
    seed: int = 0,
) -> ContrastConsistency:
    """Whether a bit moves the features in the same direction in every class, as the paper's section 4 claims.

    Args:
        codes: labelled codes `[N, B]`.
        features: `[N, d]`, best of *another view* of the same images: a bit shares its noise with the features it was
            computed from; default: the features of the codes.
        groups: an item column or one value an image; images of one group are near copies. A group of several classes
            counts in one of them, drawn by `seed`.
        permutations: of each bit within each class, whole groups at once; and of flipped signs, where there are too
            many patterns to try all.
        items: at most this many labelled items are used, drawn by `seed` in whole groups.
        seed: of all chance.

    Returns:
        One row a bit; see `ContrastConsistency`.

    Raises:
        DataError: no labels, one class only, multi-label data, one group only, no features, or features that do not
            fit or are not finite.
        UsageError: fewer than 1 permutation, or no such column.

    Source: the paper's section 4, "people in the picture" in tench and French horn; cosine between classes: Hernandez
        et al. 2022; unbiased products: Walther et al. 2016 (crossnobis); exchange of whole groups: Winkler et al.
        2015.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels, bit = np.repeat(np.arange(5), 80), rng.integers(0, 2, 400)
        >>> features = rng.normal(size=(400, 8)) + 2 * bit[:, None] * np.eye(8)[0]
        >>> noise = rng.integers(0, 2, 400)
        >>> found = contrast_consistency(Codes.from_bits(np.stack([bit, noise], axis=1), labels), features)
        >>> found.consistency.round(1).tolist()[0], (found.shared_q_value < 0.05).tolist()
        (1.0, [True, False])
    """
    check_codes("codes", codes)
    check_permutations(permutations, seed)
    values = _checked_features(codes, features)
    generator = np.random.default_rng(seed)
    rows, edges, starts = _sorted_rows(codes, groups, items, generator)
    scale = float(values[rows].std()) or 1.0
    classes = Classes.of(values[rows] / scale, edges, starts)
    bits = unpack_bits(codes.packed[rows], codes.bits).astype(np.float32)
    signs = _signs(len(edges) - 1, permutations, generator)
    weights = class_weights(len(edges) - 1, generator)
    parts = [
        (found.consistency(weights), found.shared(), found.flipped(signs), found.own(), found.used)
        for found in classes.contrasts(bits)
    ]
    w, shared, flipped, own, used = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    number_used = used.sum(axis=0)
    drawn = [classes.totals(shuffled, used) for shuffled in classes.shuffled(bits, permutations, generator)]
    null = [np.stack(statistic) for statistic in zip(*drawn, strict=True)]
    moved = classes.totals(bits, used)[0]
    z = _standardised(own * number_used, null[1])
    told = (z >= TOLD) & ~np.isnan(w[0])
    low, high = class_intervals(w, used, told)
    return ContrastConsistency(
        source=Source.of(codes),
        seed=seed,
        consistency=np.where(told, np.clip(w[0], -1, 1), np.nan),
        low=low,
        high=high,
        shared=shared * scale**2,
        own=own * scale**2,
        **_tested("moves", moved, null[0], number_used > 0),
        **_tested("shared", shared, null[2], number_used > 1),
        flip_p_value=np.where(number_used < FEW_CLASSES, np.nan, permutation_p_value(shared, flipped)),
        contrast_z=z,
        classes_used=number_used,
        random_directions=_random_directions(codes, values, rows, classes, generator),
        same_view=features is None,
        items=len(rows),
        groups=None if starts is None else len(starts) - 1,
        permutations=permutations,
        note=f"{int((~told).sum())} of {len(told)} bits: cannot tell, contrasts are not above their noise"
        if not told.all()
        else "",
    )


def _sorted_rows(
    codes: Codes, groups: Groups, items: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rows of the codes by class and group, the edges of the classes, and those of the groups where there are any."""
    rows = np.flatnonzero(codes.labels >= 0)
    unit = need_groups("contrast_consistency", codes, groups, rows)
    if unit is None:
        unit = np.arange(len(rows))
    else:
        kept = one_class_each(unit, codes.labels[rows], generator)
        rows, unit = rows[kept], unit[kept]
    names, sizes = np.unique(unit, return_counts=True)
    if len(rows) > items:
        order = generator.permutation(len(names))
        taken = order[np.cumsum(sizes[order]) <= max(items, int(sizes[order[0]]))]
        kept = np.isin(unit, names[taken])
        rows, unit = rows[kept], unit[kept]
    order = np.lexsort((unit, codes.labels[rows]))
    rows, unit = rows[order], unit[order]
    edges = np.append(np.unique(codes.labels[rows], return_index=True)[1], len(rows))
    if len(edges) < 3:
        raise DataError("contrast_consistency: all labelled items are of one class, expected two classes or more")
    if sizes.max() == 1:  # also where each image is named a group of its own
        return rows, edges, None
    return rows, edges, np.append(0, np.append(np.flatnonzero(np.diff(unit)) + 1, len(rows)))


def _signs(classes: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Signs `[R, C]`: all patterns in which two classes differ, or random ones where these are too many."""
    if 2 ** (classes - 1) <= ALL_PATTERNS:
        numbers = np.arange(1, 2 ** (classes - 1))[:, None]
        return 1.0 - 2.0 * (numbers >> np.arange(classes) & 1)
    return generator.choice([-1.0, 1.0], size=(draws, classes))


def _tested(name: str, observed: np.ndarray, null: np.ndarray, enough: np.ndarray) -> dict[str, Any]:
    """The fields of one test, each `[B]`; p = 1 where there are not `enough` classes."""
    p_value, fitted = tail_p_value(observed, null)
    p_value = np.where(enough, p_value, 1.0)
    return {
        f"{name}_p_value": p_value,
        f"{name}_q_value": false_discovery(p_value),
        f"{name}_dependent_q_value": false_discovery(p_value, dependent=True),
        f"{name}_fitted_tail": fitted & enough,
    }


def _standardised(value: np.ndarray, null: np.ndarray) -> np.ndarray:
    deviation = null.std(axis=0)
    return np.divide(value, deviation, out=np.zeros(len(value)), where=deviation > 1e-12 * null.mean(axis=0))


def _random_directions(
    codes: Codes, values: np.ndarray, rows: np.ndarray, classes: Classes, generator: np.random.Generator
) -> float:
    read = values if codes.features is None else codes.features
    once = np.ones((1, len(classes.edges) - 1))
    centred = (read - read.mean(axis=0))[rows]
    directions = generator.normal(size=(read.shape[1], HYPERPLANES)).astype(np.float32)
    hyperplanes = (centred @ directions > 0).astype(np.float32)
    found = np.concatenate([part.consistency(once)[0] for part in classes.contrasts(hyperplanes)]).clip(-1, 1)
    return float(found[~np.isnan(found)].mean()) if not np.isnan(found).all() else float("nan")


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
