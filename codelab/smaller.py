"""A smaller code that says nearly as much, and the test of whether it does."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from codelab.codes import Codes
from codelab.counts import PairCounts
from codelab.errors import DataError, UsageError
from codelab.formats import number, p_phrase
from codelab.result import Result, Source
from codelab.significance import check_seed
from codelab.usage import need_items

if TYPE_CHECKING:
    import pandas as pd

    from codelab.ranking import Groups


def propose_bits(codes: Codes | PairCounts, size: int) -> list[int]:
    """The bits that keep most of the variation: each next bit is the one least explained by those already taken.

    Labels are not looked at. It is Cholesky factorisation of the covariance with pivoting: greedy for the determinant.

    Args:
        codes: codes `[N, B]`, or their `PairCounts`.
        size: bits to keep.

    Returns:
        Bit numbers, the most telling first.

    Raises:
        UsageError: a size that cannot be.

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallerCode(Result):
    """`bits` proposed on the database half, and mAP on held-out queries: `value` with them, `full` with all bits,
    `random` `[draws]` with random subsets of the same size. `rank` is how many random subsets do at least as well,
    `p_value` (1 + rank) / (1 + draws).

    The line quotes `value`, `full`, the mean of `random` and the p-value.
    """

    value: float
    full: float
    random: np.ndarray
    bits: np.ndarray
    rank: int
    p_value: float
    queries: int
    database: int

    def headline(self) -> str:
        null = f"random {number(float(self.random.mean()))}, {p_phrase('p', self.p_value)}" if len(self.random) else ""
        best = f"mAP {number(self.value)} with {len(self.bits)} bits, {number(self.full)} with all"
        return f"{best} ({null})" if null else best

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
    seed: int = 0,
) -> SmallerCode:
    """Propose a smaller code on one half of the images and test it by retrieval with the other.

    Args:
        codes: labelled codes `[N, B]`.
        size: bits of the smaller code.
        bits: a proposal of one's own, `size` bit numbers; default: `propose_bits` of the database half.
        draws: random subsets of the same size to compare with.
        queries: most queries drawn from the held-out half.
        groups: item column, or one value an item: near copies, which stay in one half.
        average: of the precision over queries (`query`) or over classes (`class`).
        seed: of the halves, the queries and the random subsets.

    Returns:
        Mean average precision of the proposal, of all bits and of random subsets; see `SmallerCode`.

    Raises:
        UsageError: sizes that cannot be.
        DataError: no labels, or too few items for two halves.

    Example:
        >>> labels = np.random.default_rng(0).integers(0, 4, 400)
        >>> one, other = labels % 2, labels // 2
        >>> found = smaller_code(Codes.from_bits(np.column_stack([*[one] * 5, other]), labels), 2)
        >>> found.bits.tolist(), bool(found.value > found.random.mean())
        ([5, 0], True)
    """
    from codelab.retrieval import retrieval_map

    if draws < 1 or queries < 1:
        raise UsageError(f"draws {draws}, queries {queries}: expected at least 1 of each")
    if not codes.labelled:
        raise DataError("smaller_code: needs labels, and none of these codes has one")
    check_seed(seed)
    generator = np.random.default_rng(seed)
    held_out = _halves(codes, groups, generator)
    if held_out.all() or not held_out.any():
        raise DataError("smaller_code: too few items, or groups, for a half of queries and a half of database")
    database = codes[~held_out]
    asked = codes[np.sort(generator.permutation(np.flatnonzero(held_out))[:queries])]
    chosen = propose_bits(database, size) if bits is None else [int(b) for b in bits]
    if len(set(chosen)) != size:
        raise UsageError(f"bits: found {len(set(chosen))} different ones, expected size = {size}")

    def score(subset: Sequence[int] | np.ndarray) -> float:
        pair = asked.select_bits(subset), database.select_bits(subset)
        return retrieval_map(*pair, average=average, bootstrap=2).value

    value, full = score(chosen), score(np.arange(codes.bits))
    random = np.array([score(np.sort(generator.permutation(codes.bits)[:size])) for _ in range(draws)])
    rank = int((random >= value).sum())
    return SmallerCode(
        source=Source.of(codes),
        seed=seed,
        value=value,
        full=full,
        random=random,
        bits=np.array(chosen),
        rank=rank,
        p_value=(1 + rank) / (1 + draws),
        queries=len(asked),
        database=len(database),
    )


def _halves(codes: Codes, groups: Groups, generator: np.random.Generator) -> np.ndarray:
    """Which items are held out: half of the items, or of the groups."""
    if groups is None:
        number = np.arange(len(codes))
    else:
        if isinstance(groups, str) and groups not in codes.items.column_names:
            raise UsageError(f"groups {groups!r}: these codes have {', '.join(codes.items.column_names)}")
        values = codes.items[groups].to_pylist() if isinstance(groups, str) else list(groups)
        if len(values) != len(codes):
            raise UsageError(f"groups: found {len(values)} values, expected one for each of {len(codes)} codes")
        number = np.unique(np.array([str(v) for v in values]), return_inverse=True)[1].reshape(-1)
    order = generator.permutation(int(number.max()) + 1)
    return (order < len(order) // 2)[number]
