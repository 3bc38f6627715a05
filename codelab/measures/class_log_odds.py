"""How much more often a bit is 1 in one class than in the others."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from codelab.core.attributes import Groups
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.result import Result
from codelab.kernels.counting import class_counts, column_counts
from codelab.measures.class_information import check_permutations, need_classes
from codelab.statistics.counts import ClassCounts
from codelab.statistics.estimators import two_by_two_information
from codelab.statistics.exchange import need_groups
from codelab.statistics.information_nulls import EXPECTED, GroupedTables, information_p_value
from codelab.statistics.nulls import false_discovery, pair_null

if TYPE_CHECKING:
    import pandas as pd

WOOLF = "half an item added to each cell; Woolf's interval, exact p-values"
RAO_SCOTT = "half an item added to each cell; interval by the design effect, p-values by permuting whole groups"

UNITS = 1 << 14
"""Groups whose ones are counted at a time: 32 MB for 256 bits."""

MOST_DRAWN = 1 << 21
"""Most draws kept at a time: 16 MB, and up to 20 times as many for what is rare."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassLogOdds(Result):
    """Arrays `[C, B]`: `log_odds` (natural logarithm of the odds ratio, class against the rest), its 95 % interval
    `low` to `high`, `p` the share of ones in the class, `p_value` (exact; with `groups` groups of near copies from
    permutations of whole groups, or where `fitted_tail` is true from a fitted tail) and, over all entries, `q_value`
    (Benjamini-Hochberg) and `dependent_q_value` (Benjamini-Yekutieli, which holds however the entries depend on each
    other). `estimator` says how the interval is made.

    The line quotes how many pairs of class and bit stand out at q < 0.05.
    """

    log_odds: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    dependent_q_value: np.ndarray
    fitted_tail: np.ndarray
    classes: tuple[str, ...]
    groups: int | None = None
    estimator: str = WOOLF

    def headline(self) -> str:
        found, size = int((self.q_value < 0.05).sum()), self.q_value.size
        return f"{found:,} of {size:,} pairs of class and bit at q < 0.05, {len(self.classes)} classes"

    def to_frame(self) -> pd.DataFrame:
        """One row for each class and bit."""
        import pandas as pd

        shape = self.log_odds.shape
        names = ("log_odds", "low", "high", "p", "p_value", "q_value", "dependent_q_value", "fitted_tail")
        return pd.DataFrame(
            {
                "class": np.repeat(np.array(self.classes, dtype=object), shape[1]),
                "bit": np.tile(np.arange(shape[1]), shape[0]),
                **{name: getattr(self, name).ravel() for name in names},
            }
        )


