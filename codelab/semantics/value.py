"""Value of a bit for retrieval: what mAP loses where the bit is masked, permuted, or missing from random subsets."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from codelab.core.attributes import Groups, group_column
from codelab.core.bits import pack_bits
from codelab.core.checks import check_codes, check_seed, check_whole
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.formats import number
from codelab.core.progress import counter
from codelab.core.result import PerBit, Source
from codelab.retrieval.measures import retrieval_map
from codelab.statistics.clusters import group_units
from codelab.statistics.exchange import shuffled_rows
from codelab.statistics.intervals import averages

QUERIES = 1000
"""Most queries."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitValue(PerBit):
    """Per bit, arrays `[B]`: what mAP@ALL of the whole code is above that of a code without the bit.

    `masked`: the bit is left out of the distance; `permuted`: its values are permuted over the images, whole groups at
    once, so that it adds noise in place of what it says. Both with their 95 % interval, `masked_low` to `masked_high`
    and `permuted_low` to `permuted_high`, a paired bootstrap of the queries by group, given the database. `share` is
    the mean change of mAP when the bit joins a random half of the other bits (a Banzhaf value; NaN without `subsets`):
    unlike the other two it gives a bit its due whose twin stays in the code.

    The line quotes the mAP of all bits, and how many bits are worth more than chance when masked.
    """

    masked: np.ndarray
    masked_low: np.ndarray
    masked_high: np.ndarray
    permuted: np.ndarray
    permuted_low: np.ndarray
    permuted_high: np.ndarray
    share: np.ndarray
    retrieval_map: float
    queries: int
    subsets: int
    groups: int | None
    estimator: str = "mAP@ALL, ties expected; intervals by a paired bootstrap of query groups, given the database"

    COLUMNS = (
        *("masked", "masked_low", "masked_high", "permuted", "permuted_low", "permuted_high"),
        "share",
    )

    def headline(self) -> str:
        useful, harmful = int((self.masked_low > 0).sum()), int((self.masked_high < 0).sum())
        return (
            f"mAP {number(self.retrieval_map)} of all bits; without it lower for {useful}, higher for {harmful} of "
            f"{len(self.masked)} bits"
        )


def bit_value(
    codes: Codes,
    *,
    groups: Groups = None,
    queries: int = QUERIES,
    subsets: int = 0,
    seed: int = 0,
    progress: bool = False,
) -> BitValue:
    """What each bit is worth for retrieval: the change of mAP when it is masked and when it is permuted.

    Args:
        codes: labelled codes `[N, B]`.
        groups: an item column or one value an image; images of one group are near copies: left out of each other's
            ranking, permuted and resampled as a whole.
        queries: how many images, at most, rank all others; drawn by `seed`.
        subsets: random halves of the bits behind `share`; 0 leaves it out. About 4 B give a stable order.
        seed: of queries, permutations, subsets and the bootstrap.
        progress: a bar on stderr where that is a terminal.

    Raises:
        UsageError: an option out of range, or no such column.
        DataError: no labels, one bit alone, or no query with a relevant image.

    Source: permutation importance: Breiman 2001; share: Banzhaf 1965, as the least-squares value of Hammer & Holzman
        1992.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 2, 200)
        >>> codes = Codes.from_bits(np.stack([labels, *rng.integers(0, 2, (3, 200))], 1), labels)
        >>> found = bit_value(codes)
        >>> found.masked.argmax().item(), bool(found.masked_low[0] > 0.1)
        (0, True)
    """
    check_codes("codes", codes)
    check_seed(seed)
    check_whole("queries", queries, 1)
    check_whole("subsets", subsets, 0)
    if codes.bits < 2:
        raise DataError("bit_value: the code has one bit, and without it nothing is left to rank by")
    units = group_units("bit_value", codes, groups)
    generator = np.random.default_rng(seed)
    n = len(codes)
    rows = np.sort(generator.choice(n, queries, replace=False)) if queries < n else np.arange(n)
    ranked = _Ranked(
        dataclasses.replace(codes, items=codes.items.select(["id"]), features=None, logits=None), rows, units
    )
    whole = ranked.per_query(codes.packed)
    counted = ~np.isnan(whole)
    if not counted.any():
        raise DataError("bit_value: no query has a relevant image")
    unit = group_column(codes, groups)
    own = None if units is None else units[rows][counted]
    figures = np.empty((6, codes.bits))
    with counter("value of bits", 2 * codes.bits + subsets, show=progress) as advance:
        for b in range(codes.bits):
            column = codes.packed[:, b // 8] >> (7 - b % 8) & 1
            for place, values in ((0, 0 * column), (3, column[shuffled_rows(unit, generator)])):
                lost = (whole - ranked.per_query(_with(codes.packed, b, values)))[counted]
                found = averages(lost, np.zeros(len(lost), np.int64), own, seed=seed)
                figures[place : place + 3, b] = found.value, *found.interval
                advance(1)
        share = _share(ranked, codes, subsets, generator, advance)
    return BitValue(
        source=Source.of(codes),
        seed=seed,
        masked=figures[0],
        masked_low=figures[1],
        masked_high=figures[2],
        permuted=figures[3],
        permuted_low=figures[4],
        permuted_high=figures[5],
        share=share,
        retrieval_map=float(whole[counted].mean()),
        queries=int(counted.sum()),
        subsets=subsets,
        groups=None if units is None else int(units.max()) + 1,
    )


def _with(packed: np.ndarray, bit: int, values: np.ndarray) -> np.ndarray:
    """The codes with other values of one bit."""
    changed = packed.copy()
    place = 7 - bit % 8
    changed[:, bit // 8] = changed[:, bit // 8] & ~np.uint8(1 << place) | (values << place).astype(np.uint8)
    return changed


def _share(ranked: _Ranked, codes: Codes, subsets: int, generator: np.random.Generator, advance: Any) -> np.ndarray:
    """Least-squares value of each bit over random halves, `[B]`: mAP with it less mAP without, all else equal."""
    if not subsets:
        return np.full(codes.bits, np.nan)
    taken = generator.random((subsets, codes.bits)).argsort(axis=1) < codes.bits // 2
    values = np.empty(subsets)
    for place, bits in enumerate(taken):
        values[place] = np.nanmean(ranked.per_query(codes.packed & pack_bits(bits[None])))
        advance(1)
    design = np.column_stack([np.ones(subsets), 2.0 * taken - 1])
    return 2 * np.linalg.lstsq(design, values, rcond=None)[0][1:]


@dataclasses.dataclass(frozen=True, eq=False)
class _Ranked:
    """Queries `rows` of a set of images, each of which ranks all other images."""

    codes: Codes
    rows: np.ndarray
    units: np.ndarray | None

    def per_query(self, packed: np.ndarray) -> np.ndarray:
        """Average precision of each query `[Q]` by other codes of these images; NaN without a relevant image."""
        database = dataclasses.replace(self.codes, packed=packed)
        if len(self.rows) == len(packed):
            return retrieval_map(database, groups=self.units, bootstrap=1).per_query
        unit = np.arange(len(packed)) if self.units is None else self.units
        groups: Any = (unit[self.rows], unit)
        return retrieval_map(database[self.rows], database, groups=groups, bootstrap=1).per_query
