"""Pairs of real images: those that differ in one bit and in few others, and those that differ in one attribute."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from codelab.core.attributes import CLASS, Groups, attribute_names, group_column, labelling, repeated
from codelab.core.bits import differing
from codelab.core.checks import check_codes, check_columns, check_seed, check_whole, need_items
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError, few
from codelab.core.formats import number
from codelab.core.result import PerBit, Result, Source
from codelab.kernels.counting import class_counts
from codelab.measures.class_information import check_permutations
from codelab.neighbours.search import search
from codelab.semantics.signatures import bit_values
from codelab.statistics.clusters import group_units
from codelab.statistics.nulls import false_discovery, mid_p_value

if TYPE_CHECKING:
    import pandas as pd

SIDE = 12_000
"""Images of each side among which minimal pairs are looked for, at most."""

NEAREST = 8
"""Neighbours of each image that can be its partner, so that one image is not the partner of all."""

RANDOM_PAIRS = 10_000
"""Random pairs behind the median that minimal pairs are compared with."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MinimalPairs(Result):
    """Pairs of images that differ in one bit and in few others, nearest first: arrays `[K]`.

    `zero` and `one` are rows of the images with bit = 0 and bit = 1, `others` in how many other bits they differ.
    `random` is the median of that number over random pairs of the two sides. `candidates` images of each side, at
    most, were looked at.

    The line quotes the smallest number of other bits beside that of random pairs.
    """

    bit: int
    zero: np.ndarray
    one: np.ndarray
    others: np.ndarray
    random: float
    candidates: int

    def headline(self) -> str:
        nearest = f"the nearest of {len(self.others)} pairs differ in {int(self.others[0])} other bits"
        return f"bit {self.bit}: {nearest}, random pairs in {number(self.random)} (median)"

    def to_frame(self) -> pd.DataFrame:
        """One row a pair."""
        import pandas as pd

        return pd.DataFrame({"zero": self.zero, "one": self.one, "others": self.others})


def minimal_pairs(codes: Codes, bit: int, *, count: int = 8, groups: Groups = None, seed: int = 0) -> MinimalPairs:
    """Real images that differ in a bit and in the fewest others: what the bit reads, all else nearly equal.

    Each image stands in at most one pair.

    Args:
        codes: codes `[N, B]`.
        bit: which bit.
        count: pairs at most.
        groups: an item column or one value an image; images of one group are near copies. Two images of one group may
            be a pair, but each group stands in at most one.
        seed: of the images looked at, where a side has more than `SIDE`, and of the random pairs.

    Raises:
        UsageError: a bit the code does not have, or no such column.
        DataError: all images are on one side of the bit, or the code has one bit.

    Example:
        >>> codes = Codes.from_bits([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0]])
        >>> found = minimal_pairs(codes, 0)
        >>> found.zero.tolist(), found.one.tolist(), found.others.tolist()
        ([0, 3], [1, 2], [0, 1])
    """
    check_codes("codes", codes)
    check_whole("count", count, 1)
    check_seed(seed)
    values = bit_values(codes, bit)
    if codes.bits < 2:
        raise DataError("minimal_pairs: the code has one bit, so there are no others to be equal in")
    need_items("minimal_pairs", len(codes), least=2)
    units = group_column(codes, groups)
    generator = np.random.default_rng(seed)
    sides = [_sample(np.flatnonzero(values == side), generator) for side in (False, True)]
    for side, rows in enumerate(sides):
        if not len(rows):
            raise DataError(f"minimal_pairs: bit {bit} is {1 - side} in all {len(codes)} images, so no pair differs")
    few_, many = sorted(sides, key=len)
    mask = np.arange(codes.bits) != bit
    # bare codes: to take items with their pictures costs as much as a third of the search
    own, others = (Codes(codes.packed[rows], codes.bits) for rows in (few_, many))
    found = search(others, own, k=min(NEAREST, len(many)), mask=mask)
    flat = found.distances.ravel()
    order = np.argsort(flat, kind="stable")
    a, b = np.repeat(few_, found.distances.shape[1])[order], many[found.indices.ravel()[order]]
    chosen, used = [], set[int]()
    for place, pair in enumerate(zip(units[a], units[b], strict=True)):
        if used.isdisjoint(pair):
            chosen.append(place)
            used.update(pair)
            if len(chosen) == count:
                break
    a, b = a[chosen], b[chosen]
    zero, one = (b, a) if values[a[0]] else (a, b)
    drawn = [generator.choice(rows, RANDOM_PAIRS) for rows in sides]
    apart = differing(codes.packed[drawn[0]], codes.packed[drawn[1]]) - 1
    return MinimalPairs(
        source=Source.of(codes),
        seed=seed,
        bit=bit,
        zero=zero,
        one=one,
        others=flat[order][chosen].astype(np.int64),
        random=float(np.median(apart)),
        candidates=max(map(len, sides)),
    )


