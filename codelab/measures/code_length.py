"""How many bits it takes to transmit a code: held-out code lengths, and bounds on the total correlation."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from scipy import special

from codelab.core.attributes import Groups
from codelab.core.checks import check_codes, check_seed, need_items
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.formats import decimals, number, with_interval
from codelab.core.result import PerBit, Result, Source
from codelab.kernels.counting import column_counts, distinct_codes
from codelab.statistics.clusters import group_units
from codelab.statistics.counts import GROUPS, PairCounts
from codelab.statistics.estimators import binary_entropy, entropy_of_counts, pair_information
from codelab.statistics.jackknife import deal, standard_error
from codelab.statistics.splits import fitting

Model = Literal["chow-liu", "logistic"]
MODELS = ("chow-liu", "logistic")
LEAST = 64
"""Items, or groups, below which no length is measured."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodeLength(PerBit):
    """Held-out bits per code: `value`, its 95 % interval `low` to `high` over items, and `per_bit` `[B]`.

    The interval holds the mean of `value` over samples of as many items: the model's training is part of the chance.
    The logistic model has none (NaN), because it is too slow to be fitted again without each part.

    `independent` is what a model of independent bits needs on the same items, so `independent - value` is dependence
    that held up on unseen images: a lower bound of the total correlation. `parent` `[B]` is the bit that each bit is
    predicted from in the Chow-Liu tree, -1 for the root (all -1 for the logistic model, which uses all earlier bits).
    `groups` is their number, None without. `deleted` `[P]` is `value` without each part of the images, for the
    difference of two codes; of the logistic model there is none.

    The line quotes `value` with its interval, and `independent`.
    """

    value: float
    low: float
    high: float
    independent: float
    per_bit: np.ndarray
    deleted: np.ndarray = dataclasses.field(repr=False)
    parent: np.ndarray
    model: str
    items: int
    groups: int | None = None
    estimator: str = "two halves in turn, one fitted and one measured"

    COLUMNS = ("per_bit", "parent")

    def headline(self) -> str:
        length = with_interval(self.value, self.low, self.high)
        return f"{length} bits for a held-out code; independent bits {number(self.independent)}"


def code_length(
    codes: Codes | PairCounts,
    model: Model = "chow-liu",
    *,
    items: int = 20_000,
    seed: int = 0,
    groups: Groups = None,
) -> CodeLength:
    """Bits needed for the code of an unseen image, by a model fitted to the other half of the images.

    It bounds the entropy of the code from above: bits that repeat or follow from others cost little. The halves take
    turns, so every image is held out once.

    Args:
        codes: codes `[N, B]`; for `chow-liu` also their `PairCounts`.
        model: `chow-liu`, the best tree in which each bit is predicted from one other; `logistic`, slow and tighter:
            each bit from all bits before it, with a ridge chosen within the training half.
        items: a sample of at most this many items is used by `logistic`.
        seed: of that sample.
        groups: an item column, or one value an image: images of one group are near copies, and a group is in one half.

    Returns:
        Bits per code; see `CodeLength`.

    Raises:
        UsageError: an unknown model, counts for the logistic one or with groups, or `items` below 64.
        DataError: fewer than 64 items or groups.

    Source: Chow & Liu 1968; Frey 1998 for the sequential logistic model;
        Krichevsky & Trofimov 1981 for the smoothing.

    Example:
        >>> fair = np.random.default_rng(0).integers(0, 2, (4000, 8))
        >>> codes = Codes.from_bits(np.concatenate([fair, fair], axis=1))
        >>> length = code_length(codes)
        >>> round(length.value, 1), round(length.independent, 1)
        (8.0, 16.0)
    """
    if model not in MODELS:
        raise UsageError(f"model {model!r}: expected one of {', '.join(MODELS)}")
    if items < LEAST:
        raise UsageError(f"items {items}: expected at least {LEAST}")
    check_seed(seed)
    units = group_units("code_length", codes, groups, LEAST)
    if model == "logistic":
        if not isinstance(codes, Codes):
            raise UsageError("model 'logistic': needs the codes themselves, their counts are not enough")
        need_items("code_length", len(codes), least=LEAST)
        return _logistic_length(codes, items, seed, units)
    counts = PairCounts.of(codes, parts=None if units is None else deal(units, parts=GROUPS))
    need_items("code_length", counts.n, least=LEAST)
    return _chow_liu_length(counts, None if units is None else int(units.max()) + 1)


