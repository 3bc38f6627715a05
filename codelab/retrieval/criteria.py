"""Which bits a shorter code should keep: by how relevant pairs agree on them, or by variation, without labels."""

from __future__ import annotations

import numpy as np

from codelab.core.checks import need_items
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.kernels.counting import class_counts
from codelab.retrieval.ranking import Ranking
from codelab.statistics.counts import PairCounts

NUMBERS = 1 << 13
"""Classes or groups whose ones are counted at a time."""


def propose_bits(codes: Codes | PairCounts, size: int) -> list[int]:
    """The bits that keep most of the variation, without labels: each next is the least explained by the others.

    This is a Cholesky factorisation of the covariance S with pivoting, which greedily maximises the determinant of
    S over the chosen bits. After bit i is chosen, what it explains is taken away:

        S <- S - S[:, i] S[i, :] / S[i, i]

    Args:
        codes: codes `[N, B]`, or their `PairCounts`.
        size: bits to keep.

    Returns:
        Bit numbers, in the order they are chosen.

    Raises:
        UsageError: size is not 1 to B.

    Source: Harbrecht, Peters & Schneider 2012; greedy D-optimal selection.

    Example:
        >>> a, b = np.random.default_rng(0).integers(0, 2, (2, 500))
        >>> first, second = sorted(propose_bits(Codes.from_bits(np.stack([a, a, b, 1 - b], axis=1)), 2))
        >>> first in (0, 1), second in (2, 3)
        (True, True)
    """
    counts = PairCounts.of(codes)
    n = need_items("propose_bits", counts.n)
    if not 1 <= size <= counts.bits:
        raise UsageError(f"size {size}: expected 1 to {counts.bits} bits")
    p = np.diagonal(counts.pairs) / n
    left = counts.pairs / n - np.outer(p, p)
    chosen: list[int] = []
    for _ in range(size):
        unexplained = np.diagonal(left).copy()
        unexplained[chosen] = -np.inf
        best = int(np.argmax(unexplained))
        chosen.append(best)
        if unexplained[best] > 1e-12:
            left = left - np.outer(left[:, best], left[best]) / unexplained[best]
    return chosen


def agreement(ranking: Ranking) -> np.ndarray:
    """Share of relevant pairs that agree on a bit, minus the share of all pairs that do: float64 `[B]`.

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
    """Pairs of a query and an item of the same number that agree on each bit, and last all such pairs: `[B + 1]`.

    A negative number equals none. No pair is visited: where number v has a_n queries, a of them with a 1 in the bit,
    and b_n items, b of them with a 1, the pairs that agree on the bit are

        sum over v of  a b + (a_n - a) (b_n - b)
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
    """For each of some ascending `numbers`: ones of each bit among its codes, `[n, B]`, and its codes, `[n, 1]`."""
    at = np.minimum(np.searchsorted(numbers, values), len(numbers) - 1)
    rows = np.flatnonzero(numbers[at] == values)
    ones = class_counts(codes.packed[rows], codes.bits, at[rows], len(numbers))
    return ones.astype(np.float64), np.bincount(at[rows], minlength=len(numbers))[:, None].astype(np.float64)
