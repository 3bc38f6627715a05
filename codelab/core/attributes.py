"""Labels from any column of the items: names as they are, numbers in stated bins."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError

CLASS = "class"
"""The name that means the labels of the codes themselves."""

MANY_VALUES = 20
"""Whole numbers with more different values than this are binned, as all fractions are."""


@dataclass(frozen=True, eq=False)
class Labelling:
    """One label an item: `labels` int32 `[N]`, -1 = none, the `names` they stand for, and in words what they are."""

    labels: np.ndarray
    names: tuple[str, ...]
    text: str


def labelling(codes: Codes, name: str = CLASS, *, bins: int = 8) -> Labelling:
    """The labels that a column gives.

    Args:
        codes: codes `[N, B]`.
        name: `class` for the labels of the codes (where they have none, an item column of that name), or an item
            column. Text, bool and whole numbers of few values are
            labels as they are; other numbers go into quantile bins.
        bins: how many quantile bins; equal values stay together, so there may be fewer.

    Returns:
        Labelling; missing and empty values have no label.

    Raises:
        UsageError: no such column, or fewer than 2 bins.
        DataError: `class` of multi-label codes.

    Example:
        >>> codes = Codes.from_bits(np.eye(4), items={"size": [0.5, 1.5, 2.5, 3.5], "shape": ["o", "x", None, "o"]})
        >>> labelling(codes, "shape").labels.tolist()
        [0, 1, -1, 0]
        >>> found = labelling(codes, "size", bins=2)
        >>> found.labels.tolist(), found.names, found.text
        ([0, 0, 1, 1], ('0.5 to 2', '2 to 3.5'), 'size in 2 quantile bins')
    """
    if name == CLASS and (codes.labelled or CLASS not in codes.items.column_names):
        if codes.multilabel:
            raise DataError(f"{name}: needs one label an image, found multi-label data")
        return Labelling(codes.labels, codes.classes, "class")
    if bins < 2:
        raise UsageError(f"bins {bins}: expected at least 2")
    if name in codes.items.column_names:
        kind = codes.items.schema.field(name).type
        if pa.types.is_floating(kind) or pa.types.is_integer(kind):
            values = codes.items[name].to_numpy().astype(np.float64)
            finite = np.isfinite(values)
            if pa.types.is_floating(kind) or len(np.unique(values[finite])) > MANY_VALUES:
                return _binned(name, values, finite, bins)
    labelled = codes.label_by(name)
    return Labelling(labelled.labels, labelled.classes, name)


def _binned(name: str, values: np.ndarray, finite: np.ndarray, bins: int) -> Labelling:
    labels = np.full(len(values), -1, dtype=np.int32)
    if not finite.any():
        return Labelling(labels, (), name)
    edges = np.unique(np.quantile(values[finite], np.linspace(0, 1, bins + 1)))
    labels[finite] = np.clip(np.searchsorted(edges, values[finite], side="right") - 1, 0, max(len(edges) - 2, 0))
    names = tuple(f"{a:.4g} to {b:.4g}" for a, b in pairwise(edges)) or (f"{edges[0]:.4g}",)
    return Labelling(labels, names, f"{name} in {len(names)} quantile bins")


REPEATS = 5
"""Items a value must have on average for its column to be an attribute, and not a name of each image."""


def attribute_names(codes: Codes) -> list[str]:
    """The item columns that are attributes: of two values or more that repeat, and not the class again (see
    `same_partition`).

    Example:
        >>> items = {"shape": list("oooooxxxxx"), "file": [f"{i}.png" for i in range(10)], "colour": ["red"] * 10}
        >>> attribute_names(Codes.from_bits(np.ones((10, 1)), items=items))
        ['shape']
    """
    names = []
    for name in codes.attributes:
        if name == CLASS and codes.labelled:  # the name means the labels: see `labelling`
            continue
        try:
            found = labelling(codes, name).labels
        except (pa.ArrowInvalid, TypeError):  # a column of lists or bytes
            continue
        sizes = np.bincount(found[found >= 0])
        sizes = sizes[sizes > 0]
        again = not codes.multilabel and same_partition(found, codes.labels)
        if len(sizes) > 1 and sizes.mean() >= REPEATS and not again:
            names.append(name)
    return names


def repeated(measure: str, codes: Codes, name: str) -> Labelling:
    """`labelling`, refused where there is one value, or where the values do not repeat: such a column names images.

    Fractions go into bins, as do whole numbers, but for those that are another in each image.

    Raises:
        UsageError: no such column.
        DataError: one value only, or fewer than 2 images a value, on average.
    """
    found = labelling(codes, name)
    labels = found.labels[found.labels >= 0]
    values = len(np.unique(labels))
    if values < 2:
        raise DataError(f"{measure}: {name} has {values} value, expected two or more")
    if name in codes.items.column_names and pa.types.is_integer(codes.items.schema.field(name).type):
        different = len(codes.items[name].drop_null().unique())
        values = different if different == len(labels) else values
    if len(labels) < 2 * values:
        raise DataError(
            f"{measure}: {name} has {values} values in {len(labels)} images, expected values that two images or more "
            "have: it names images and is no attribute of them"
        )
    return found


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two labellings part the images in the same way, whatever the numbers of their labels.

    Images that only one of them labels do not count, as long as half of the images that the smaller one labels have
    both, with two labels or more.

    Args:
        a, b: numbers `[N]`, -1 = no label.

    Example:
        >>> same_partition(np.array([0, 0, 1, 2, -1]), np.array([5, 5, 3, -1, 3]))
        True
        >>> same_partition(np.array([0, 0, 1, 2]), np.array([5, 5, 3, 3]))
        False
    """
    both = (a >= 0) & (b >= 0)
    if 2 * both.sum() < min((a >= 0).sum(), (b >= 0).sum()):
        return False
    a, b = a[both], b[both]
    partner, back = np.zeros(a.max(initial=-1) + 1, np.int64), np.zeros(b.max(initial=-1) + 1, np.int64)
    partner[a], back[b] = b, a
    return bool(len(a) > 0 and (a != a[0]).any() and (partner[a] == b).all() and (back[b] == a).all())