def class_log_odds(
    codes: Codes | ClassCounts,
    *,
    confidence: float = 0.95,
    groups: Groups = None,
    permutations: int = 200,
    seed: int = 0,
) -> ClassLogOdds:
    """Log odds ratio of every bit in every class against all other items.

    With groups of near copies the interval counts each item as 1 / d observations, d the bit's design effect; each
    side's variance has the small-sample factor G / (G - 1) of its G groups:

        log_odds +- z sqrt(sum over the cells a of a side  G / (G - 1)  1 / (a / d + 1/2)).

    Args:
        codes: labelled codes `[N, B]`, single or multi-label, or their `ClassCounts`.
        confidence: of the intervals.
        groups: an item column, or one value an image: near copies, whose labels change places together.
        permutations: behind the p-values with groups; without, they are exact.
        seed: of the permutations.

    Returns:
        See `ClassLogOdds`. Half an item is added to each cell, so an empty cell gives a finite value.

    Raises:
        UsageError: a confidence that is not between 0 and 1; groups of counts.
        DataError: no labels, or one class only; one group only.

    Source: Haldane 1956 and Anscombe 1956 for the half; Woolf 1955 for the interval; Rao & Scott 1992 for counts
        divided by the design effect.

    Example:
        >>> labels = np.repeat([0, 1], 100)
        >>> found = class_log_odds(Codes.from_bits(np.stack([labels == 0, labels >= 0], axis=1), labels))
        >>> found.log_odds.round(1).tolist()
        [[10.6, 0.0], [-10.6, 0.0]]
    """
    if not 0 < confidence < 1:
        raise UsageError(f"confidence {confidence}: expected between 0 and 1")
    check_permutations(permutations, seed)
    counts = need_classes("class_log_odds", ClassCounts.of(codes), multilabel=True)
    labelled = _labelled(codes, groups)
    size, n, one = counts.class_n[:, None], counts.n, counts.ones
    other = counts.bit_ones - one
    cells = np.stack([one, size - one, other, (n - size) - other])
    logs = np.log(cells + 0.5)
    # a bit that never changes has odds of its own in no class: the halves alone would make some up
    constant = (counts.bit_ones == 0) | (counts.bit_ones == n)
    value = np.where(constant, 0.0, logs[0] - logs[1] - logs[2] + logs[3])
    if labelled is None:
        variance = (1 / (cells + 0.5)).sum(axis=0)
        _, p_value = pair_null(counts.bit_ones[None, :], size, one, n)
        fitted = np.zeros(p_value.shape, bool)
    else:
        variance = _variance(cells, labelled)
        p_value, fitted = _group_p_values(counts, labelled, permutations, seed)
    half = special.ndtri(0.5 + confidence / 2) * np.sqrt(variance)
    return ClassLogOdds(
        source=counts.source,
        seed=None if labelled is None else seed,
        log_odds=value,
        low=value - half,
        high=value + half,
        p=one / size,
        p_value=p_value,
        q_value=false_discovery(p_value),
        dependent_q_value=false_discovery(p_value, dependent=True),
        fitted_tail=fitted,
        classes=counts.classes,
        groups=None if labelled is None else len(np.unique(labelled.groups)),
        estimator=WOOLF if labelled is None else RAO_SCOTT,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Labelled:
    """The packed codes of labelled items, their labels `[N]` or bool `[N, C]` of classes that occur, and groups."""

    packed: np.ndarray
    bits: int
    labels: np.ndarray
    groups: np.ndarray


def _labelled(codes: Codes | ClassCounts, groups: Groups) -> _Labelled | None:
    kept = codes.labels >= 0 if isinstance(codes, Codes) and not codes.multilabel else slice(None)
    units = need_groups("class_log_odds", codes, groups, kept)
    if units is None or not isinstance(codes, Codes):
        return None
    if codes.multilabel:
        labels = codes.labels[:, codes.labels.any(axis=0)]
    else:
        labels = np.unique(codes.labels[kept], return_inverse=True)[1].reshape(-1)
    return _Labelled(codes.packed[kept], codes.bits, labels, units)


def _variance(cells: np.ndarray, labelled: _Labelled) -> np.ndarray:
    """Variance of the log odds `[C, B]`, from cells `[4, C, B]`: ones and zeros of the class, then of the others."""
    inside, outside = _groups_of_sides(labelled)
    factors = [np.maximum(g, 2) / (np.maximum(g, 2) - 1) for g in (inside, outside)]
    parts = 1 / (cells / _design_effect(labelled) + 0.5)
    return factors[0][:, None] * (parts[0] + parts[1]) + factors[1][:, None] * (parts[2] + parts[3])


def _groups_of_sides(labelled: _Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Groups `[C]` that have items of the class, and that have others."""
    groups, labels = labelled.groups, labelled.labels
    n_groups = int(groups.max()) + 1
    several = labels.ndim == 2
    classes = labels.shape[1] if several else int(labels.max()) + 1
    counted = np.zeros((2, classes), np.int64)
    for c in range(classes):
        member = labels[:, c] if several else labels == c
        counted[:, c] = [np.count_nonzero(np.bincount(groups[side], minlength=n_groups)) for side in (member, ~member)]
    return counted[0], counted[1]


def _design_effect(labelled: _Labelled) -> np.ndarray:
    """How many times as large near copies make the variance of a bit's share of ones, `[B]`, at least 1:

        d = sum_c G_c / (G_c - 1) sum_g (y_g - p_c m_g)^2  /  sum_c n_c p_c (1 - p_c)

    for groups g of m_g items of class c, y_g of them ones. To both sums half an item of the largest effect is added,
    sum m_g^2 / n: a bit that never varies within a class does not show how much its copies are alike. Multi-label
    items count as one class, which is on the safe side.

    Source: Rao & Scott 1992; the small-sample factor: Cochran 1977, section 3.12.
    """
    packed, bits, groups = labelled.packed, labelled.bits, labelled.groups
    labels = np.zeros(len(packed), np.int64) if labelled.labels.ndim == 2 else labelled.labels
    above, below, squares = np.zeros(bits), np.zeros(bits), 0.0
    order = np.lexsort([groups, labels])
    for rows in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        unit = np.cumsum(np.diff(groups[rows], prepend=groups[rows[0]]) != 0)
        sizes = np.bincount(unit)
        squares += float((sizes**2).sum())
        if len(sizes) < 2:
            continue
        share = column_counts(packed[rows], bits) / len(rows)
        ends = np.cumsum(sizes)
        residual = np.zeros(bits)
        for first in range(0, len(sizes), UNITS):
            part = slice(first, first + UNITS)
            items = slice(ends[first] - sizes[first], ends[part][-1])
            ones = class_counts(packed[rows[items]], bits, unit[items] - first, len(sizes[part]))
            residual += ((ones - sizes[part][:, None] * share) ** 2).sum(axis=0)
        above += len(sizes) / (len(sizes) - 1) * residual
        below += len(rows) * share * (1 - share)
    largest = squares / len(packed)
    return np.maximum((above + largest / 2) / (below + 1 / 2), 1.0)


def _group_p_values(
    counts: ClassCounts, labelled: _Labelled, permutations: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """P-values `[C, B]` of each bit and class, labels permuted by whole groups, and which have a fitted tail."""
    n, bit_ones, size = counts.n, counts.bit_ones, counts.class_n[:, None]
    tables = GroupedTables.of(labelled.packed, labelled.bits, labelled.labels, labelled.groups)
    smallest = np.minimum(bit_ones, n - bit_ones) * np.minimum(size, n - size) / n * tables.groups / n
    observed = two_by_two_information(counts.ones, bit_ones, size, n)
    p_value, fitted = np.ones(observed.shape), np.zeros(observed.shape, bool)
    varies = np.flatnonzero((bit_ones > 0) & (bit_ones < n))
    blocks = -(-permutations * len(size) * len(varies) // MOST_DRAWN)
    for bits in np.array_split(varies, blocks) if blocks else []:
        generator = np.random.default_rng(seed)

        def draw(which: np.ndarray, times: int) -> np.ndarray:
            classes, places = np.divmod(which, len(bits))  # noqa: B023  called before the next block
            used, place = np.unique(places, return_inverse=True)

            def statistic(ones: np.ndarray, class_n: np.ndarray, drawn: np.ndarray) -> np.ndarray:
                of_class = class_n[:, 0, classes]
                return two_by_two_information(ones[:, 0, classes, place], bit_ones[drawn][place], of_class, n)

            return tables.draws(statistic, bits[used], times, generator)  # noqa: B023

        rare = (smallest[:, bits] < EXPECTED).ravel()
        found, _ = information_p_value(observed[:, bits].ravel(), draw, permutations, rare=rare)
        p_value[:, bits] = found.p_value.reshape(-1, len(bits))
        fitted[:, bits] = found.fitted.reshape(-1, len(bits))
    return p_value, fitted
