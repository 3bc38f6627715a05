"""How many bits it takes to transmit a code: held-out code lengths, and bounds on the total correlation."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from codelab.core.checks import check_seed, need_items
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.formats import decimals, number, with_interval
from codelab.core.result import PerBit, Result, Source
from codelab.measures.collisions import distinct_codes
from codelab.statistics.counts import PairCounts
from codelab.statistics.estimators import binary_entropy, entropy_of_counts, pair_information
from codelab.statistics.intervals import normal_half_width

Model = Literal["chow-liu", "logistic"]
MODELS = ("chow-liu", "logistic")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodeLength(PerBit):
    """Held-out bits per code: `value`, its 95 % interval `low` to `high` over items, and `per_bit` `[B]`.

    `independent` is what a model of independent bits needs on the same items, so `independent - value` is dependence
    that held up on unseen images: a lower bound of the total correlation. `parent` `[B]` is the bit that each bit is
    predicted from in the Chow-Liu tree, -1 for the root (all -1 for the logistic model, which uses all earlier bits).

    The line quotes `value` with its interval, and `independent`.
    """

    value: float
    low: float
    high: float
    independent: float
    per_bit: np.ndarray
    parent: np.ndarray
    model: str
    items: int

    COLUMNS = ("per_bit", "parent")

    def headline(self) -> str:
        length = with_interval(self.value, self.low, self.high)
        return f"{length} bits for a held-out code; independent bits {number(self.independent)}"


def code_length(
    codes: Codes | PairCounts, model: Model = "chow-liu", *, items: int = 20_000, seed: int = 0
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

    Returns:
        Bits per code; see `CodeLength`.

    Raises:
        UsageError: an unknown model, counts for the logistic one, or `items` below 64.
        DataError: fewer than 64 items.

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
    if items < 64:
        raise UsageError(f"items {items}: expected at least 64")
    check_seed(seed)
    if model == "logistic":
        if not isinstance(codes, Codes):
            raise UsageError("model 'logistic': needs the codes themselves, their counts are not enough")
        need_items("code_length", len(codes), least=64)
        return _logistic_length(codes, items, seed)
    counts = PairCounts.of(codes)
    need_items("code_length", counts.n, least=64)
    return _chow_liu_length(counts)


def _chow_liu_length(counts: PairCounts) -> CodeLength:
    halves = np.arange(len(counts.group_n)) % 2
    per_group = np.zeros((len(counts.group_n), counts.bits))
    alone = np.zeros(counts.bits)
    for held_out in (0, 1):
        train = halves != held_out
        pairs, n = counts.both[train].sum(axis=0), int(counts.group_n[train].sum())
        parent = chow_liu_tree(pairs, n)
        test = ~train
        per_group[test] = _tree_cost(pairs, n, parent, counts.both[test], counts.group_n[test])
        everyone = counts.both[test].sum(axis=0)[None], counts.group_n[test].sum()[None]
        alone += _tree_cost(pairs, n, np.full(counts.bits, -1), *everyone)[0]
    filled = counts.group_n > 0
    lengths = per_group[filled].sum(axis=1) / counts.group_n[filled]
    value = float(per_group.sum() / counts.n)
    error = normal_half_width(lengths)
    return CodeLength(
        source=counts.source,
        value=value,
        low=value - error,
        high=value + error,
        independent=float(alone.sum() / counts.n),
        per_bit=per_group.sum(axis=0) / counts.n,
        parent=chow_liu_tree(counts.pairs, counts.n),
        model="chow-liu",
        items=counts.n,
    )


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
    pairs: np.ndarray, n: int, parent: np.ndarray, test_pairs: np.ndarray, test_n: np.ndarray
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


def _logistic_length(codes: Codes, items: int, seed: int) -> CodeLength:
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(codes))[:items]
    bits = codes[np.sort(rows)].to_bits()[np.argsort(np.argsort(rows))].astype(np.float32)
    cost, alone = np.zeros(bits.shape), 0.0
    for held_out in (0, 1):
        test = np.arange(len(bits)) % 2 == held_out
        weights = _fit_in_order(bits[~test])
        cost[test] = _logistic_cost(_with_one(bits[test]) @ weights, bits[test])
        p = (bits[~test].sum(axis=0) + 0.5) / ((~test).sum() + 1)
        alone -= float((bits[test] * np.log2(p) + (1 - bits[test]) * np.log2(1 - p)).sum())
    lengths = cost.sum(axis=1)
    error = normal_half_width(lengths)
    return CodeLength(
        source=Source.of(codes),
        seed=seed,
        value=float(lengths.mean()),
        low=float(lengths.mean()) - error,
        high=float(lengths.mean()) + error,
        independent=alone / len(bits),
        per_bit=cost.mean(axis=0),
        parent=np.full(codes.bits, -1),
        model="logistic",
        items=len(bits),
    )


def _fit_in_order(bits: np.ndarray) -> np.ndarray:
    """Weights `[B + 1, B]` of the logits of each bit from those before it and a constant, ridge by validation."""
    fit = np.arange(len(bits)) % 5 != 0
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
    estimator: str = "low: held-out Chow-Liu; high: plug-in"

    def headline(self) -> str:
        digits = decimals([self.low, self.high])
        return f"{number(self.low, digits)} to {number(self.high, digits)} bits said more than once"


def total_correlation(codes: Codes, *, pairs: PairCounts | None = None) -> TotalCorrelation:
    """Bounds on the total correlation of the bits.

    Args:
        codes: codes `[N, B]`.
        pairs: their `PairCounts`, where they are at hand.

    Returns:
        `low` and `high` in bits. `high` is loose where nearly all codes are distinct: N codes show no more than
        log2 N bits.

    Raises:
        DataError: fewer than 64 items.

    Source: Watanabe 1960; the plug-in entropy is a lower bound in the mean: Paninski 2003.

    Example:
        >>> fair = np.random.default_rng(0).integers(0, 2, (4000, 4))
        >>> found = total_correlation(Codes.from_bits(np.concatenate([fair, fair], axis=1)))
        >>> round(found.low, 1), round(found.high, 1)
        (4.0, 4.0)
    """
    counts = PairCounts.of(pairs or codes)
    n = need_items("total_correlation", counts.n, least=64)
    length = code_length(counts)
    marginal = float(binary_entropy(np.diagonal(counts.pairs) / n).sum())
    _, times = distinct_codes(codes.packed)
    own = float(entropy_of_counts(times, "plugin"))
    high = max(marginal - own, 0.0)
    return TotalCorrelation(
        source=counts.source,
        low=min(max(length.independent - length.value, 0.0), high),
        high=high,
        marginal_entropy=marginal,
        distinct_entropy=own,
    )
