"""What bits are compared with: yes/no questions about images, from the class, attributes and image statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from codelab.core.attributes import CLASS, attribute_names, labelling
from codelab.core.checks import check_columns
from codelab.core.codes import STATISTIC, Codes
from codelab.core.errors import DataError, UsageError, few

FEWEST = 5
"""Images that a question must be true of, and false of, to be asked."""


@dataclass(frozen=True, eq=False)
class Targets:
    """Yes/no questions: `has` bool `[N, T]`, in words `names` `[T]`, and the item column `columns` `[T]` of each."""

    has: np.ndarray
    names: tuple[str, ...]
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


ClassGroups = Mapping[str, str | Sequence[str]] | Sequence[str] | str | None
"""From names of classes to the name of the group of each, or a list of names where it is in several; or one name a
class, in the order of the classes; or an item column that has one value in each class. A class without a name, None or
empty, is in no group."""


def targets(codes: Codes, attributes: Sequence[str] | None = None, *, class_groups: ClassGroups = None) -> Targets:
    """The questions that these codes' items answer.

    Of each class and of each value of an attribute: does the image have it? An image without a value does not. Of a
    number: is it above its lower quartile, its median, its upper quartile?

    Args:
        codes: codes `[N, B]` with labels, item columns, or both.
        attributes: columns, `class` among them; default: the class, all attributes, and the image statistics.
        class_groups: see `ClassGroups`; of each group: is the image in one of its classes?

    Raises:
        UsageError: no such column or class, or groups that do not fit the classes.
        DataError: no question is true of `FEWEST` images and false of `FEWEST`.

    Example:
        >>> items = {"tone": ["dark", "light"] * 5, "size": list(range(10))}
        >>> targets(Codes.from_bits(np.zeros((10, 1)), items=items), ["tone"]).names
        ('tone = dark', 'tone = light')
    """
    if attributes is None:
        statistics = [name for name in codes.items.column_names if name.startswith(STATISTIC)]
        attributes = [*([CLASS] if codes.labelled else []), *attribute_names(codes), *statistics]
    found: dict[str, tuple[np.ndarray, str]] = {}
    for name in check_columns("attributes", attributes):
        for words, has in _questions(codes, name):
            if FEWEST <= has.sum() <= len(has) - FEWEST:
                found[words] = (has, name)
    for group, members in _members(codes, class_groups).items():
        has = _in_classes(codes, members)
        if FEWEST <= has.sum() <= len(has) - FEWEST:
            found[f"{CLASS} group = {group}"] = (has, f"{CLASS} group")
    if not found:
        raise DataError(
            f"no class and no attribute value that {FEWEST} images have and {FEWEST} have not: "
            "nothing to compare bits with; export the codes with labels or attribute columns"
        )
    has, columns = zip(*found.values(), strict=True)
    return Targets(np.stack(has, axis=1), tuple(found), columns)


def question(codes: Codes, target: str) -> tuple[str, np.ndarray]:
    """One question in words, and its answers bool `[N]`.

    Args:
        target: `COLUMN = VALUE`, or of a number `COLUMN above CUT`, as `targets` names it.

    Raises:
        UsageError: no such column or value.
    """
    number, above, _ = target.rpartition(" above ")
    if above and "=" not in target:
        names = [name for name in (number, STATISTIC + number) if name in codes.items.column_names]
        for words, has in (one for name in names for one in _questions(codes, name)):
            if words == target:
                return words, has
        raise UsageError(f"target {target!r}: no number column {number!r} with such a quartile")
    name, _, value = (part.strip() for part in target.partition("="))
    for words, has in _questions(codes, name):
        if words == f"{name} = {value}":
            return words, has
    raise UsageError(f"target {target!r}: {name} has no value {value!r}")


def _questions(codes: Codes, name: str) -> list[tuple[str, np.ndarray]]:
    if name == CLASS and codes.multilabel:
        return [(f"{name} = {c}", codes.labels[:, i]) for i, c in enumerate(codes.classes)]
    if name in codes.items.column_names and pa.types.is_floating(codes.items.schema.field(name).type):
        values = codes.items[name].to_numpy().astype(np.float64)
        known = values[np.isfinite(values)]
        cuts = np.unique(np.quantile(known, (0.25, 0.5, 0.75))) if len(known) else np.empty(0)
        short = name.removeprefix(STATISTIC)
        return [(f"{short} above {cut:.3g}", values > cut) for cut in cuts]
    found = labelling(codes, name)
    return [(f"{name} = {value}", found.labels == number) for number, value in enumerate(found.names)]


def _in_classes(codes: Codes, numbers: list[int]) -> np.ndarray:
    """Whether each image has one of these classes, bool `[N]`."""
    return np.isin(codes.labels, numbers) if not codes.multilabel else np.any(codes.labels[:, numbers], axis=1)


def _members(codes: Codes, class_groups: ClassGroups) -> dict[str, list[int]]:
    """The class numbers of each group, in the order of the classes."""
    if class_groups is None:
        return {}
    if not codes.labelled:
        raise UsageError("class_groups: these codes have no classes to group")
    if isinstance(class_groups, str):
        class_groups = _of_column(codes, class_groups)
    elif not isinstance(class_groups, Mapping):
        given = list(class_groups) if isinstance(class_groups, Iterable) else []
        if len(given) != len(codes.classes):
            found = f"{len(given)} names" if isinstance(class_groups, Iterable) else repr(class_groups)
            raise UsageError(f"class_groups: found {found}, expected one for each of {len(codes.classes)} classes")
        class_groups = dict(zip(codes.classes, given, strict=True))
    if unknown := [name for name in class_groups if name not in codes.classes]:
        raise UsageError(f"class_groups: {unknown[0]!r} is no class; these codes have {few(codes.classes)}")
    members: dict[str, list[int]] = {}
    for number, name in enumerate(codes.classes):
        names = class_groups.get(name)
        for group in [names] if isinstance(names, str) or not isinstance(names, Iterable) else names:
            if group is not None and group != "":
                members.setdefault(str(group), []).append(number)
    return members


def _of_column(codes: Codes, column: str) -> dict[str, str]:
    """The one value that an item column has in each class."""
    classes, found = labelling(codes).labels, labelling(codes, column)
    both = (classes >= 0) & (found.labels >= 0)
    pairs = np.unique(np.stack([classes[both], found.labels[both]]), axis=1)
    several = np.flatnonzero(np.bincount(pairs[0], minlength=1) > 1)
    if len(several):
        name = codes.classes[several[0]]
        raise UsageError(f"class_groups={column!r}: class {name!r} has two values there, expected one in each class")
    return {codes.classes[c]: found.names[v] for c, v in pairs.T.tolist()}
