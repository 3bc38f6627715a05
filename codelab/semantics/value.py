"""Value of a bit for retrieval: the change of mAP where it is masked or permuted, or joins a set of other bits."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import comb

from codelab.core.attributes import Groups, group_column
from codelab.core.checks import check_codes, check_seed, check_whole
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.core.formats import number
from codelab.core.progress import counter
from codelab.core.result import PerBit, Source
from codelab.measures.class_information import need_classes
from codelab.retrieval.one_bit import OneBit
from codelab.statistics.clusters import group_units
from codelab.statistics.counts import ClassCounts
from codelab.statistics.exchange import shuffled_rows
from codelab.statistics.intervals import intervals_of_means

QUERIES = 1000
"""Most queries."""
SUBSETS = 32
"""Sets of bits behind the shares."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitValue(PerBit):
    """Per bit, arrays `[B]`: what mAP@ALL of the whole code is above that of a code without the bit.

    `masked`: the bit is left out of the distance; `permuted`: its values are permuted over the images, whole groups at
    once, so that it adds noise in place of what it says. Both with their 95 % interval, `masked_low` to `masked_high`
    and `permuted_low` to `permuted_high`, a paired bootstrap of the queries by group, given the database.

    `share` is the bit's Shapley value: the mean change of mAP when it joins a random set of the other bits, all sizes
    of the set equally likely. It gives a bit its due whose twin stays in the code, and the shares of all bits add up
    to `retrieval_map` less `chance`, the mAP of a random order. `share_error` is its standard error over the sets
    drawn, 0 where all sets were tried (both NaN without `subsets`).

    The line quotes the mAP of all bits, and how many bits are worth more than chance when masked.
    """

    masked: np.ndarray
    masked_low: np.ndarray
    masked_high: np.ndarray
    permuted: np.ndarray
    permuted_low: np.ndarray
    permuted_high: np.ndarray
    share: np.ndarray
    share_error: np.ndarray
    retrieval_map: float
    chance: float
    queries: int
    subsets: int
    groups: int | None
    estimator: str = "mAP@ALL, ties expected; intervals by a paired bootstrap of query groups, given the database"

    COLUMNS = (
        *("masked", "masked_low", "masked_high", "permuted", "permuted_low", "permuted_high"),
        *("share", "share_error"),
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
    subsets: int = SUBSETS,
    seed: int = 0,
    progress: bool = False,
) -> BitValue:
    """What each bit is worth for retrieval: the change of mAP when it is masked and when it is permuted.

    Args:
        codes: labelled codes `[N, B]`.
        groups: an item column or one value an image; images of one group are near copies: left out of each other's
            ranking, permuted and resampled as a whole.
        queries: how many images, at most, rank all others; drawn by `seed`.
        subsets: random sets of bits behind `share`, each with its complement; all there are if that is no more; 0
            leaves it out.
        seed: of queries, permutations, subsets and the bootstrap.
        progress: a bar on stderr where that is a terminal.

    Raises:
        UsageError: an option out of range, or no such column.
        DataError: no labels, one bit alone, or no query with a relevant image.

    Source: permutation importance: Breiman 2001; share: Shapley 1953, by sets of a random size, each of which gives
        one change for every bit, and their complements (antithetic pairs: Mitchell et al. 2022); errors of a spread
        of sizes by successive differences: Wolter 2007, chapter 8.

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
    need_classes("bit_value", ClassCounts.of(codes), multilabel=True)  # of one class, all images are relevant
    units = group_units("bit_value", codes, groups)
    generator = np.random.default_rng(seed)
    n = len(codes)
    rows = np.sort(generator.choice(n, queries, replace=False)) if queries < n else np.arange(n)
    bare = dataclasses.replace(codes, items=codes.items.select(["id"]), features=None, logits=None)
    ranked = OneBit.of(bare, rows, units)
    other = _permuted(codes, group_column(codes, groups), generator)
    sets, weights = _sets(codes.bits, subsets, generator)
    with counter("value of bits", 3 + len(sets), show=progress) as advance:
        whole, without = ranked.changed(np.ones(codes.bits, bool))
        counted = ~np.isnan(whole)
        if not counted.any():
            raise DataError("bit_value: no query has a relevant image")
        advance(1)
        lost = np.concatenate([whole[:, None] - values for values in (without, ranked.permuted(other)[1])], axis=1)
        advance(1)
        total = float(whole[counted].mean())
        chance = float(np.nanmean(ranked.changed(np.zeros(codes.bits, bool))[0]))
        advance(1)
        gains = np.full((len(sets), codes.bits), np.nan)
        for place, taken in enumerate(sets):
            before, after = ranked.changed(taken)
            gains[place] = np.where(taken, -1, 1) * (after - before[:, None])[counted].mean(axis=0)
            advance(1)
    own = None if units is None else units[rows][counted]
    low, high = intervals_of_means(lost[counted], own, seed=seed)
    masked, permuted = np.split(np.stack([lost[counted].mean(axis=0), low, high]), 2, axis=1)
    share, share_error = _share(gains, weights, total - chance)
    return BitValue(
        source=Source.of(codes),
        seed=seed,
        **dict(zip(("masked", "masked_low", "masked_high"), masked, strict=True)),
        **dict(zip(("permuted", "permuted_low", "permuted_high"), permuted, strict=True)),
        share=share,
        share_error=share_error,
        retrieval_map=total,
        chance=chance,
        queries=int(counted.sum()),
        subsets=len(sets),
        groups=None if units is None else int(units.max()) + 1,
    )


def _permuted(codes: Codes, unit: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The codes with each column permuted on its own, whole groups at once: packed, as they are."""
    other = np.zeros_like(codes.packed)
    for b in range(codes.bits):
        column, place = codes.packed[:, b // 8], 7 - b % 8
        other[:, b // 8] |= (column[shuffled_rows(unit, generator)] >> place & 1) << place
    return other


def _sets(bits: int, subsets: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sets of bits, bool `[S, B]`, and what each counts, `[S]`.

    The size of a set is one of 0 to B with equal probability. Such a set gives a bit that is not in it the change at
    its size, and one that is in it the change at one bit less, so that all sizes 0 to B - 1 of the set of the *other*
    bits are equally likely too: the mean of the changes is the Shapley value. Where all sets are there, each counts
    with its probability, 1 / ((B + 1) C(B, size)).
    """
    if 2.0**bits <= subsets:
        every = (np.arange(2**bits)[:, None] >> np.arange(bits) & 1).astype(bool)
        return every, 1 / ((bits + 1) * comb(bits, every.sum(axis=1)))
    pairs = (subsets + 1) // 2
    sizes = np.floor((np.arange(pairs) + generator.random()) * (bits + 1) / max(pairs, 1))
    taken = generator.random((pairs, bits)).argsort(axis=1).argsort(axis=1) < sizes[:, None]
    return np.concatenate([taken, ~taken]), np.full(2 * pairs, 1 / max(2 * pairs, 1))


def _share(gains: np.ndarray, weights: np.ndarray, total: float) -> tuple[np.ndarray, np.ndarray]:
    """Shapley values `[B]`, which add up to `total`, and their standard errors, from the changes `[S, B]`."""
    bits = gains.shape[1]
    if not len(gains):
        return np.full(bits, np.nan), np.full(bits, np.nan)
    share = weights @ gains
    share += (total - share.sum()) / bits  # what the sets drawn leave open, evenly; nothing where all are there
    if len(gains) == 2.0**bits:
        return share, np.zeros(bits)
    if len(gains) == 2:
        return share, np.full(bits, np.nan)
    pairs = gains.reshape(2, -1, bits).mean(axis=0)  # a set and its complement, in the order of sizes
    steps = np.diff(pairs, axis=0)  # neighbours have nearly the same size: their difference is chance
    return share, np.sqrt((steps**2).mean(axis=0) / 2 / len(pairs))
