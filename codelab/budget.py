"""How retrieval falls as codes get shorter: leading bits, random subsets, and the best bits first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codelab import gains
from codelab.codes import Codes
from codelab.errors import UsageError
from codelab.kernels import class_counts, column_counts
from codelab.ranking import Groups, Ranking, average_precisions, rank
from codelab.result import Result, Source
from codelab.retrieval_result import check_choice, class_average

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class BudgetCurve(Result):
    """mAP@ALL at each number of bits, one row a budget in `to_frame`.

    `random` is `[budgets, draws]`. `best` scores the bits that do best on one half of the queries on the other half;
    `leading_half` is what the leading bits score on that other half, to compare `best` with. `order` lists all bits,
    best first.
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
    that chose them look better than they are.

    Args:
        queries, database, ties, exclude_self, groups, average, threads: as in `retrieval_map`.
        budgets: numbers of bits, each at most B. Default: B, B/2, B/4 and B/8: 256, 128, 64 and 32 of 256 bits.
        draws: random subsets of each size.
        seed: of the subsets and the halves.

    Raises:
        UsageError: an option that cannot be.
        DataError: sets that do not fit each other, no labels, or no query of a half with a relevant item.

    Example:
        >>> codes = Codes.from_bits([[0, 0], [0, 1], [1, 0], [1, 1]], labels=[0, 0, 1, 1])  # bit 0 is the class
        >>> curve = bit_budget_curve(codes, budgets=(2, 1), draws=2)
        >>> curve.order.tolist(), curve.leading.round(2).tolist(), curve.best.round(2).tolist()
        ([0, 1], [0.75, 1.0], [0.75, 1.0])
    """
    ranking = rank(queries, database, exclude_self=exclude_self, groups=groups, threads=threads)
    check_choice("ties", ties, gains.TIES)
    check_choice("average", average, ("query", "class"))
    bits = queries.bits
    if budgets is None:
        budgets = sorted({max(1, bits >> i) for i in range(4)}, reverse=True)
    for budget in budgets:
        if not 1 <= budget <= bits:
            raise UsageError(f"budgets: found {budget}, expected 1 to {bits} bits")
    if not budgets or draws < 1:
        raise UsageError(f"bit_budget_curve: found {len(budgets)} budgets and {draws} draws, expected 1 or more")
    if len(queries) < 2:
        raise UsageError("bit_budget_curve: expected at least 2 queries, to choose on one half and score on the other")
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(queries))
    chooses, scores = np.sort(shuffled[: len(queries) // 2]), np.sort(shuffled[len(queries) // 2 :])
    order = np.argsort(-_agreement(_part(ranking, chooses)), kind="stable")
    judge = _part(ranking, scores)

    def score(who: Ranking, chosen: np.ndarray) -> float:
        keep = np.zeros(bits, bool)
        keep[chosen] = True
        values = average_precisions(replace(who, keep=keep), len(who.database), ties, "relevant")
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


def _part(ranking: Ranking, rows: np.ndarray) -> Ranking:
    """The same ranking for some of the queries."""
    owner = None if ranking.query_owner is None else ranking.query_owner[rows]
    return replace(ranking, queries=ranking.queries[rows], query_owner=owner)


def _agreement(ranking: Ranking) -> np.ndarray:
    """Per bit: share of relevant pairs that agree on it less the share of all pairs that do: float64 `[B]`.

    Counted from ones per class, so near copies that a ranking leaves out are in it: this chooses bits, and the other
    half of the queries, ranked without near copies, judges the choice. A pair that shares two labels counts twice.
    """
    (mine, mine_n), (theirs, theirs_n) = (_ones_by_class(codes) for codes in (ranking.queries, ranking.database))
    rest, rest_n = (column_counts(ranking.queries.packed, ranking.queries.bits), len(ranking.queries))
    base, base_n = (column_counts(ranking.database.packed, ranking.database.bits), len(ranking.database))
    shared = min(len(mine), len(theirs))
    mine, mine_n, theirs, theirs_n = (part[:shared].astype(np.float64) for part in (mine, mine_n, theirs, theirs_n))
    agree = mine * theirs + (mine_n[:, None] - mine) * (theirs_n[:, None] - theirs)
    near = agree.sum(axis=0) / max(1.0, float(mine_n @ theirs_n))
    return near - (rest / rest_n * (base / base_n) + (1 - rest / rest_n) * (1 - base / base_n))


def _ones_by_class(codes: Codes) -> tuple[np.ndarray, np.ndarray]:
    """Ones of each bit in each class `[C, B]` and items of each class `[C]`."""
    if not codes.multilabel:
        kept = codes.labels[codes.labels >= 0]
        ones = class_counts(codes.packed, codes.bits, codes.labels, len(codes.classes))
        return ones, np.bincount(kept, minlength=len(codes.classes))
    ones = np.stack([column_counts(codes.packed[member], codes.bits) for member in codes.labels.T])
    return ones, codes.labels.sum(axis=0)
