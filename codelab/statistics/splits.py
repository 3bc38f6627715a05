"""A part of the training images to choose on: every class in both parts, near copies on one side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codelab.core.errors import DataError

SHARE = 0.2
"""Share of each class that a choice is made on."""


def held_out_part(
    labels: np.ndarray, groups: np.ndarray | None = None, *, share: float = SHARE, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of the part to fit and of the part to choose on, both ascending.

    Of each class about `share` of the images is held out, in whole groups: at least one group where the class has two,
    never all. A group counts for the class that most of it has.

    Args:
        labels: class numbers `[N]`, 0 or more.
        groups: group numbers `[N]`; those of one group are near copies. None: each image for itself.
        share: of each class, above 0 and below 1.
        seed: draws the groups.

    Raises:
        DataError: no class has two groups to part.

    Example:
        >>> fitted, chosen_on = held_out_part(np.repeat([0, 1], [10, 5]))
        >>> np.bincount(np.repeat([0, 1], [10, 5])[chosen_on]).tolist(), len(fitted)
        ([2, 1], 12)
    """
    n, classes = len(labels), int(labels.max()) + 1
    unit = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(unit)
    owner = _most_frequent(unit, labels, len(sizes), classes)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(owner[order], kind="stable")]
    held = np.zeros(len(sizes), bool)
    for units in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1):
        if len(units) > 1:
            held[_some(units, sizes[units], share)] = True
    # a group of several classes may have taken the last of one with it: the class goes back to what is fitted
    lost = np.setdiff1d(labels, labels[~held[unit]])
    held[unit[np.isin(labels, lost)]] = False
    if not held.any():
        what = "images" if groups is None else "groups"
        raise DataError(
            f"train: none of {len(np.unique(labels))} classes has 2 {what}, one to fit and one to choose on"
        )
    return np.flatnonzero(~held[unit]), np.flatnonzero(held[unit])


def group_numbers(values: Sequence[Any]) -> np.ndarray:
    """Numbers `[N]` that are equal where the values are; an empty value is a group of its own.

    Example:
        >>> group_numbers(["a", None, "b", "a", None]).tolist()
        [0, 1, 2, 0, 3]
    """
    number: dict[Any, int] = {}
    keys = ((i, None) if v is None or v == "" or v != v else v for i, v in enumerate(values))
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)


def _most_frequent(unit: np.ndarray, labels: np.ndarray, units: int, classes: int) -> np.ndarray:
    """The class that most of each unit has, the lower number among equals: without a table of units x classes."""
    pairs, counts = np.unique(unit * classes + labels, return_counts=True)
    best = np.lexsort((pairs % classes, -counts, pairs // classes))
    first = np.searchsorted((pairs // classes)[best], np.arange(units))
    return (pairs % classes)[best][first]


def _some(units: np.ndarray, sizes: np.ndarray, share: float) -> np.ndarray:
    """Units in their order while they fit into `share` of all; the smallest where none does."""
    room, taken = share * sizes.sum(), []
    for unit, size in zip(units, sizes, strict=True):
        if size <= room:
            taken.append(unit)
            room -= size
    return np.array(taken or [units[np.argmin(sizes)]])
