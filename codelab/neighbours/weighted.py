"""Exact search by distances that are real numbers: weighted and asymmetric Hamming, and cosine of features.

`Blocks` computes the distances of some queries to some items; only one block of them is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from codelab.core.errors import DataError
from codelab.core.progress import counter
from codelab.kernels import loops
from codelab.kernels.counting import for_loops
from codelab.kernels.threads import run

QUERIES = 8
"""Queries whose tables of costs are used together."""

ITEMS = 1 << 19
"""Items whose distances are held at a time."""

NUMBERS = 1 << 22
"""Numbers of unit vectors that are held at a time."""

KEEP = 1 << 24
"""Numbers of unit vectors that are kept (128 MiB); those of larger sets are computed again for each block."""

LONG = 1 << 33
"""Additions (pairs times `Blocks.width`) from which on there is a progress bar."""

SCALE = 1 << 25
"""Unit vectors are rounded to multiples of 1 / SCALE; sums of products stay below 2^53, where float64 is exact."""

WHOLE_BITS = 51
"""Costs of bits are rounded to whole numbers with a sum of at most 2^51, so that partial sums are exact."""


@dataclass(frozen=True)
class Blocks:
    """Distances, one block at a time.

    Args:
        distances: gives float64 `[q, n]` for a slice of the queries and a slice of the items.
        queries, items: the size of a block.
        width: additions a pair, for the progress bar.
    """

    distances: Callable[[slice, slice], np.ndarray]
    queries: int
    items: int
    width: int


def nearest(source: Blocks, q: int, n: int, k: int, threads: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest items of each of q queries by (distance, row): distances and rows `[q, k]`."""

    def work(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        best = [(np.zeros(0), np.zeros(0, np.int64))] * (rows.stop - rows.start)
        for items in _blocks(n, source.items):
            for i, row in enumerate(source.distances(rows, items)):
                far, index = best[i]
                if len(far) == k:  # a later row at the same distance is not among the k nearest
                    near = np.flatnonzero(row < far[-1])
                    if not len(near):
                        continue
                else:
                    near = np.arange(len(row))
                if k < len(near):
                    near = near[row[near] <= np.partition(row[near], k - 1)[k - 1]]
                far = np.concatenate([far, row[near]])
                order = np.argsort(far, kind="stable")[:k]
                best[i] = far[order], np.concatenate([index, near + items.start])[order]
        return np.stack([b[0] for b in best]), np.stack([b[1] for b in best])

    parts = _run(work, source, q, n, threads)
    if not parts:
        return np.zeros((0, k)), np.zeros((0, k), np.int64)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def within(
    source: Blocks, q: int, n: int, radius: np.ndarray, threads: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every item at distance <= the query's radius, by (distance, row): flat distances and rows, offsets `[q + 1]`."""

    def work(rows: slice) -> list[tuple[np.ndarray, np.ndarray]]:
        found = [[(np.zeros(0), np.zeros(0, np.int64))] for _ in range(rows.start, rows.stop)]
        for items in _blocks(n, source.items):
            for i, row in enumerate(source.distances(rows, items)):
                near = np.flatnonzero(row <= radius[rows.start + i])
                found[i].append((row[near], near + items.start))
        return [in_order(parts) for parts in found]

    return flat([one for part in _run(work, source, q, n, threads) for one in part])


def in_order(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """One query's distances and rows, found in parts of the database in row order, by (distance, row)."""
    far, index = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    order = np.argsort(far, kind="stable")
    return far[order], index[order]


def flat(lists: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lists of all queries one after the other: distances, rows, offsets `[q + 1]`."""
    offsets = np.concatenate([[0], np.cumsum([len(one[0]) for one in lists])]).astype(np.int64)
    if not lists:
        return np.zeros(0), np.zeros(0, np.int64), offsets
    return np.concatenate([one[0] for one in lists]), np.concatenate([one[1] for one in lists]), offsets


@dataclass(frozen=True)
class BitCosts:
    """What a bit of an item adds to each query's distance: `ones` where it is 1, `zeros` where it is 0, `[Q, B]`.

    Whole numbers, with `shift` and `slack` `[Q]` of `whole_costs`.
    """

    ones: np.ndarray
    zeros: np.ndarray
    shift: np.ndarray
    slack: np.ndarray


def bit_costs(
    bits: int, packed: np.ndarray, logits: np.ndarray | None, keep: np.ndarray, cost: np.ndarray | None
) -> BitCosts:
    """What each bit of an item adds to the distance, from packed queries or from logits, times the weights.

    Raises:
        DataError: the costs of a query do not have a finite sum.
    """
    each = np.where(keep, 1.0 if cost is None else cost, 0.0)
    mine = np.unpackbits(packed, axis=1, count=bits).view(bool) if logits is None else logits > 0
    with np.errstate(over="ignore"):
        size = np.broadcast_to(each, mine.shape) if logits is None else np.abs(logits) * each
        endless = ~np.isfinite(size.sum(axis=1))
    if endless.any():
        what = "the weights" if logits is None else "the sizes of its logits"
        raise DataError(f"queries: row {int(np.argmax(endless))}: the sum of {what} is beyond float64")
    whole, shift, slack = whole_costs(size)
    return BitCosts(np.where(mine, 0.0, whole), np.where(mine, whole, 0.0), shift, slack)


def whole_costs(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Costs of bits as whole numbers, so that sums of the same costs do not depend on the order of addition.

    Args:
        sizes: `[Q, B]`, >= 0, the sum of each row finite.

    Returns:
        whole: float64 `[Q, B]`, `sizes` times 2^shift, rounded to whole numbers.
        shift: int `[Q]`.
        slack: `[Q]`, a bound on how far rounding moves a sum of some costs: 0 where nothing was rounded, otherwise B.
            It also covers the rounding error of a radius that the caller added up from weights.
    """
    _, exponent = np.frexp(sizes.sum(axis=1))
    shift = WHOLE_BITS - exponent.astype(np.int64)
    scaled = np.ldexp(sizes, shift[:, None])
    whole = np.rint(scaled)
    return whole, shift, np.where((whole == scaled).all(axis=1), 0, sizes.shape[1])


def costs_by_bit(ones: np.ndarray, zeros: np.ndarray, packed: np.ndarray) -> Blocks:
    """Distances that add `ones` `[Q, B]` for each bit of an item that is 1, and `zeros` for each that is 0.

    Both are whole numbers of `whole_costs`.
    """
    values = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float64)
    q, bits = ones.shape
    if_one, if_zero = (np.pad(cost, ((0, 0), (0, -bits % 8))).reshape(q, (bits + 7) // 8, 8) for cost in (ones, zeros))
    used = np.flatnonzero(if_one.any(axis=(0, 2)) | if_zero.any(axis=(0, 2)))

    def distances(rows: slice, items: slice) -> np.ndarray:
        tables = if_one[rows][:, used] @ values.T + if_zero[rows][:, used] @ (1 - values).T
        part = packed[items]
        part = for_loops(part) if len(used) == packed.shape[1] else np.array(part[:, used], order="C")
        out = np.empty((len(tables), len(part)))
        loops.columns.add_up(part, tables, out)
        return out

    return Blocks(distances, QUERIES, ITEMS, max(1, len(used)))


def cosine(queries: np.ndarray, database: np.ndarray) -> Blocks:
    """1 - cosine of features, as half the squared distance of their unit vectors u and v:

        1 - cos = |u - v|^2 / 2 = (u.u + v.v - 2 u.v) / 2

    Unit vectors are rounded to multiples of 1 / SCALE, and the rest is exact: a vector is at distance 0 from itself,
    no distance is negative, and equal pairs of vectors tie with every block size and BLAS. The error of a distance is
    about 2e-8, with d features at most sqrt(d) / SCALE.
    """
    length = _lengths(database, "database")
    length_q = _lengths(queries, "queries")
    ready = whole_directions(database, length) if database.size <= KEEP else None

    def distances(rows: slice, items: slice) -> np.ndarray:
        mine = whole_directions(queries[rows], length_q[rows])
        out = np.empty((len(mine), items.stop - items.start))
        for part in _blocks(items.stop - items.start, max(1, NUMBERS // database.shape[1])):
            at = slice(items.start + part.start, items.start + part.stop)
            theirs = whole_directions(database[at], length[at]) if ready is None else ready[at]
            product = mine @ theirs.T
            squares = (np.einsum("ij,ij->i", one, one) for one in (mine, theirs))
            out[:, part] = ((next(squares)[:, None] - product) + (next(squares) - product)) / (2 * SCALE**2)
        np.minimum(out, 2, out=out)  # rounded directions may be a little longer than 1
        return out

    return Blocks(distances, 256, max(1, min(ITEMS, NUMBERS // 256)), database.shape[1])


def whole_directions(features: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Features as unit vectors times SCALE, rounded: float64 `[N, d]` of whole numbers.

    Their scalar products are exact in float64 in any order of summation.
    """
    return np.rint(np.asarray(features, dtype=np.float64) / length[:, None] * SCALE)


def _lengths(features: np.ndarray, name: str) -> np.ndarray:
    """Length of each row.

    Raises:
        DataError: a row is all zeros.
    """
    length = np.empty(len(features))
    for rows in _blocks(len(features), max(1, NUMBERS // max(1, features.shape[1]))):
        part = np.asarray(features[rows], dtype=np.float64)
        largest = np.abs(part).max(axis=1, initial=0)
        if not largest.all():
            row = rows.start + int(np.argmin(largest))
            raise DataError(f"{name}: features of row {row} are all 0, and cosine needs a direction")
        length[rows] = np.sqrt(((part / largest[:, None]) ** 2).sum(axis=1)) * largest  # squares of 1e-30 are 0
    return length


def _run(work: Callable[[slice], Any], source: Blocks, q: int, n: int, threads: int | None) -> list[Any]:
    """`work` on blocks of queries on threads; long work gets a progress bar."""
    if q * n * source.width < LONG:
        return run(work, _blocks(q, source.queries), threads)
    with counter("searching", q) as advance:

        def counted(rows: slice) -> Any:
            out = work(rows)
            advance(rows.stop - rows.start)
            return out

        return run(counted, _blocks(q, source.queries), threads)


def _blocks(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
