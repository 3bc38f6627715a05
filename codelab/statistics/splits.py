"""Parts to choose on and to score on: by group, so that near copies are on one side, and stratified by class."""

from __future__ import annotations

import numpy as np

from codelab.core.errors import DataError

SHARE = 0.2
"""Share of each class that a choice is made on."""


def fitting(sizes: np.ndarray, room: float) -> np.ndarray:
    """Bool `[G]`: which groups are taken, one after the other, each if it still fits into `room` items.

    The smallest group alone is taken where none fits.

    Example:
        >>> fitting(np.array([3, 4, 2]), 5).tolist()
        [True, False, True]
    """
    taken = np.zeros(len(sizes), bool)
    if len(sizes) and 0 < sizes.min() == sizes.max() <= room:  # a loop over a million images takes its time
        taken[: int(room // sizes[0])] = True
        return taken
    for i, size in enumerate(sizes.tolist()):
        if size <= room:
            taken[i] = True
            room -= size
    if not taken.any():
        taken[np.argmin(sizes)] = True
    return taken


def half(order: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Bool `[N]`: the items of the first half; whole groups, as many in turn as fit into half of the items.

    Args:
        order: int `[G]`, the groups shuffled.
        groups: int `[N]`, the group of each item, 0 to G - 1; None: each item is a group of its own.

    Example:
        >>> half(np.array([2, 0, 1]), np.array([0, 0, 1, 2])).tolist()
        [False, False, True, True]
    """
    if groups is None:
        first = np.zeros(len(order), bool)
        first[order[: len(order) // 2]] = True
        return first
    return np.isin(groups, order[fitting(np.bincount(groups)[order], len(groups) // 2)])


def held_out_part(
    labels: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    share: float = SHARE,
    seed: int = 0,
    measure: str = "train",
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of the part to fit and of the part to choose on, both ascending, stratified by class.

    About `share` of the images of each class is held out, in whole groups: at least one group where the class has two,
    never all. A group counts for the class that most of its images have.

    Args:
        labels: class numbers `[N]`, 0 or more.
        groups: group numbers `[N]`; images of one group are near copies. None: each image is a group of its own.
        share: above 0 and below 1.
        seed: of the order in which groups are taken.
        measure: what an error names.

    Raises:
        DataError: no class has two groups.

    Example:
        >>> fitted, chosen_on = held_out_part(np.repeat([0, 1], [10, 5]))
        >>> np.bincount(np.repeat([0, 1], [10, 5])[chosen_on]).tolist(), len(fitted)
        ([2, 1], 12)
    """
    n, classes = len(labels), int(labels.max()) + 1
    unit = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(unit)
    owner = _most_frequent(unit, labels, len(sizes), classes)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(owner[order], kind="stable")]
    held = np.zeros(len(sizes), bool)
    for units in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1):
        if len(units) > 1:
            held[units[fitting(sizes[units], share * sizes[units].sum())]] = True
    # a group of several classes may have taken the last image of one with it: that class goes back to the other part
    lost = np.setdiff1d(labels, labels[~held[unit]])
    held[unit[np.isin(labels, lost)]] = False
    if not held.any():
        what = "images" if groups is None else "groups"
        raise DataError(
            f"{measure}: none of {len(np.unique(labels))} classes has 2 {what}, one to fit and one to choose on"
        )
    return np.flatnonzero(~held[unit]), np.flatnonzero(held[unit])


def _most_frequent(unit: np.ndarray, labels: np.ndarray, units: int, classes: int) -> np.ndarray:
    """The most frequent class of each unit, the lower number among equals: without a table of units x classes."""
    pairs, counts = np.unique(unit * classes + labels, return_counts=True)
    best = np.lexsort((pairs % classes, -counts, pairs // classes))
    first = np.searchsorted((pairs // classes)[best], np.arange(units))
    return (pairs % classes)[best][first]
