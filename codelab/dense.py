"""Exact search by distances that are real numbers: weighted and asymmetric Hamming, and cosine of features.

A source computes blocks of distances; what is nearest is kept from block to block, so memory is one block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from codelab.errors import DataError
from codelab.kernels import compiled, run

Distances = Callable[[slice, slice], np.ndarray]
"""Distances `[q, n]` of some queries to some items."""

QUERIES = 8
ITEMS = 1 << 19

KEEP = 1 << 27
"""Numbers of features that are kept as unit vectors (a gigabyte); larger sets are made anew for each block."""

SCALE = 1 << 26
"""Unit vectors are rounded to multiples of 1 / SCALE; products of two stay below 2^53, where float64 is exact."""


def nearest(distances: Distances, q: int, n: int, k: int, threads: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest items of each of q queries by (distance, row): distances and rows `[q, k]`."""

    def work(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        size = rows.stop - rows.start
        best = [(np.zeros(0, np.float64), np.zeros(0, np.int64))] * size
        for items in _blocks(n, ITEMS):
            for i, row in enumerate(distances(rows, items)):
                near = np.arange(len(row))
                if k < len(row):
                    near = np.flatnonzero(row <= np.partition(row, k - 1)[k - 1])
                far = np.concatenate([best[i][0], row[near]])
                index = np.concatenate([best[i][1], near + items.start])
                order = np.argsort(far, kind="stable")[:k]
                best[i] = far[order], index[order]
        return np.stack([b[0] for b in best]), np.stack([b[1] for b in best])

    parts = run(work, _blocks(q, QUERIES), threads)
    if not parts:
        return np.zeros((0, k)), np.zeros((0, k), np.int64)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def within(
    distances: Distances, q: int, n: int, radius: np.ndarray, threads: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every item at distance <= the query's radius, by (distance, row): flat distances and rows, offsets `[q + 1]`."""

    def work(rows: slice) -> list[tuple[np.ndarray, np.ndarray]]:
        found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(rows.start, rows.stop)]
        for items in _blocks(n, ITEMS):
            for i, row in enumerate(distances(rows, items)):
                near = np.flatnonzero(row <= radius[rows.start + i])
                found[i].append((row[near].astype(np.float64), near + items.start))
        out = []
        for parts in found:
            far, index = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
            order = np.argsort(far, kind="stable")
            out.append((far[order], index[order]))
        return out

    lists = [one for part in run(work, _blocks(q, QUERIES), threads) for one in part]
    offsets = np.concatenate([[0], np.cumsum([len(one[0]) for one in lists])]).astype(np.int64)
    if not lists:
        return np.zeros(0), np.zeros(0, np.int64), offsets
    return np.concatenate([one[0] for one in lists]), np.concatenate([one[1] for one in lists]), offsets


def costs_by_bit(ones: np.ndarray, zeros: np.ndarray, packed: np.ndarray) -> Distances:
    """Distances that add `ones` `[Q, B]` for each bit of an item that is 1, and `zeros` for each that is 0."""
    loops = compiled("kernels_tables")
    values = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float64)
    q, bits = ones.shape
    if_one, if_zero = (
        np.pad(cost.astype(np.float64), ((0, 0), (0, -bits % 8))).reshape(q, (bits + 7) // 8, 8)
        for cost in (ones, zeros)
    )
    used = np.flatnonzero(if_one.any(axis=(0, 2)) | if_zero.any(axis=(0, 2)))

    def distances(rows: slice, items: slice) -> np.ndarray:
        tables = if_one[rows][:, used] @ values.T + if_zero[rows][:, used] @ (1 - values).T
        part = packed[items]
        if len(used) < packed.shape[1] or not part.flags.writeable:  # compiled code takes only writable memory
            part = np.array(part[:, used], order="C")
        out = np.empty((len(tables), len(part)), np.float32)
        loops.add_up(part, tables.astype(np.float32), out)
        return out

    return distances


def cosine(queries: np.ndarray, database: np.ndarray) -> Distances:
    """1 - cosine of features; pairs of equal vectors get exactly equal distances, whatever the block or BLAS."""
    ready = whole_directions(database, "database") if database.size <= KEEP else None

    def distances(rows: slice, items: slice) -> np.ndarray:
        mine = whole_directions(queries[rows], "queries", rows.start)
        theirs = whole_directions(database[items], "database", items.start) if ready is None else ready[items]
        return 1 - (mine @ theirs.T) / SCALE**2

    return distances


def whole_directions(features: np.ndarray, name: str, first: int = 0) -> np.ndarray:
    """Features as unit vectors times SCALE, rounded: float64 `[N, d]` of whole numbers.

    Their products are exact in float64 in whatever order they are summed, so equal vectors tie exactly and the result
    depends on no block size, thread or BLAS.

    Raises:
        DataError: a row is all zeros (`first` is the number of the first row).
    """
    values = np.asarray(features, dtype=np.float64)
    length = np.sqrt((values * values).sum(axis=1))
    if not length.all():
        row = first + int(np.argmin(length))
        raise DataError(f"{name}: features of row {row} are all 0, and cosine needs a direction")
    return np.rint(values / length[:, None] * SCALE)


def _blocks(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