def _chow_liu_length(counts: PairCounts, groups: int | None) -> CodeLength:
    copies = 1.0 if groups is None else counts.n / groups  # tables are smoothed as if a group were one image
    halves, n, bits = np.arange(len(counts.group_n)) % 2, counts.group_n, counts.bits
    pairs = np.stack([counts.both[halves == half].sum(axis=0) for half in (0, 1)])
    size = np.array([n[halves == half].sum() for half in (0, 1)])
    per_part, alone, without = np.zeros((len(n), bits)), np.zeros(bits), np.zeros(len(n))
    for train, test in ((0, 1), (1, 0)):
        parent = chow_liu_tree(pairs[train], size[train])
        in_test, everyone = halves == test, (pairs[test : test + 1], size[test : test + 1])
        fitted = pairs[train] / copies, size[train] / copies
        per_part[in_test] = _tree_cost(*fitted, parent, counts.both[in_test], n[in_test])
        alone += _tree_cost(*fitted, np.full(bits, -1), *everyone)[0]
        for part in np.flatnonzero((halves == train) & (n > 0)):
            fewer = (pairs[train] - counts.both[part]) / copies, (size[train] - n[part]) / copies
            without[part] = _tree_cost(*fewer, parent, *everyone).sum()
    lengths = per_part.sum(axis=1)
    # the other half is measured without the part in training, its own half without it in the measure
    own = np.array([lengths[halves == half].sum() for half in (0, 1)])
    filled = n > 0
    deleted = ((without + own[halves] - lengths) / np.maximum(counts.n - n, 1))[filled]
    value, reach = float(lengths.sum() / counts.n), _reach(lengths[filled] / n[filled], deleted)
    return CodeLength(
        source=counts.source,
        value=value,
        low=value - reach,
        high=value + reach,
        independent=float(alone.sum() / counts.n),
        per_bit=per_part.sum(axis=0) / counts.n,
        deleted=deleted,
        parent=chow_liu_tree(counts.pairs, counts.n),
        model="chow-liu",
        items=counts.n,
        groups=groups,
    )


def _reach(lengths: np.ndarray, deleted: np.ndarray) -> float:
    """Half the width of the 95 % interval of a held-out length.

    The model is fitted, so its error moves the length by terms of second order alone. The spread of the lengths does
    not have these, and the jackknife of parts, measured and fitted, has them twice (Efron & Stein 1981). The variance
    is the mean of both.

    Args:
        lengths: `[P]`, mean length of the items in each part.
        deleted: `[P]`, the held-out length without each part.
    """
    measured = lengths.var(ddof=1) / len(lengths)
    return float(special.stdtrit(len(lengths) - 1, 0.975) * np.sqrt((measured + standard_error(deleted) ** 2) / 2))


def chow_liu_tree(pairs: np.ndarray, n: int) -> np.ndarray:
    """The spanning tree of most mutual information: the parent of each bit, -1 for the root, bit 0.

    Args:
        pairs: `[B, B]` items where both bits are 1.
        n: items.
    """
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    shared = pair_information(pairs, n)
    np.fill_diagonal(shared, 0.0)
    tree = minimum_spanning_tree(2.0 - shared)  # all weights above 0: 0 would mean no edge
    parent = breadth_first_order(tree, 0, directed=False)[1]
    return np.where(parent < 0, -1, parent)