def _sample(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= SIDE else np.sort(generator.choice(rows, SIDE, replace=False))


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttributePairs(PerBit):
    """What changes in each bit when one attribute changes and all else named stays equal: arrays `[B]`.

    A set is the images that are equal in the class, in `equal` and in the group; it counts where the attribute has two
    values in it. `flip_rate` is the share of pairs of one set and two values of the attribute whose bits differ, each
    set with the same weight. `effects` `[V, B]` is the bit's share of ones at a value less its mean share at the
    others, in the same set; `effect` is the one furthest from 0, with its sign, and `value` its name. `p_value` and
    its `q_value` (Benjamini-Hochberg) and `dependent_q_value` (Benjamini-Yekutieli) are of |effect|, against values
    permuted within each set.

    `other_flip_rate` is the highest flip rate among the other attributes, `others`, when that one changes alone;
    `selectivity` = flip_rate - other_flip_rate. Both are NaN where no other attribute changes alone. `equal` are the
    attributes that were held equal, `sets` how many sets counted, `images` how many images they have.

    The line quotes how many bits follow the attribute, and the one that does most.
    """

    flip_rate: np.ndarray
    effect: np.ndarray
    value: np.ndarray
    effects: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    dependent_q_value: np.ndarray
    other_flip_rate: np.ndarray
    selectivity: np.ndarray
    attribute: str
    values: tuple[str, ...]
    equal: tuple[str, ...]
    others: tuple[str, ...]
    group: str | None
    sets: int
    images: int
    permutations: int

    COLUMNS = (
        *("flip_rate", "effect", "value", "p_value", "q_value", "dependent_q_value"),
        *("other_flip_rate", "selectivity"),
    )

    def headline(self) -> str:
        best = int(np.abs(self.effect).argmax())
        found = f"{int((self.q_value < 0.05).sum())} of {len(self.effect)} bits follow {self.attribute} at q < 0.05"
        most = f"bit {best} most ({self.effect[best]:+.3f} at {self.value[best]}), flips in {self.flip_rate[best]:.0%}"
        return f"{found}; {most} of pairs; {self.sets} sets"


def attribute_pairs(
    codes: Codes,
    attribute: str,
    *,
    equal: Sequence[str] | None = None,
    groups: Groups = None,
    permutations: int = 200,
    seed: int = 0,
) -> AttributePairs:
    """Which bits change when one attribute changes and everything else that is known stays equal, and in which sense.

    Args:
        codes: codes `[N, B]` with item columns.
        attribute: the column that changes; numbers go into quantile bins.
        equal: the columns that stay equal, beside the class and the group. Default: every other attribute; name fewer
            where one follows from the attribute, as a picture's main colour follows from a skin tone.
        groups: an item column or one value an image, of what the images show: the same in both images of a pair.
        permutations: behind the p-values.
        seed: of the permutations.

    Raises:
        UsageError: no such column, or the attribute is named in `equal` too.
        DataError: an attribute with a value an image, or no two images differ in the attribute alone.

    Source: pairs that differ in one attribute: arXiv 2606.24716; permutation within sets: Winkler et al. 2015.

    Example:
        >>> tone, emoji = np.tile([0, 1], 50), np.repeat(np.arange(50), 2)
        >>> codes = Codes.from_bits(np.stack([tone, emoji % 2], 1), items={"tone": tone.astype(str), "emoji": emoji})
        >>> found = attribute_pairs(codes, "tone", groups="emoji")
        >>> found.flip_rate.tolist(), found.effect.tolist(), found.sets
        ([1.0, 0.0], [1.0, 0.0], 50)
    """
    check_codes("codes", codes)
    check_permutations(permutations, seed)
    if attribute == CLASS:
        raise UsageError("attribute 'class': expected an item column")
    target = repeated("attribute_pairs", codes, attribute)
    group = groups if isinstance(groups, str) else None
    known = [name for name in attribute_names(codes) if name not in (attribute, group)]
    held = known if equal is None else check_columns("equal", equal)
    if attribute in held:
        raise UsageError(f"equal: {attribute!r} is the attribute that changes")
    keys = {name: labelling(codes, name).labels for name in dict.fromkeys([*held, *known])}
    units = group_units("attribute_pairs", codes, groups)
    fixed = [] if units is None else [units]
    if codes.labelled and not codes.multilabel:
        fixed.append(codes.labels)
    sets = _Sets.of(target.labels, [*fixed, *(keys[name] for name in held)])
    if sets is None:
        of_set = ["the class"] * (codes.labelled and not codes.multilabel) + ["the group"] * (groups is not None)
        raise DataError(
            f"attribute_pairs: no two images differ in {attribute} and are equal in {few([*held, *of_set])}; "
            "name fewer columns in equal, or other groups"
        )
    flips, effects = sets.changes(codes, sets.values, len(target.names))
    generator = np.random.default_rng(seed)
    largest = np.abs(effects).max(axis=0)
    drawn = (sets.changes(codes, sets.shuffled(generator), len(target.names))[1] for _ in range(permutations))
    p_value = mid_p_value(largest, np.stack([np.abs(changes).max(axis=0) for changes in drawn]))
    # the last of those furthest from 0: of two values the second
    best = len(effects) - 1 - (np.abs(effects[::-1]) > largest - 1e-12).argmax(axis=0)
    rates = {}
    for name in held:
        rest = [keys[other] for other in held if other != name]
        alone = _Sets.of(keys[name], [*fixed, target.labels, *rest])
        if alone is not None:
            rates[name] = alone.changes(codes, alone.values, int(keys[name].max()) + 1)[0]
    other = np.max(list(rates.values()), axis=0) if rates else np.full(codes.bits, np.nan)
    return AttributePairs(
        source=Source.of(codes),
        seed=seed,
        flip_rate=flips,
        effect=np.take_along_axis(effects, best[None], axis=0)[0],
        value=np.array(target.names)[best],
        effects=effects,
        p_value=p_value,
        q_value=false_discovery(p_value),
        dependent_q_value=false_discovery(p_value, dependent=True),
        other_flip_rate=other,
        selectivity=flips - other,
        attribute=attribute,
        values=target.names,
        equal=tuple(held),
        others=tuple(rates),
        group=group,
        sets=int(sets.number.max()) + 1,
        images=len(sets.rows),
        permutations=permutations,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Sets:
    """Images `rows` in sets of equal `number`, each set with two `values` of an attribute or more."""

    rows: np.ndarray
    number: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, fixed: Sequence[np.ndarray]) -> _Sets | None:
        """The sets of images that are equal in all of `fixed` `[N]`; None where the value is the same in each.

        Images without a value of a fixed attribute are equal in it.
        """
        rows = np.flatnonzero(values >= 0)
        number = np.zeros(len(rows), np.int64)
        for key in fixed:
            number = np.unique(np.stack([number, key[rows]]), axis=1, return_inverse=True)[1].reshape(-1)
        pairs = np.unique(np.stack([number, values[rows]]), axis=1)
        several = np.bincount(pairs[0], minlength=1) > 1
        rows, number = rows[several[number]], number[several[number]]
        if not len(rows):
            return None
        return cls(rows, np.unique(number, return_inverse=True)[1].reshape(-1), values[rows])

    def shuffled(self, generator: np.random.Generator) -> np.ndarray:
        """The values permuted within each set."""
        order = np.lexsort((generator.random(len(self.rows)), self.number))
        drawn = np.empty_like(self.values)
        drawn[np.argsort(self.number, kind="stable")] = self.values[order]
        return drawn

    def changes(self, codes: Codes, values: np.ndarray, n_values: int) -> tuple[np.ndarray, np.ndarray]:
        """Flip rates `[B]` and effects `[V, B]`, each set with the same weight.

        With s_v the share of ones at value v, and T the sum of s_v over the k values of a set:

            flips = 2 (T (k - 1) - T^2 + sum_v s_v^2) / (k (k - 1)),    effect_v = (k s_v - T) / (k - 1)
        """
        cells, cell = np.unique(self.number * n_values + values, return_inverse=True)
        cell = cell.reshape(-1)
        ones = class_counts(codes.packed[self.rows], codes.bits, cell, len(cells))
        shares = ones / np.bincount(cell)[:, None]
        edges = np.flatnonzero(np.diff(cells // n_values, prepend=-1))  # cells are sorted by set
        k = np.diff(edges, append=len(cells))[:, None]
        total, squares = np.add.reduceat(shares, edges), np.add.reduceat(shares**2, edges)
        flips = 2 * (total * (k - 1) - total**2 + squares) / (k * (k - 1))
        own_k, own_total = (np.repeat(part, k[:, 0], axis=0) for part in (k, total))
        effects = (own_k * shares - own_total) / (own_k - 1)
        at = cells % n_values
        means = [effects[at == v].mean(axis=0) if (at == v).any() else np.zeros(codes.bits) for v in range(n_values)]
        return flips.mean(axis=0), np.stack(means)
