"""How retrieval falls as codes get shorter: leading bits, random subsets, and the best bits first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codelab import gains
from codelab.checks import check_choice, check_whole
from codelab.codes import Codes
from codelab.errors import DataError, UsageError
from codelab.formats import number
from codelab.kernels import class_counts
from codelab.ranking import Groups, Ranking, average_precisions, rank
from codelab.result import Result, Source
from codelab.retrieval_result import class_average

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = 1 << 13
"""Classes or groups whose ones are counted at a time."""


@dataclass(frozen=True, kw_only=True)
class BudgetCurve(Result):
    """mAP@ALL at each number of bits, one row a budget in `to_frame`.

    `random` is `[budgets, draws]`. `best` scores the bits that do best on one half of the queries on the other half;
    `leading_half` is what the leading bits score on that other half, to compare `best` with. `order` lists all bits,
    best first.

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
    exclude_self: bool = False,
    groups: Groups | tuple[Groups, Groups] = None,
    average: str = "query",
    seed: int = 0,
    threads: int | None = None,
) -> BudgetCurve:
    """mAP@ALL of shorter codes cut from longer ones.

    Bits are ordered best first by how much more often they agree between a query and its relevant items than between
    it and the others, on a random half of the queries; the other half scores them, for bits scored on the queries
    that chose them look better than they are. Where the queries are the database too, bits are chosen among the items
    of the half that chooses alone; the items of one group are all in one half.

    Args:
        queries, database, ties, exclude_self, groups, average, threads: as in `retrieval_map`.
        budgets: numbers of bits, each at most B. Default: B, B/2, B/4 and B/8: 256, 128, 64 and 32 of 256 bits.
        draws: random subsets of each size.
        seed: of the subsets and the halves.

    Raises:
        UsageError: an option that cannot be.
        DataError: sets that do not fit each other, no labels, or no query of a half with a relevant item.

    Example:
        >>> codes = Codes.from_bits([[0, 0], [0, 1], [1, 0], [1, 1]] * 3, labels=[0, 0, 1, 1] * 3)  # bit 0: the class
        >>> curve = bit_budget_curve(codes, budgets=(2, 1), draws=2)
        >>> curve.order.tolist(), curve.leading.round(2).tolist(), curve.best.round(2).tolist()
        ([0, 1], [0.86, 1.0], [0.86, 1.0])
    """
    ranking = rank(queries, database, exclude_self=exclude_self, groups=groups, threads=threads)
    check_choice("ties", ties, gains.TIES)
    check_choice("average", average, ("query", "class"))
    bits = queries.bits
    if budgets is None:
        budgets = sorted({max(1, bits >> i) for i in range(4)}, reverse=True)
    for budget in budgets:
        if not 1 <= check_whole("budgets", budget, 1, "bits") <= bits:
            raise UsageError(f"budgets: found {budget}, expected 1 to {bits} bits")
    if not len(budgets):
        raise UsageError("budgets: found none, expected 1 or more")
    check_whole("draws", draws, 1)
    check_whole("seed", seed, 0)
    if len(queries) < 2:
        raise UsageError("bit_budget_curve: expected at least 2 queries, to choose on one half and score on the other")
    generator = np.random.default_rng(seed)
    chooser, judge = _halves(ranking, generator)
    order = np.argsort(-_agreement(chooser), kind="stable")

    def score(who: Ranking, chosen: np.ndarray) -> float:
        keep = np.zeros(bits, bool)
        keep[chosen] = True
        values = average_precisions(replace(who, keep=keep), len(who.database), ties, "relevant")
        if np.isnan(values).all():
            raise DataError(f"bit_budget_curve: of {len(values)} queries that score none has a relevant item")
        return class_average(who, values, average)

    leading = [score(ranking, np.arange(budget)) for budget in budgets]
    subsets = [[generator.permutation(bits)[:budget] for _ in range(draws)] for budget in budgets]
    return BudgetCurve(
        source=Source.of(ranking.database),
        seed=seed,
        budgets=tuple(budgets),
        leading=np.array(leading),
        random=np.array(
            [
                [whole] * draws if budget == bits else [score(ranking, chosen) for chosen in drawn]
                for budget, drawn, whole in zip(budgets, subsets, leading, strict=True)
            ]
        ),
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


def _part(ranking: Ranking, rows: np.ndarray, items: np.ndarray | None = None) -> Ranking:
    """The same ranking for some of the queries, and for some items of the database where `items` is given."""
    mine, theirs = ranking.query_owner, ranking.owner
    part = replace(ranking, queries=ranking.queries[rows], query_owner=None if mine is None else mine[rows])
    if items is None:
        return part
    return replace(part, database=ranking.database[items], owner=None if theirs is None else theirs[items])


def _halves(ranking: Ranking, generator: np.random.Generator) -> tuple[Ranking, Ranking]:
    """One half of the queries to choose bits with, and the other to score them.

    A group of near copies is in one half. Where queries are in the database as well, the half that chooses sees no
    item of the half that scores: a bit chosen for how it sorts these items would look better than it is.

    Raises:
        UsageError: all queries are of one group.
    """
    queries, database = ranking.queries, ranking.database
    mine, theirs = ranking.query_owner, ranking.owner
    if mine is None and (database is queries or database.sha256 == queries.sha256):
        mine = theirs = np.arange(len(queries))
    if mine is None or theirs is None:
        shuffled = generator.permutation(len(queries))
        chooses = np.isin(np.arange(len(queries)), shuffled[: len(queries) // 2])
        items = None
    else:
        alone = -1 - np.arange(len(queries))
        _, unit, sizes = np.unique(np.where(mine < 0, alone, mine), return_inverse=True, return_counts=True)
        if len(sizes) < 2:
            raise UsageError(
                "bit_budget_curve: expected at least 2 groups, to choose on one half and score on the other, found 1"
            )
        shuffled = generator.permutation(len(sizes))
        filled = np.cumsum(sizes[shuffled]) <= len(queries) // 2
        filled[0] = True
        chooses = np.isin(unit, shuffled[filled])
        items = np.flatnonzero(~np.isin(theirs, mine[~chooses]))
    return _part(ranking, np.flatnonzero(chooses), items), _part(ranking, np.flatnonzero(~chooses))


def _agreement(ranking: Ranking) -> np.ndarray:
    """Per bit: share of relevant pairs that agree on it less the share of all pairs that do: float64 `[B]`.

    Pairs that the ranking leaves out are not counted. A pair that shares two labels counts twice.

    Raises:
        DataError: no query has a relevant item.
    """
    queries, database = ranking.queries, ranking.database
    mine, theirs = np.zeros(len(queries), np.int64), np.zeros(len(database), np.int64)
    near, every = _agreeing_by_label(ranking, mine, theirs), _agreeing(ranking, mine, theirs)
    if ranking.query_owner is not None and ranking.owner is not None:
        _, owners = np.unique(np.concatenate([ranking.query_owner, ranking.owner]), return_inverse=True)
        mine, theirs = owners[: len(queries)], owners[len(queries) :]
        near = near - _agreeing_by_label(ranking, mine, theirs)
        every = every - _agreeing(ranking, mine, theirs)
    if near[-1] < 1:
        raise DataError("bit_budget_curve: on the half of the queries that chooses bits none has a relevant item")
    return near[:-1] / near[-1] - every[:-1] / every[-1]


def _agreeing_by_label(ranking: Ranking, mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """`_agreeing` among pairs that share a label, once for each label they share."""
    ours = (ranking.queries.labels, mine), (ranking.database.labels, theirs)
    if ranking.database.multilabel:
        columns = range(ranking.database.labels.shape[1])
        return sum(
            (_agreeing(ranking, *(np.where(labels[:, c], unit, -1) for labels, unit in ours)) for c in columns),
            np.zeros(ranking.queries.bits + 1),
        )
    size = max(len(ranking.queries.classes), len(ranking.database.classes))
    return _agreeing(ranking, *(np.where(labels >= 0, unit * size + labels, -1) for labels, unit in ours))


def _agreeing(ranking: Ranking, mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Among pairs of a query and an item of the same number (below 0: of none): float64 `[B + 1]`.

    How many of them agree on each bit, from the ones of each bit among the queries and the items of each number; and
    last, how many there are.
    """
    numbers = np.intersect1d(mine[mine >= 0], theirs[theirs >= 0])
    total = np.zeros(ranking.queries.bits + 1)
    for start in range(0, len(numbers), NUMBERS):
        part = numbers[start : start + NUMBERS]
        a, a_n = _ones(ranking.queries, mine, part)
        b, b_n = _ones(ranking.database, theirs, part)
        total[:-1] += (a * b + (a_n - a) * (b_n - b)).sum(axis=0)
        total[-1] += (a_n * b_n).sum()
    return total


def _ones(codes: Codes, values: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ones of each bit among the codes of each of some ascending `numbers`, `[n, B]`, and how many codes, `[n, 1]`."""
    at = np.minimum(np.searchsorted(numbers, values), len(numbers) - 1)
    rows = np.flatnonzero(numbers[at] == values)
    ones = class_counts(codes.packed[rows], codes.bits, at[rows], len(numbers))
    return ones.astype(np.float64), np.bincount(at[rows], minlength=len(numbers))[:, None].astype(np.float64)