def _tree_cost(
    pairs: np.ndarray, n: float, parent: np.ndarray, test_pairs: np.ndarray, test_n: np.ndarray
) -> np.ndarray:
    """Bits that each bit costs in all items of each test group, `[G, B]`, by a tree with tables from `pairs`."""
    bits = np.arange(len(parent))
    cost = np.zeros((len(test_n), len(parent)))
    root = parent < 0
    above = np.where(root, bits, parent)
    for on in (1, 0):
        if on:
            base, test_base = pairs[above, above], test_pairs[:, above, above]
            one, test_one = pairs[bits, above], test_pairs[:, bits, above]
        else:
            base, test_base = n - pairs[above, above], test_n[:, None] - test_pairs[:, above, above]
            one = pairs[bits, bits] - pairs[bits, above]
            test_one = test_pairs[:, bits, bits] - test_pairs[:, bits, above]
        p = (one + 0.5) / (base + 1)
        cost -= np.where(root, 0.0, test_one * np.log2(p) + (test_base - test_one) * np.log2(1 - p))
    p = (pairs[bits, bits] + 0.5) / (n + 1)
    ones = test_pairs[:, bits, bits]
    cost -= np.where(root, ones * np.log2(p) + (test_n[:, None] - ones) * np.log2(1 - p), 0.0)
    return cost


