"""Exact Hamming scans of a database of codes: nearest rows, rows within a radius, histograms by relevance.

A `Scan` prepares a database once. Threads share the blocks of queries or, if there are few queries, the parts of the
database. Results do not depend on how the work is divided: histograms and counts add up, and lists are joined in row
order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.progress import counter
from codelab.kernels import loops
from codelab.kernels.counting import as_words
from codelab.kernels.threads import thread_count

TILE = 512
"""Items in a tile: the layout of `kernels/_scan.py`."""

MAX_BITS = 16_383
"""Distances of four queries share a 64-bit word, with a spare bit each."""

QUERIES = 64
"""Queries that pass over a tile while it is in the cache."""

SMALL = 1 << 22
"""Pairs of query and item below which one thread is faster than several."""

LONG = 20_000_000_000
"""Pairs of query and item from which on there is a progress bar."""

_NOBODY = np.zeros(0, np.int32)

_LAID_OUT: WeakKeyDictionary[Codes, np.ndarray] = WeakKeyDictionary()


def tiles_of(codes: Codes) -> np.ndarray:
    """The codes as uint64 tiles `[T, W, 512]`, cached as long as the codes live; the last tile is filled up with 0."""
    found = _LAID_OUT.get(codes)
    if found is None:
        found = lay_out(codes.packed)
        _LAID_OUT[codes] = found
    return found


def lay_out(packed: np.ndarray) -> np.ndarray:
    """Packed codes uint8 `[N, ceil(B/8)]` as uint64 tiles `[T, W, 512]`."""
    n, width = len(packed), (packed.shape[1] + 7) // 8
    tiles = np.zeros(((n + TILE - 1) // TILE, width, TILE), np.uint64)
    for t in range(len(tiles)):
        words = as_words(packed[t * TILE : (t + 1) * TILE])
        tiles[t, :, : len(words)] = words.T
    return tiles


@dataclass(frozen=True)
class Scan:
    """A database prepared for many queries.

    Args:
        tiles: uint64 `[T, W, 512]`.
        n: N.
        bits: the number of bits that count, the largest possible distance.
        words: int64 `[V]`, the words with any bit that counts.
        mask: uint64 `[V]`, the bits of these words that count.
        masked: whether any bit does not count.
        owner: int32 `[N]`; an item is left out for queries of the same owner. None: nothing is left out.
        threads: the number of threads.
        block: the queries that pass over a tile together; a multiple of 4.
    """

    tiles: np.ndarray
    n: int
    bits: int
    words: np.ndarray
    mask: np.ndarray
    masked: bool
    owner: np.ndarray | None
    threads: int
    block: int = QUERIES

    @classmethod
    def of(
        cls,
        codes: Codes,
        *,
        keep: np.ndarray | None = None,
        owner: np.ndarray | None = None,
        threads: int | None = None,
        block: int = QUERIES,
    ) -> Scan:
        """A scan of `codes` by the bits in `keep` (bool `[B]`; default all)."""
        if codes.bits > MAX_BITS:
            raise UsageError(f"codes: found {codes.bits} bits, Hamming scans go to {MAX_BITS}")
        if block < 4 or block % 4:
            raise UsageError(f"block={block}: expected a multiple of 4")
        chosen = np.ones(codes.bits, bool) if keep is None else keep
        mask = as_words(np.packbits(chosen)[None])[0]
        words = np.flatnonzero(mask)
        return cls(
            tiles_of(codes),
            len(codes),
            int(chosen.sum()),
            words,
            mask[words],
            not chosen.all(),
            owner,
            thread_count(threads),
            block,
        )

    def distances(self, packed: np.ndarray) -> np.ndarray:
        """Hamming distances uint16 `[Q, N]` of packed queries uint8 `[Q, ceil(B/8)]`."""
        out = np.empty((len(packed), self.n), np.uint16)

        def work(task: _Task) -> None:
            loops.scan.distances(self._part(task), task.queries, out[task.rows])

        self._each(work, packed)
        return out

    def nearest(
        self, packed: np.ndarray, k: int, query_owner: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest items of each query by (distance, row).

        Returns:
            distances int32 `[Q, k]` and rows int64 `[Q, k]`; -1 in both where a query has fewer than k items.
        """
        room = 2 * k + 4 * TILE
        block = max(4, min(self.block, (1 << 22) // room & ~3))

        def work(task: _Task) -> tuple[np.ndarray, np.ndarray]:
            q = len(task.queries)
            kept = loops.scan.Kept(
                _padded(np.full(task.size, self.bits + 1), q),
                np.zeros(q, np.int64),
                np.zeros((q, self.bits + 2), np.int64),
                np.empty((q, room), np.uint16),
                np.empty((q, room), np.int64),
                np.zeros(q, np.int64),
            )
            loops.scan.nearest(self._part(task), task.queries, self._owners(task, query_owner), k, kept)
            distances, indices = np.full((task.size, k), -1, np.int32), np.full((task.size, k), -1, np.int64)
            loops.sort.in_order(kept, self.bits, distances, indices)
            return distances, indices

        distances, indices = np.empty((len(packed), k), np.int32), np.empty((len(packed), k), np.int64)
        for at, parts in _by_queries(self._each(work, packed, block=block)):
            if len(parts) == 1:
                distances[at], indices[at] = parts[0]
                continue
            both = np.concatenate([part[0] for part in parts], axis=1)
            first = np.argsort(both.view(np.uint32), axis=1, kind="stable")[:, :k]  # -1, no item, comes last
            distances[at] = np.take_along_axis(both, first, 1)
            indices[at] = np.take_along_axis(np.concatenate([part[1] for part in parts], axis=1), first, 1)
        return distances, indices

    def within(
        self, packed: np.ndarray, radius: np.ndarray, query_owner: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every item at distance <= the query's radius, by (distance, row).

        Args:
            packed: uint8 `[Q, ceil(B/8)]`.
            radius: int64 `[Q]`; below 0 nothing is found.
            query_owner: int32 `[Q]`.

        Returns:
            distances int32 and rows int64 of all queries one after the other, and offsets int64 `[Q + 1]`.
        """
        limits = np.clip(radius, -1, self.bits) + 1

        def count(task: _Task) -> np.ndarray:
            found = np.zeros(len(task.queries), np.int64)
            loops.scan.count_near(*self._visit(task, limits, query_owner), found)
            return found[: task.size]

        counts = self._each(count, packed)
        total = np.zeros(len(packed) + 1, np.int64)
        starts: dict[tuple[int, int], np.ndarray] = {}
        for task, size in counts:
            starts[task.rows.start, task.span[0]] = total[1:][task.rows].copy()  # found in earlier parts
            total[1:][task.rows] += size
        offsets = np.cumsum(total)
        far, rows = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.int64)

        def fill(task: _Task) -> None:
            place = _padded(offsets[:-1][task.rows] + starts[task.rows.start, task.span[0]], len(task.queries))
            loops.scan.list_near(*self._visit(task, limits, query_owner), place, far, rows)

        self._each(fill, packed)
        loops.sort.sort_lists(far, rows, offsets, self.bits)
        return far, rows, offsets

    def votes(
        self,
        packed: np.ndarray,
        distance: np.ndarray,
        labels: np.ndarray,
        n_classes: int,
        query_owner: np.ndarray | None = None,
    ) -> np.ndarray:
        """How many items of each class lie at exactly `distance` int64 `[Q]` from each query: int64 `[Q, C]`."""

        def work(task: _Task) -> np.ndarray:
            votes = np.zeros((len(task.queries), n_classes), np.int64)
            loops.scan.count_classes(*self._visit(task, distance + 1, query_owner), labels, votes)
            return votes[: task.size]

        return self._added(work, packed, (n_classes,))

    def histograms(
        self,
        packed: np.ndarray,
        labels: np.ndarray,
        query_labels: np.ndarray,
        *,
        top: int = 1,
        query_owner: np.ndarray | None = None,
    ) -> np.ndarray:
        """How many items of each grade lie at each distance from each query; items left out are not counted.

        Args:
            packed: uint8 `[Q, ceil(B/8)]`.
            labels, query_labels: int32 `[N]` and `[Q]`, negative for none; or bool `[N, C]` and `[Q, C]`.
            top: the highest grade; the grade of an item is how many labels it shares with the query, at most `top`.
            query_owner: int32 `[Q]`.

        Returns:
            int64 `[Q, top + 1, bits + 1]`.
        """
        slabs, stride = 2 * (top + 1), self.bits + 1
        if slabs * stride > 1 << 16:
            raise UsageError(f"{top} grades at {self.bits} bits: expected at most {(1 << 15) // stride - 1} grades")
        if labels.ndim == 2:
            labels, query_labels = (as_words(np.packbits(part, axis=1)) for part in (labels, query_labels))
        else:
            query_labels = np.where(query_labels < 0, np.int32(-2), query_labels)  # not -1, an item without a label

        def work(task: _Task) -> np.ndarray:
            counts = np.zeros((len(task.queries), slabs, stride), np.uint32)
            mine, owners = _padded(query_labels[task.rows], len(task.queries)), self._owners(task, query_owner)
            loops.scan.histograms(self._part(task), task.queries, owners, labels, mine, counts)
            return counts[: task.size, : top + 1]

        return self._added(work, packed, (top + 1, stride))

    # -- how the work is cut ----------------------------------------------------------------------------------------

    def _visit(
        self, task: _Task, limit: np.ndarray, query_owner: np.ndarray | None
    ) -> tuple[loops.scan.Part, np.ndarray, np.ndarray, loops.scan.Owners | None]:
        """The arguments that loops over near items have in common."""
        limits = _padded(limit[task.rows].astype(np.int64), len(task.queries))
        return self._part(task), task.queries, limits, self._owners(task, query_owner)

    def _part(self, task: _Task) -> loops.scan.Part:
        return loops.scan.Part(self.tiles, *task.span, self.n, self.words, self.mask, self.masked)

    def _owners(self, task: _Task, query_owner: np.ndarray | None) -> loops.scan.Owners:
        if self.owner is None or query_owner is None:
            return loops.scan.Owners(_NOBODY, _NOBODY)
        return loops.scan.Owners(self.owner, _padded(query_owner[task.rows], len(task.queries)))

    def _added(self, work: Callable[[_Task], np.ndarray], packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        out = np.zeros((len(packed), *shape), np.int64)
        for task, counts in self._each(work, packed):
            out[task.rows] += counts
        return out

    def _each(
        self, work: Callable[[_Task], Any], packed: np.ndarray, *, block: int | None = None
    ) -> list[tuple[_Task, Any]]:
        """The results of `work` on every task, in the order of the tasks."""
        pairs = len(packed) * self.n
        threads = self.threads if pairs > SMALL else 1
        tasks = list(self._tasks(packed, block or self.block, threads))
        with ThreadPoolExecutor(threads) as pool:
            done = pool.map(work, tasks) if threads > 1 and len(tasks) > 1 else map(work, tasks)
            if pairs < LONG:
                return list(zip(tasks, done, strict=True))
            out = []
            with counter("scanning codes", sum(task.size for task in tasks)) as advance:
                for task, result in zip(tasks, done, strict=True):
                    out.append((task, result))
                    advance(task.size)
            return out

    def _tasks(self, packed: np.ndarray, block: int, threads: int) -> Iterator[_Task]:
        """Blocks of at most `block` queries; if there are fewer blocks than threads, the database is divided too."""
        blocks = _ceil(len(packed), block)
        if blocks > 1:  # equal blocks, the same number for each thread
            blocks = _ceil(blocks, threads) * threads
            block = _ceil(len(packed), 4 * blocks) * 4
        parts = min(len(self.tiles), _ceil(threads, max(1, blocks)))
        spans = list(pairwise([len(self.tiles) * i // parts for i in range(parts + 1)])) if parts else []
        words = as_words(packed)[:, self.words] & self.mask
        for start in range(0, len(words), block):
            rows = slice(start, min(start + block, len(words)))
            size = rows.stop - start
            queries = _padded(words[rows], _ceil(size, 4) * 4)
            for span in spans:
                yield _Task(rows, size, queries, span)


@dataclass(frozen=True)
class _Task:
    """Some queries over some tiles: their rows and number, their words padded to a multiple of 4, and the tiles."""

    rows: slice
    size: int
    queries: np.ndarray
    span: tuple[int, int]


def _ceil(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    """`values` with rows of zeros added up to `size`; a contiguous copy."""
    out = np.zeros((size, *values.shape[1:]), values.dtype)
    out[: len(values)] = values
    return out


def _by_queries(results: list[tuple[_Task, Any]]) -> Iterator[tuple[slice, list[Any]]]:
    """For each block of queries, the results of the parts of the database, in order."""
    blocks: dict[int, tuple[slice, list[Any]]] = {}
    for task, result in results:
        blocks.setdefault(task.rows.start, (task.rows, []))[1].append(result)
    yield from blocks.values()
