"""Permutations of labels that keep near copies together: what a label could have been, had it no meaning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codelab.core.attributes import Groups
from codelab.core.errors import DataError
from codelab.statistics.clusters import group_units


def need_groups(
    measure: str, codes: object, groups: Groups, rows: np.ndarray | slice = slice(None)
) -> np.ndarray | None:
    """Group numbers int64 of `rows` (bool or numbers), 0 or more; None where `groups` is.

    Raises:
        UsageError: counts instead of codes, no such column, or not one value an image.
        DataError: one group only.
    """
    units = group_units(measure, codes, groups, least=0)
    if units is None:
        return None
    numbers = np.unique(units[rows], return_inverse=True)[1].reshape(-1)
    if not numbers.any():
        raise DataError(f"{measure}: all images are in one group, expected two groups or more")
    return numbers


@dataclass(frozen=True, eq=False)
class Exchange:
    """Labels `[N]`, and which of them may change places.

    Images of one group are near copies, so a label that is the same in the whole group is one observation: it changes
    places with the labels of other such groups, as a whole. In a group of several labels, the labels change places
    within the group. With strata (the values of what is held fixed), labels stay in their stratum: whole groups change
    places with groups of the same strata.

    Source: Winkler et al. 2015 (exchangeability blocks, permuted as a whole or within).
    """

    labels: np.ndarray
    item: np.ndarray
    unit_label: np.ndarray
    unit_block: np.ndarray | None
    own_block: np.ndarray | None

    @classmethod
    def of(cls, labels: np.ndarray, groups: np.ndarray | None = None, strata: np.ndarray | None = None) -> Exchange:
        """The units of the labels: whole groups, or items.

        Args:
            labels: int `[N]`.
            groups: numbers `[N]`, equal where images are near copies; None: each image is a group of its own.
            strata: numbers `[N]`, or None.

        Example:
            >>> exchange = Exchange.of(np.array([0, 0, 1, 1, 2, 2]), np.array([7, 7, 8, 8, 9, 9]))
            >>> exchange.draw(np.random.default_rng(2)).tolist()
            [2, 2, 0, 0, 1, 1]
        """
        if groups is None:
            return cls(labels, np.arange(len(labels)), labels, strata, None)
        first, unit = np.unique(groups, return_index=True, return_inverse=True)[1:]
        unit = unit.reshape(-1)
        mixed = np.zeros(len(first), bool)
        mixed[unit[labels != labels[first][unit]]] = True
        # items of the groups of one label name their group, the others are marked -1 and change places in their block
        number = np.cumsum(~mixed) - 1
        item = np.where(mixed[unit], -1, number[unit])
        whole = ~mixed[unit]
        own = (
            unit if strata is None else np.unique(np.stack([unit, strata]), axis=1, return_inverse=True)[1].reshape(-1)
        )
        blocks = None if strata is None else _profiles(item[whole], strata[whole])
        return cls(labels, item, labels[first[~mixed]], blocks, own[~whole])

    @property
    def units(self) -> int:
        """Groups that change places as a whole."""
        return len(self.unit_label)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """One permutation of the labels, `[N]`."""
        drawn = _shuffled(self.unit_label, self.unit_block, generator)
        if self.own_block is None:
            return drawn
        labels = np.empty_like(self.labels)
        whole = self.item >= 0
        labels[whole] = drawn[self.item[whole]]
        labels[~whole] = _shuffled(self.labels[~whole], self.own_block, generator)
        return labels


def _shuffled(values: np.ndarray, blocks: np.ndarray | None, generator: np.random.Generator) -> np.ndarray:
    if blocks is None:
        return generator.permutation(values)
    order = generator.permutation(len(values))
    shuffled = np.empty_like(values)
    shuffled[np.argsort(blocks, kind="stable")] = values[order[np.argsort(blocks[order], kind="stable")]]
    return shuffled


def _profiles(unit: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """A number for each unit, equal where two have the same set of strata."""
    pairs = np.unique(np.stack([unit, strata]), axis=1)
    edges = np.flatnonzero(np.diff(pairs[0])) + 1
    numbers: dict[bytes, int] = {}
    sets = np.split(pairs[1], edges) if len(unit) else []
    return np.array([numbers.setdefault(one.tobytes(), len(numbers)) for one in sets], dtype=np.int64)


def shuffled_rows(groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Row numbers `[N]`, which row's attributes each image gets: whole groups change places, with all attributes.

    Each group gets the rows of one other, in random order; a longer one's are cut, a shorter one's repeated. So the
    images of a group stay as alike as near copies are, whatever the sizes of groups.

    Args:
        groups: int `[N]`, the group of each item, 0 to G - 1, each with an item.

    Example:
        >>> shuffled_rows(np.array([0, 0, 1, 1, 2, 2]), np.random.default_rng(2)).tolist()
        [4, 5, 0, 1, 3, 2]
    """
    order = generator.random(len(groups))  # drawn in either case, so that what is drawn later is the same
    if len(groups) == groups.max(initial=-1) + 1:  # each by itself: nothing to sort
        rows = np.empty(len(groups), np.int64)
        rows[groups] = np.arange(len(groups))
        return rows[generator.permutation(len(groups))[groups]]
    sizes, start, place = places(groups)
    rows = np.lexsort((order, groups))
    donor = generator.permutation(len(sizes))[groups]
    return rows[start[donor] + place % sizes[donor]]


def places(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes of the groups `[G]`, where each starts `[G]` once images are sorted by group, and each image's place `[N]`
    in its group.

    Example:
        >>> [values.tolist() for values in places(np.array([1, 0, 1]))]
        [[1, 2], [0, 1], [0, 0, 1]]
    """
    sizes = np.bincount(groups)
    start = np.cumsum(sizes) - sizes
    place = np.empty(len(groups), np.int64)
    place[np.argsort(groups, kind="stable")] = np.arange(len(groups)) - np.repeat(start, sizes)
    return sizes, start, place