def _logistic_length(codes: Codes, items: int, seed: int, units: np.ndarray | None) -> CodeLength:
    rows, unit = _drawn(len(codes), items, seed, units)
    bits = codes[np.sort(rows)].to_bits()[np.argsort(np.argsort(rows))].astype(np.float32)
    cost, alone = np.zeros(bits.shape), 0.0
    for held_out in (0, 1):
        test = unit % 2 == held_out
        weights = _fit_in_order(bits[~test], unit[~test] // 2)
        cost[test] = _logistic_cost(_with_one(bits[test]) @ weights, bits[test])
        p = (bits[~test].sum(axis=0) + 0.5) / ((~test).sum() + 1)
        alone -= float((bits[test] * np.log2(p) + (1 - bits[test]) * np.log2(1 - p)).sum())
    lengths = cost.sum(axis=1)
    return CodeLength(
        source=Source.of(codes),
        seed=seed,
        value=float(lengths.mean()),
        low=float("nan"),  # the spread of the lengths alone covers .78 to .9: it leaves out how the model was fitted
        high=float("nan"),
        independent=alone / len(bits),
        per_bit=cost.mean(axis=0),
        deleted=np.empty(0),
        parent=np.full(codes.bits, -1),
        model="logistic",
        items=len(bits),
        groups=None if units is None else int(unit[-1]) + 1,
    )


def _drawn(n: int, items: int, seed: int, units: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """At most `items` rows in random order, whole groups together, and the number of each one's group, ascending."""
    generator = np.random.default_rng(seed)
    if units is None:
        rows = generator.permutation(n)[:items]
        return rows, np.arange(len(rows))
    order = generator.permutation(int(units.max()) + 1)
    order = order[fitting(np.bincount(units)[order], items)]
    place = np.full(int(units.max()) + 1, len(order))
    place[order] = np.arange(len(order))
    rows = np.argsort(place[units], kind="stable")[: int((place[units] < len(order)).sum())]
    return rows, place[units[rows]]


def _fit_in_order(bits: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Weights `[B + 1, B]` of the logits of each bit from those before it and a constant, ridge by validation.

    Args:
        bits: float32 `[n, B]`.
        unit: int `[n]`, the group of each item; a fifth of the groups validates.
    """
    fit = unit % 5 != 0
    weights = np.zeros((bits.shape[1] + 1, bits.shape[1]), dtype=np.float32)
    best, best_cost, best_ridge = weights, np.inf, 0.0
    for ridge in (1000.0, 100.0, 10.0, 1.0, 0.1):
        weights = _descend(bits[fit], weights, ridge)
        cost = float(_logistic_cost(_with_one(bits[~fit]) @ weights, bits[~fit]).sum())
        if cost >= best_cost:
            break
        best, best_cost, best_ridge = weights, cost, ridge
    return _descend(bits, best, best_ridge)


def _descend(bits: np.ndarray, start: np.ndarray, ridge: float) -> np.ndarray:
    """Minimise the logistic loss of all bits at once; the constant is not shrunk."""
    from scipy.optimize import minimize

    inputs = _with_one(bits)
    allowed = np.tril(np.ones((bits.shape[1], bits.shape[1]), dtype=bool), -1).T  # input i predicts bits > i
    allowed = np.concatenate([allowed, np.ones((1, bits.shape[1]), dtype=bool)])
    shrunk = allowed.copy()
    shrunk[-1] = False

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        weights = np.zeros(allowed.shape, dtype=np.float32)
        weights[allowed] = free
        logits = inputs @ weights
        value = float((np.logaddexp(0, logits) - bits * logits).sum(dtype=np.float64))
        gradient = inputs.T @ (1 / (1 + np.exp(-logits)) - bits) + ridge * weights * shrunk
        return value + ridge / 2 * float((weights[shrunk] ** 2).sum()), gradient[allowed].astype(np.float64)

    found = minimize(loss, start[allowed].astype(np.float64), jac=True, method="L-BFGS-B", options={"maxiter": 60})
    weights = np.zeros(allowed.shape, dtype=np.float32)
    weights[allowed] = found.x
    return weights


def _with_one(bits: np.ndarray) -> np.ndarray:
    """Bits as -1 and 1, and a constant 1."""
    return np.concatenate([2 * bits - 1, np.ones((len(bits), 1), dtype=np.float32)], axis=1)


def _logistic_cost(logits: np.ndarray, bits: np.ndarray) -> np.ndarray:
    return (np.logaddexp(0, logits) - bits * logits) / np.log(2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TotalCorrelation(Result):
    """Bounds in bits on sum of H(bit) - H(code), the bits that are said more than once.

    Estimates, from different sides: `low`, the dependence that a Chow-Liu tree shows on held-out images, and `high`,
    for the code has at least the entropy `distinct_entropy` of the sample itself. Where chance puts `low` above
    `high`, it is set to it. `marginal_entropy` is the sum of H(bit).

    The line quotes the two bounds.
    """

    low: float
    high: float
    marginal_entropy: float
    distinct_entropy: float
    groups: int | None = None
    estimator: str = "low: held-out Chow-Liu; high: plug-in"

    def headline(self) -> str:
        digits = decimals([self.low, self.high])
        return f"{number(self.low, digits)} to {number(self.high, digits)} bits said more than once"


def total_correlation(codes: Codes, *, pairs: PairCounts | None = None, groups: Groups = None) -> TotalCorrelation:
    """Bounds on the total correlation of the bits.

    Args:
        codes: codes `[N, B]`.
        pairs: their `PairCounts`, where they are at hand.
        groups: an item column, or one value an image: as in `code_length`.

    Returns:
        `low` and `high` in bits. `high` is loose where nearly all codes are distinct: N codes show no more than
        log2 N bits.

    Raises:
        DataError: fewer than 64 items or groups.
        UsageError: groups that are no column, or with `pairs`.

    Source: Watanabe 1960; the plug-in entropy is a lower bound in the mean: Paninski 2003.

    Example:
        >>> fair = np.random.default_rng(0).integers(0, 2, (4000, 4))
        >>> found = total_correlation(Codes.from_bits(np.concatenate([fair, fair], axis=1)))
        >>> round(found.low, 1), round(found.high, 1)
        (4.0, 4.0)
    """
    check_codes("codes", codes)
    n = need_items("total_correlation", len(codes), least=LEAST)
    length = code_length(pairs or codes, groups=groups)
    marginal = float(binary_entropy(column_counts(codes.packed, codes.bits) / n).sum())
    _, times = distinct_codes(codes.packed)
    own = float(entropy_of_counts(times, "plugin"))
    high = max(marginal - own, 0.0)
    return TotalCorrelation(
        source=length.source,
        low=min(max(length.independent - length.value, 0.0), high),
        high=high,
        marginal_entropy=marginal,
        distinct_entropy=own,
        groups=length.groups,
    )
