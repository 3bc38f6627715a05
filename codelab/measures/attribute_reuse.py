"""Does a bit read an attribute in the same sense in every class, or only in some of them?"""

from __future__ import annotations

import dataclasses

import numpy as np

from codelab.core.attributes import CLASS, Groups, Labelling, group_column, labelling
from codelab.core.checks import check_codes, check_seed
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number
from codelab.core.result import PerBit
from codelab.kernels.counting import class_counts
from codelab.measures.attribute_information import information_of
from codelab.statistics.contrasts import LEAST, TOLD, class_intervals, class_weights, one_class_each
from codelab.statistics.counts import StrataCounts

BINS = 8
"""Quantile bins of numbers."""

MOST = 1 << 22
"""Numbers of groups x values x bits at a time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttributeReuse(PerBit):
    """Per bit, arrays `[B]`.

    In each class, the effect of a value of the attribute is the bit's share of ones among the images that have it,
    less the mean of that share over the other values: with two values the risk difference. `shared` is the mean
    product of the effects in two classes and `own` the mean square in one, without sampling noise, both over all
    values; `reuse` = shared / own, between -1 and 1. 1: the bit reads the attribute alike in all classes; 0.5: in
    half of them, or at uneven strength; 0: in one class, or in opposite senses that cancel. `low` to `high` is its
    95 % interval over classes. All three are NaN where the effects are not above noise: `own_z`,
    own over its standard error without effect, is below 2, or fewer than 2 classes (the interval: 6) have the values.

    `within` is I(bit; attribute | class) in bits, corrected for chance, with its p-value and q-values: that of
    Benjamini-Hochberg, and `within_dependent_q_value` of Benjamini-Yekutieli, whose share of false finds holds however
    the bits depend on each other. `classes` have two values of the attribute or more. `note` counts the bits whose
    effects are not above noise. `groups` of near copies are counted as a whole; None: each image by itself.

    The line quotes the mean reuse of the bits that read the attribute within classes at q < 0.05.
    """

    reuse: np.ndarray
    low: np.ndarray
    high: np.ndarray
    shared: np.ndarray
    own: np.ndarray
    own_z: np.ndarray
    within: np.ndarray
    within_p_value: np.ndarray
    within_q_value: np.ndarray
    within_dependent_q_value: np.ndarray
    attribute: str
    classes: int
    groups: int | None
    note: str = ""
    estimator: str = "products of risk differences less their sampling variance"

    COLUMNS = (
        *("reuse", "low", "high", "shared", "own", "own_z"),
        *("within", "within_p_value", "within_q_value", "within_dependent_q_value"),
    )

    def headline(self) -> str:
        within = self.within_q_value < 0.05
        told = self.reuse[within & ~np.isnan(self.reuse)]
        if not len(told):
            return f"reuse of {self.attribute} cannot be told; {int(within.sum())} of {len(within)} bits at q < 0.05"
        mean = f"mean reuse {number(float(told.mean()))} over {self.classes} classes (1: the same in all)"
        return f"{mean}; {len(told)} of {len(within)} bits read {self.attribute} within classes at q < 0.05"


def attribute_reuse(
    codes: Codes,
    attribute: str,
    *,
    groups: Groups = None,
    bins: int = BINS,
    permutations: int = 200,
    seed: int = 0,
) -> AttributeReuse:
    """Whether a bit reads an attribute in the same sense in every class.

    With e_cv the effect of value v in class c, s_cv^2 its sampling variance and sums over values and pairs of
    classes that have the value,

        reuse = shared / own = sum_v sum_{c != c'} e_cv e_c'v / sum_v sum_{c != c'} (e_cv^2 - s_cv^2)

    Args:
        codes: labelled codes `[N, B]` with item columns.
        attribute: an item column; numbers go into quantile bins.
        groups: an item column or one value an image; images of one group are near copies. For `reuse`, a group of
            several classes counts in one of them, drawn by `seed`.
        bins: how many quantile bins.
        permutations: behind the p-values of `within`.
        seed: of all chance.

    Returns:
        One row a bit; see `AttributeReuse`.

    Raises:
        UsageError: no such column.
        DataError: no labels, one group only, or an attribute of one value within every class.

    Source: unbiased products: Walther et al. 2016; variance by clusters: Liang & Zeger 1986.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> kind, tone = rng.integers(0, 6, 3000), rng.integers(0, 2, 3000)
        >>> in_one = np.where(kind == 2, tone, rng.integers(0, 2, 3000))
        >>> codes = Codes.from_bits(np.stack([tone, in_one], axis=1), kind, items={"tone": tone.astype(str)})
        >>> attribute_reuse(codes, "tone").reuse.round(1).tolist()
        [1.0, 0.0]
    """
    check_codes("codes", codes)
    check_seed(seed)
    if attribute == CLASS:
        raise UsageError("attribute 'class': expected an item column other than the class")
    within = information_of(
        *("attribute_reuse", codes, attribute),
        given=CLASS,
        groups=groups,
        bins=bins,
        permutations=permutations,
        seed=seed,
    )
    generator = np.random.default_rng(seed)
    effects, several = _effects(codes, attribute, groups, bins, generator)
    reuse, (shared, *_), (own, *_) = effects.reuse(class_weights(len(effects.used), generator))
    own_z = effects.own_z()
    told = (own_z >= TOLD) & ~np.isnan(reuse[0])
    classes_used = np.asarray(effects.used.any(axis=1))
    low, high = class_intervals(reuse, np.tile(classes_used[:, None], codes.bits), told)
    return AttributeReuse(
        source=within.source,
        seed=seed,
        reuse=np.where(told, np.clip(reuse[0], -1, 1), np.nan),
        low=low,
        high=high,
        shared=shared,
        own=own,
        own_z=own_z,
        within=within.information,
        within_p_value=within.p_value,
        within_q_value=within.q_value,
        within_dependent_q_value=within.dependent_q_value,
        attribute=within.of,
        classes=int(classes_used.sum()),
        groups=several,
        note="" if told.all() else f"{int((~told).sum())} of {len(told)} bits: cannot tell, effects not above noise",
    )


def mean_reuse(codes: Codes, attribute: str, *, groups: Groups, seed: int) -> float:
    """The mean `reuse` of the bits whose effects are above noise, without intervals and tests; NaN where none are.

    Arguments and errors are those of `attribute_reuse`.
    """
    effects, _ = _effects(codes, attribute, groups, BINS, np.random.default_rng(seed))
    reuse = effects.reuse(np.ones((1, len(effects.used))))[0][0]
    clear = (effects.own_z() >= TOLD) & ~np.isnan(reuse)
    return float(np.clip(reuse[clear], -1, 1).mean()) if clear.any() else float("nan")


def _effects(
    codes: Codes, attribute: str, groups: Groups, bins: int, generator: np.random.Generator
) -> tuple[Effects, int | None]:
    """The effects of the values in each class, and how many groups there are; None where each image is its own."""
    target, classes = labelling(codes, attribute, bins=bins), labelling(codes)
    if not ((target.labels >= 0) & (classes.labels >= 0)).any():
        raise DataError(f"attribute_reuse: no image has both a value of {target.text} and a class")
    unit = None if groups is None else group_column(codes, groups)
    if unit is None or len(unit) == unit.max() + 1:  # also where each image is named a group of its own
        counts = StrataCounts.of(codes, target, classes)
        found, several = [_alone(*table) for table in zip(counts.ones, counts.class_n, strict=True)], None
    else:
        found, several = _grouped(codes, target, classes, unit, generator)
    return Effects(*(np.stack(part) for part in zip(*found, strict=True))), several


@dataclasses.dataclass(frozen=True, eq=False)
class Effects:
    """Effects `effect` and their sampling `variance` `[C, V, B]`, 0 where a class lacks a value (`used` `[C, V]`), and
    the variance of a class's sum of squares without effect, `error` `[C, B]`."""

    effect: np.ndarray
    variance: np.ndarray
    error: np.ndarray
    used: np.ndarray

    def reuse(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`reuse`, `shared` and `own`, each `[R, B]`, each class counted as often as a row of `times` `[R, C]` says.

        Noise can bring `reuse` above 1; it is NaN where `own` is not above 0.
        """
        squares = self.effect**2 - self.variance
        occurs = times @ self.used  # [R, V]
        products = (np.tensordot(times, self.effect, 1) ** 2).sum(axis=1) - times**2 @ (self.effect**2).sum(axis=1)
        own = np.einsum("rv,rvb->rb", occurs, np.tensordot(times, squares, 1)) - times**2 @ squares.sum(axis=1)
        pairs = np.maximum((occurs**2).sum(axis=1) - times**2 @ self.used.sum(axis=1), 1.0)[:, None]
        known = own > 1e-12 * pairs  # one class alone leaves rounding error
        reuse = np.divide(products, own, out=np.full(own.shape, np.nan), where=known)
        return reuse, products / pairs, own / pairs

    def own_z(self) -> np.ndarray:
        """The sum of squared effects, without their sampling variance, over its standard error without effect."""
        total, error = (self.effect**2 - self.variance).sum(axis=(0, 1)), np.sqrt(self.error.sum(axis=0))
        return np.divide(total, error, out=np.where(total > 0, np.inf, 0.0), where=error > 0)


def _alone(ones: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, ...]:
    """A class's `Effects` where each image is a group of its own: ones `[V, B]` of `sizes` `[V]` images."""
    shares = ones / np.maximum(sizes, 1)[:, None]
    spread = shares * (1 - shares) / np.maximum(sizes - 1, 1)[:, None]
    used = sizes > LEAST
    between, variance, error = _contrasted(shares, spread, used)
    return between, variance, error, used if used.sum() > 1 else np.zeros(len(used), bool)


def _contrasted(shares: np.ndarray, spread: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects `[V, B]` of shares with independent sampling variance D_v, their variance, and that of their sum of
    squares. With k values, a = k / (k - 1) and P what takes off the mean over values,

        e = a P p,    var e_v = a^2 ((1 - 2 / k) D_v + sum_w D_w / k^2),    var sum_v e_v^2 = 2 a^4 trace (P D)^2
    """
    k = int(used.sum())
    if k < 2:
        return np.zeros_like(shares), np.zeros_like(shares), np.zeros(shares.shape[1])
    a, at = k / (k - 1), used[:, None]
    spread = np.where(at, spread, 0.0)
    effect = np.where(at, a * (shares - shares[used].mean(axis=0)), 0.0)
    variance = np.where(at, a**2 * ((1 - 2 / k) * spread + spread.sum(axis=0) / k**2), 0.0)
    trace = (1 - 2 / k) * (spread**2).sum(axis=0) + spread.sum(axis=0) ** 2 / k**2
    return effect, variance, 2 * a**4 * trace


def _grouped(
    codes: Codes, target: Labelling, classes: Labelling, unit: np.ndarray, generator: np.random.Generator
) -> tuple[list[tuple[np.ndarray, ...]], int]:
    """`Effects` of each class where images of one `unit` are near copies, and how many units there are."""
    rows = np.flatnonzero((target.labels >= 0) & (classes.labels >= 0))
    rows = rows[one_class_each(unit[rows], classes.labels[rows], generator)]
    found = []
    for c in range(len(classes.names)):
        part = rows[classes.labels[rows] == c]
        members = np.unique(unit[part], return_inverse=True)[1].reshape(-1)
        order = np.argsort(members, kind="stable")
        found.append(
            _by_group(
                codes.packed[part[order]], codes.bits, members[order], target.labels[part[order]], len(target.names)
            )
        )
    return found, len(np.unique(unit[rows]))


def _by_group(
    packed: np.ndarray, bits: int, unit: np.ndarray, value: np.ndarray, values: int
) -> tuple[np.ndarray, ...]:
    """A class's `Effects`, their variance from the scores of its groups, numbered by `unit` in ascending order.

    With n_gv images of group g and value v and m_v the groups of the value, as if of one size,

        u_gv = sqrt(m_v / (m_v - 1)) sum_{i in g, v} (bit_i - p_v) / n_v,    var e_v = sum_g (a (P u_g)_v)^2
    """
    groups = int(unit[-1]) + 1 if len(unit) else 0
    n = np.zeros((groups, values))
    np.add.at(n, (unit, value), 1)
    sizes = np.maximum(n.sum(axis=0), 1)
    effective = n.sum(axis=0) ** 2 / np.maximum((n**2).sum(axis=0), 1)
    used = effective > LEAST
    shares = class_counts(packed, bits, value, values) / sizes[:, None]
    factor = np.where(used, np.sqrt(effective / np.maximum(effective - 1, 1e-9)) / sizes, 0.0)[:, None]
    spread, together = np.zeros((2, values, bits))
    k = max(int(used.sum()), 2)
    step = max(1, MOST // (values * bits))
    for first in range(0, groups, step):
        a, b = np.searchsorted(unit, [first, first + step])
        some = min(step, groups - first)
        ones = class_counts(packed[a:b], bits, (unit[a:b] - first) * values + value[a:b], some * values)
        score = (ones.reshape(some, values, bits) - n[first : first + some, :, None] * shares) * factor
        spread += (score**2).sum(axis=0)
        together += ((score - score.sum(axis=1, keepdims=True) / k) ** 2).sum(axis=0)
    effect, apart, error = _contrasted(shares, spread, used)
    variance = np.where(used[:, None], (k / (k - 1)) ** 2 * together, 0.0) if used.sum() > 1 else apart
    # images of one group with several values move these alike: the same share of the variance is left in all
    whole = apart.sum(axis=0)
    left = np.divide(variance.sum(axis=0), whole, out=np.ones(bits), where=whole > 0)
    return effect, variance, error * left**2, used if used.sum() > 1 else np.zeros(values, bool)
