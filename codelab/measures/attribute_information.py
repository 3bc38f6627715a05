"""Information of each bit about any attribute, also given another attribute."""

from __future__ import annotations

import dataclasses

import numpy as np

from codelab.core.attributes import CLASS, Groups, Labelling, labelling
from codelab.core.checks import check_codes
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.result import Source
from codelab.measures.class_information import (
    ClassInformation,
    assembled,
    check_permutations,
    information_in_strata,
    need_classes,
)
from codelab.statistics.counts import ClassCounts, StrataCounts
from codelab.statistics.estimators import binary_entropy
from codelab.statistics.exchange import need_groups
from codelab.statistics.information_nulls import GroupedTables


def attribute_information(
    codes: Codes | StrataCounts,
    attribute: str = CLASS,
    *,
    given: str = "",
    groups: Groups = None,
    bins: int = 8,
    permutations: int = 200,
    seed: int = 0,
) -> ClassInformation:
    """The same as `class_information` for any item column, also conditional on another: I(bit; attribute | given).

    Args:
        codes: codes `[N, B]` with item columns, or `StrataCounts` of the two columns (then `attribute` and `given` are
            their names in words).
        attribute: an item column, or `class`; numbers go into quantile bins (`ClassInformation.of` says how many).
        given: an item column, or `class`, to condition on; empty for none.
        groups: an item column, or one value an image: near copies, whose labels change places together.
        bins: quantile bins of a column of numbers.
        permutations: behind each p-value; labels are permuted within each value of `given`.
        seed: of the permutations.

    Returns:
        One row a bit; with `given`, `entropy` is H(bit | given).

    Raises:
        UsageError: no such column; groups of counts.
        DataError: no item has a value, or all have the same (within every value of `given`); one group only.

    Source: as `class_information`; conditional permutation: Winkler et al. 2015 (exchangeability blocks).

    Example:
        >>> sex = np.arange(400) % 2
        >>> kind = np.arange(400) // 2 % 2
        >>> codes = Codes.from_bits(np.stack([sex, kind ^ sex], axis=1), kind, items={"sex": sex.astype(str)})
        >>> attribute_information(codes, "sex").plugin.round(2).tolist()
        [1.0, 0.0]
        >>> attribute_information(codes, "sex", given="class").plugin.round(2).tolist()
        [1.0, 1.0]
    """
    return information_of(
        *("attribute_information", codes, attribute),
        given=given,
        groups=groups,
        bins=bins,
        permutations=permutations,
        seed=seed,
    )


def information_of(
    measure: str,
    codes: Codes | StrataCounts,
    attribute: str,
    *,
    given: str,
    groups: Groups,
    bins: int,
    permutations: int,
    seed: int,
) -> ClassInformation:
    """`attribute_information` where another `measure`, which errors name, needs it."""
    check_permutations(permutations, seed)
    of, held, grouped, source = attribute, given, None, None
    if isinstance(codes, StrataCounts):
        need_groups(measure, codes, groups)
        counts: ClassCounts | StrataCounts = codes
        tables, sizes = codes.ones, codes.class_n
    else:
        check_codes("codes", codes)
        source = Source.of(codes)
        target = labelling(codes, attribute, bins=bins)
        strata = labelling(codes, given, bins=bins) if given else None
        of, held = target.text, strata.text if strata else given
        counts, tables, sizes = _counted(measure, codes, target, strata)
    if counts.n == 0:
        raise DataError(f"{measure}: no image has both a value of {of} and one of {held}")
    if not ((sizes > 0).sum(axis=1) > 1).any():
        raise DataError(f"{measure}: {of} has one value only within each value of {held}")
    if isinstance(codes, Codes):
        grouped = _grouped(measure, codes, target, strata, groups)
    used = sizes.sum(axis=1) > 0
    tables, sizes = tables[used], sizes[used]
    plugin, chance = information_in_strata(tables, sizes, grouped, permutations, seed)
    totals = sizes.sum(axis=1)
    entropy = totals / counts.n @ binary_entropy(tables.sum(axis=1) / totals[:, None])
    result = assembled(counts, plugin, chance, entropy, grouped, permutations=permutations, seed=seed)
    return dataclasses.replace(
        result,
        source=source or result.source,
        classes=int((sizes.sum(axis=0) > 0).sum()),
        of=of,
        given=held,
    )


def _counted(
    measure: str, codes: Codes, target: Labelling, strata: Labelling | None
) -> tuple[ClassCounts | StrataCounts, np.ndarray, np.ndarray]:
    """The counts, their tables `[S, C, B]` and sizes `[S, C]`."""
    if strata is not None:
        counts = StrataCounts.of(codes, target, strata)
        return counts, counts.ones, counts.class_n
    view = dataclasses.replace(codes, labels=target.labels, classes=target.names)
    of_classes = need_classes(f"{measure} of {target.text}", ClassCounts.of(view))
    return of_classes, of_classes.ones[None], of_classes.class_n[None]


def _grouped(
    measure: str, codes: Codes, target: Labelling, strata: Labelling | None, groups: Groups
) -> GroupedTables | None:
    kept = target.labels >= 0
    held = None
    if strata is not None:
        kept &= strata.labels >= 0
        held = np.unique(strata.labels[kept], return_inverse=True)[1].reshape(-1)
    units = need_groups(measure, codes, groups, kept)
    if units is None:
        return None
    return GroupedTables.of(codes.packed[kept], codes.bits, target.labels[kept], units, held)
