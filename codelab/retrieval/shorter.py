"""Shorter codes: which bits to keep, and what they retrieve on held-out queries, against random bits.

`bit_budget_curve` orders bits by a criterion that uses the labels, `smaller_code` tests bits chosen without labels.
Both choose on one half and score mAP@ALL on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from codelab.core.attributes import Groups, group_column
from codelab.core.checks import check_choice, check_codes, check_seed, check_whole
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import number, p_phrase
from codelab.core.result import Result, Source
from codelab.retrieval import ties as tie_orders
from codelab.retrieval.criteria import agreement, propose_bits
from codelab.retrieval.deletion import values_of_counts
from codelab.retrieval.ranking import HammingRanking, rank
from codelab.retrieval.summary import class_average
from codelab.statistics.nulls import permutation_p_value
from codelab.statistics.splits import fitting, half

if TYPE_CHECKING:
    import pandas as pd

TELLING = 19
"""Random subsets from which a p-value of 0.05 can be reached."""


@dataclass(frozen=True, kw_only=True)
class BudgetCurve(Result):
    """mAP@ALL at each number of bits, one row a budget in `to_frame`.

    `random` is `[budgets, draws]`. `order` lists all bits, best first, as one half of the queries orders them. `best`
    is the mAP of the first bits of `order` on the other half of the queries; compare it with `leading_half`, the mAP
    of the leading bits on the same half.

    The line quotes `leading` at the first and the last budget.
    """

    budgets: tuple[int, ...]
    leading: np.ndarray
    random: np.ndarray
    best: np.ndarray
    leading_half: np.ndarray
    order: np.ndarray
    queries: Source
    n: int
    n_queries: int
    bits: int
    ties: str
    relevance: str
    left_out: str
    average: str

    def headline(self) -> str:
        ends = [
            f"{number(float(self.leading[i]))} ({self.budgets[i]} bits)"
            for i in dict.fromkeys((0, len(self.budgets) - 1))
        ]
        return f"mAP@ALL {' to '.join(ends)}, leading bits, {self.n_queries:,} queries"

    def __str__(self) -> str:
        table = self.to_frame()
        rows = [
            f"{row.bits} bits {row.leading:.4f} leading, {row.random:.4f} +- {row.spread:.4f} random, "
            f"{row.best:.4f} best first against {row.leading_half:.4f} leading on the half that did not choose"
            for row in table.itertuples()
        ]
        how = [
            f"{self.n_queries:,} queries, N = {self.n:,}, cut from {self.bits} bits, Hamming",
            f"{self.random.shape[1]} random subsets",
            f"ties {self.ties}",
            "divided by relevant",
            f"relevant: {self.relevance}",
            f"left out: {self.left_out}" if self.left_out else "",
            f"average over {'queries' if self.average == 'query' else 'classes'}",
            f"seed {self.seed}",
        ]
        return f"mAP@ALL: {'; '.join(rows)} ({'; '.join(part for part in how if part)})"

    def to_frame(self) -> pd.DataFrame:
        """One row a budget: `bits`, `leading`, `random` (mean), `spread` (standard deviation of the draws), `best`,
        `leading_half`."""
        import pandas as pd

        return pd.DataFrame(
            {
                "bits": self.budgets,
                "leading": self.leading,
                "random": self.random.mean(axis=1),
                "spread": self.random.std(axis=1, ddof=1) if self.random.shape[1] > 1 else 0.0,
                "best": self.best,
                "leading_half": self.leading_half,
            }
        )


def bit_budget_curve(
    queries: Codes,
    database: Codes | None = None,
    *,
    budgets: Sequence[int] | None = None,
    draws: int = 10,
    ties: str = "expected",
    exclude_self: bool | None = None,
    groups: Groups | tuple[Groups, Groups] = None,
    average: str = "query",
    seed: int = 0,
    threads: int | None = None,
) -> BudgetCurve:
    """mAP@ALL of shorter codes cut from longer ones.

    One random half of the queries orders the bits, best first: by the share of relevant pairs of query and item that
    agree on the bit, minus the share of all pairs that do. The other half scores them, because bits look better than
    they are on the queries that chose them. The items of one group are all in one half. Where the queries are the
    database too, the half that orders the bits sees no item of the other.

    Args:
        queries, database, ties: as in `retrieval_map`.
        exclude_self, groups, average, threads: as in `codelab.retrieval.options.Options`.
        budgets: numbers of bits, each at most B. Default: B, B/2, B/4 and B/8: 256, 128, 64 and 32 of 256 bits.
        draws: random subsets of each size.
        seed: of the subsets and the halves.

    Raises:
        UsageError: an option out of range.
        DataError: sets that do not fit each other, no labels, or no query of a half with a relevant item.

    Example:
        >>> codes = Codes.from_bits([[0, 0], [0, 1], [1, 0], [1, 1]] * 3, labels=[0, 0, 1, 1] * 3)  # bit 0: the class
        >>> curve = bit_budget_curve(codes, budgets=(2, 1), draws=2)
        >>> curve.order.tolist(), curve.leading.round(2).tolist(), curve.best.round(2).tolist()
        ([0, 1], [0.86, 1.0], [0.86, 1.0])
    """
    sets = rank(queries, database, exclude_self=exclude_self, groups=groups, threads=threads)
    ranking = cast(HammingRanking, sets)
    check_choice("ties", ties, tie_orders.TIES)
    check_choice("average", average, ("query", "class"))
    bits = queries.bits
    budgets = _check_budgets(budgets, bits)
    check_whole("draws", draws, 1)
    check_whole("seed", seed, 0)
    if len(queries) < 2:
        raise UsageError("bit_budget_curve: expected at least 2 queries, to choose on one half and score on the other")
    generator = np.random.default_rng(seed)
    chooser, judge = _halves(ranking, generator)
    order = np.argsort(-agreement(chooser), kind="stable")

    def score(who: HammingRanking, chosen: np.ndarray) -> float:
        return _score("bit_budget_curve", who, chosen, average, ties)

    leading = [score(ranking, np.arange(budget)) for budget in budgets]
    subsets = [[generator.permutation(bits)[:budget] for _ in range(draws)] for budget in budgets]
    random = [
        [whole] * draws if budget == bits else [score(ranking, chosen) for chosen in drawn]
        for budget, drawn, whole in zip(budgets, subsets, leading, strict=True)
    ]
    return BudgetCurve(
        source=Source.of(ranking.database),
        seed=seed,
        budgets=tuple(budgets),
        leading=np.array(leading),
        random=np.array(random),
        best=np.array([score(judge, order[:budget]) for budget in budgets]),
        leading_half=np.array([score(judge, np.arange(budget)) for budget in budgets]),
        order=order,
        queries=Source.of(queries),
        n=len(ranking.database),
        n_queries=len(queries),
        bits=bits,
        ties=ties,
        relevance=ranking.relevance,
        left_out=ranking.left_out,
        average=average,
    )


@dataclass(frozen=True, kw_only=True)
class SmallerCode(Result):
    """`bits` proposed on the database half, and mAP on held-out queries: `value` with them, `full` with all bits,
    `random` `[draws]` with random subsets of the same size. `rank` is how many random subsets do at least as well,
    `p_value` (1 + rank) / (1 + draws), NaN with fewer than 19 draws, which cannot show 0.05. `images` of all were
    looked at: of many, some are drawn.

    The line quotes `value`, `full`, the mean of `random` and the p-value, and `images` where they were drawn.
    """

    value: float
    full: float
    random: np.ndarray
    bits: np.ndarray
    rank: int
    p_value: float
    queries: int
    database: int
    images: int

    def headline(self) -> str:
        null = f"random {number(float(self.random.mean()))}" if len(self.random) else ""
        null += "" if np.isnan(self.p_value) else f", {p_phrase('p', self.p_value)}"
        best = f"mAP {number(self.value)} with {len(self.bits)} bits, {number(self.full)} with all"
        drawn = f", {self.images:,} images drawn" if self.source and self.images < self.source.n else ""
        return (f"{best} ({null})" if null else best) + drawn

    def to_frame(self) -> pd.DataFrame:
        """One row for each set of bits tried."""
        import pandas as pd

        names = ["proposed", "all bits", *(f"random {i}" for i in range(len(self.random)))]
        sizes = [len(self.bits), self.source.bits if self.source else 0, *[len(self.bits)] * len(self.random)]
        return pd.DataFrame({"code": names, "bits": sizes, "map": [self.value, self.full, *self.random.tolist()]})


def smaller_code(
    codes: Codes,
    size: int,
    *,
    bits: Sequence[int] | None = None,
    draws: int = 20,
    queries: int = 1000,
    groups: Groups = None,
    average: str = "query",
    items: int = 200_000,
    seed: int = 0,
) -> SmallerCode:
    """Propose a smaller code on one half of the images and test it by retrieval with the other.

    Args:
        codes: labelled codes `[N, B]`.
        size: bits of the smaller code.
        bits: another proposal, `size` bit numbers; default: `propose_bits` of the database half.
        draws: random subsets of the same size to compare with; 19 or more for a p-value.
        queries: most queries drawn from the held-out half.
        groups: item column, or one value an item: near copies, which stay in one half.
        average: over queries (`query`), or the mean of the class means (`class`).
        items: at most this many images, whole groups drawn by `seed`, are looked at.
        seed: of the images, the halves, the queries and the random subsets.

    Returns:
        Mean average precision of the proposal, of all bits and of random subsets; see `SmallerCode`.

    Raises:
        UsageError: draws, queries, size or bits out of range.
        DataError: no labels, or too few items for two halves.

    Example:
        >>> labels = np.random.default_rng(0).integers(0, 4, 400)
        >>> one, other = labels % 2, labels // 2
        >>> found = smaller_code(Codes.from_bits(np.column_stack([*[one] * 5, other]), labels), 2)
        >>> found.bits.tolist(), bool(found.value > found.random.mean())
        ([5, 0], True)
    """
    check_codes("codes", codes)
    if draws < 1 or queries < 1:
        raise UsageError(f"draws {draws}, queries {queries}: expected at least 1 of each")
    if not codes.labelled:
        raise DataError("smaller_code: needs labels, and none of these codes has one")
    check_seed(seed)
    check_choice("average", average, ("query", "class"))
    source, generator = Source.of(codes), np.random.default_rng(seed)
    unit = group_column(codes, groups)
    if len(codes) > check_whole("items", items, 4):
        order = np.random.default_rng([seed, 2]).permutation(int(unit.max()) + 1)
        rows = np.flatnonzero(np.isin(unit, order[fitting(np.bincount(unit)[order], items)]))
        codes, unit = codes[rows], np.unique(unit[rows], return_inverse=True)[1].reshape(-1)
    held_out = half(np.argsort(generator.permutation(int(unit.max()) + 1)), unit)
    if held_out.all() or not held_out.any():
        raise DataError("smaller_code: too few items, or groups, for a half of queries and a half of database")
    database = codes[~held_out]
    query_set = codes[np.sort(generator.permutation(np.flatnonzero(held_out))[:queries])]
    chosen = propose_bits(database, size) if bits is None else [int(b) for b in bits]
    if len(set(chosen)) != size:
        raise UsageError(f"bits: found {len(set(chosen))} different ones, expected size = {size}")
    codes[:0].select_bits(chosen)  # refuses bits that this code does not have
    ranking = cast(HammingRanking, rank(query_set, database))

    def score(subset: Sequence[int] | np.ndarray) -> float:
        return _score("smaller_code", ranking, subset, average)

    value, full = score(chosen), score(np.arange(codes.bits))
    random = np.array([score(generator.permutation(codes.bits)[:size]) for _ in range(draws)])
    at_least = int((random >= value).sum())
    return SmallerCode(
        source=source,
        seed=seed,
        value=value,
        full=full,
        random=random,
        bits=np.array(chosen),
        rank=at_least,
        p_value=float(permutation_p_value(value, random)) if draws >= TELLING else float("nan"),
        queries=len(query_set),
        database=len(database),
        images=len(codes),
    )


# -- what both share: the halves, and the mAP of some bits ---------------------------------------------------------


def _score(
    name: str, ranking: HammingRanking, chosen: Sequence[int] | np.ndarray, average: str, ties: str = "expected"
) -> float:
    """mAP@ALL of a ranking by the chosen bits only."""
    keep = np.zeros(ranking.keep.size, bool)
    keep[chosen] = True
    n = len(ranking.database)
    values = values_of_counts(
        replace(ranking, keep=keep), lambda counts: tie_orders.average_precision(counts, n, ties, "relevant")
    )
    if np.isnan(values).all():
        raise DataError(f"{name}: of {len(values)} queries that score none has a relevant item")
    return class_average(ranking, values, average)


def _check_budgets(budgets: Sequence[int] | None, bits: int) -> Sequence[int]:
    if budgets is None:
        return sorted({max(1, bits >> i) for i in range(4)}, reverse=True)
    for budget in budgets:
        if not 1 <= check_whole("budgets", budget, 1, "bits") <= bits:
            raise UsageError(f"budgets: found {budget}, expected 1 to {bits} bits")
    if not len(budgets):
        raise UsageError("budgets: found none, expected 1 or more")
    return budgets


def _part(ranking: HammingRanking, rows: np.ndarray, items: np.ndarray | None = None) -> HammingRanking:
    """The same ranking for some of the queries, and for some items of the database where `items` is given."""
    mine, theirs = ranking.query_owner, ranking.owner
    part = replace(ranking, queries=ranking.queries[rows], query_owner=None if mine is None else mine[rows])
    if items is None:
        return part
    return replace(part, database=ranking.database[items], owner=None if theirs is None else theirs[items])


def _halves(ranking: HammingRanking, generator: np.random.Generator) -> tuple[HammingRanking, HammingRanking]:
    """One half of the queries to choose bits with, and the other to score them.

    A group of near copies is in one half. Where queries are in the database as well, the half that chooses sees no
    item of the half that scores: on those items a bit would look better than it is.

    Raises:
        UsageError: all queries are of one group.
    """
    queries, database = ranking.queries, ranking.database
    mine, theirs = ranking.query_owner, ranking.owner
    rows = np.arange(len(queries))
    if mine is None and (database is queries or database.sha256 == queries.sha256):
        mine = theirs = rows
    unit = rows
    if mine is not None:
        unit = np.unique(mine, return_inverse=True)[1].reshape(-1)
    n_groups = int(unit.max()) + 1
    if n_groups < 2:
        raise UsageError(
            "bit_budget_curve: expected at least 2 groups, to choose on one half and score on the other, found 1"
        )
    chooses = half(generator.permutation(n_groups), unit)
    items = None if mine is None or theirs is None else np.flatnonzero(~np.isin(theirs, mine[~chooses]))
    return _part(ranking, np.flatnonzero(chooses), items), _part(ranking, np.flatnonzero(~chooses))