Groups = str | Sequence[Any] | np.ndarray | None
"""An item column, or one value an image, equal where images are near copies; None or `none`: all images differ."""


NO_GROUPS = "none"
"""Groups that say that all images differ: as None, but `analyze` does not warn of near copies then."""


def named_groups(groups: Any) -> Any:
    """The groups; None where they are `none`."""
    return None if isinstance(groups, str) and groups == NO_GROUPS else groups


def group_numbers(values: Iterable[Any] | pa.ChunkedArray) -> np.ndarray:
    """int64 `[N]`, equal where the values are, in order of first appearance; an item without a value is its own group.

    Args:
        values: `[N]`, or an item column; None, NaN and the empty text are no value.

    Raises:
        UsageError: a single value, or values that are lists themselves.

    Example:
        >>> group_numbers(["a", None, "b", "a", None]).tolist()
        [0, 1, 2, 0, 3]
    """
    import pandas as pd

    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iu":  # none is missing
        return pd.factorize(values)[0].astype(np.int64)
    rows = group_values(values)
    keys, known = pd.factorize(pd.Series(rows, dtype=object).to_numpy())
    alone = (keys < 0) | np.isin(keys, [number for number, value in enumerate(known) if value == ""])
    keys[alone] = len(keys) + np.arange(alone.sum())
    return pd.factorize(keys)[0].astype(np.int64)


def group_values(values: Iterable[Any] | pa.ChunkedArray) -> list[Any] | np.ndarray:
    """The values `[N]` of groups as a list, whole numbers as their array; those of a tensor as numbers, since no two
    tensors are one group.

    Raises:
        UsageError: a single value, or values that are lists themselves.
    """
    if hasattr(values, "detach"):  # a torch tensor: its elements are tensors, each of which would be a group
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ndarray | np.generic) and values.ndim != 1:
        raise UsageError(f"groups: found shape {list(values.shape)}, expected one value an image")
    if isinstance(values, str) or not isinstance(values, Iterable):
        shown = type(values).__name__ if "\n" in repr(values) else f"{values!r}"
        raise UsageError(f"groups={shown}: expected an item column, or one value an image")
    if isinstance(values, Set | Mapping):  # the order of a set is not that of the images
        raise UsageError(f"groups: found a {type(values).__name__}, expected one value an image")
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return values
    rows = values.to_pylist() if isinstance(values, pa.Array | pa.ChunkedArray) else list(values)
    several = next((row for row, value in enumerate(rows) if not isinstance(value, Hashable)), None)
    if several is not None:
        raise UsageError(f"groups: row {several} is a {type(rows[several]).__name__}, expected one value an image")
    return rows


def group_column(codes: Codes, groups: Groups) -> np.ndarray:
    """`group_numbers` of an item column, or of one value an item; without groups each item is its own.

    Raises:
        UsageError: no such column, or not one value an item.
    """
    if named_groups(groups) is None:
        return np.arange(len(codes))
    if isinstance(groups, str) and groups not in codes.items.column_names:
        raise UsageError(f"groups={groups!r}: these codes have {', '.join(codes.attributes) or 'no attributes'}")
    numbers = group_numbers(codes.items[groups] if isinstance(groups, str) else groups)
    if len(numbers) != len(codes):
        raise UsageError(f"groups: found {len(numbers)} values, expected one for each of {len(codes)} codes")
    return numbers


def check_groups(codes: Codes, groups: Groups) -> str | np.ndarray | None:
    """The name of an item column, or `group_numbers`; None where `groups` is None or `none` (all images differ).

    Raises:
        UsageError: as `group_column`; or all images are in one group, or the column is empty.

    Example:
        >>> codes = Codes.from_bits([[0], [1], [1]], items={"frame": ["a", "b", "a"]})
        >>> check_groups(codes, "frame"), check_groups(codes, [5, 7, 5]).tolist(), check_groups(codes, "none")
        ('frame', [0, 1, 0], None)
    """
    groups = named_groups(groups)
    if groups is None:
        return None
    numbers = group_column(codes, groups)
    import pandas as pd

    rows = group_values(codes.items[groups] if isinstance(groups, str) else groups)
    named = f"groups={groups!r}" if isinstance(groups, str) else "groups"
    if len(numbers) > 1 and not numbers.any():
        raise UsageError(f"{named}: all {len(numbers)} images have one value, expected 2 groups or more")
    if len(rows) and all(pd.isna(value) or value == "" for value in rows):
        raise UsageError(f"{named}: no image has a value there")
    return groups if isinstance(groups, str) else numbers


SAME_THING = ("emoji", "group", "identity")
"""Attribute names that usually say which images show one and the same thing."""


def same_thing(codes: Codes) -> str | None:
    """The attribute, if there is one of a usual name, whose values say which images are near copies of each other."""
    return next((name for name in SAME_THING if name in codes.attributes), None)
