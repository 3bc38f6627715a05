"""Average precision of codes in which one bit is left out, added or permuted, for every bit at once.

A bit changes the distance of a query and an item by one, or not at all. So one scan of the database by a set of bits,
which counts how many of the items at each distance differ from the query in each bit, gives the histograms of all sets
that have one bit more or one less: items that differ in a bit come one step nearer without it, and go one step farther
with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from codelab.core.codes import Codes
from codelab.kernels import loops
from codelab.kernels.counting import class_counts
from codelab.kernels.threads import run
from codelab.neighbours.hamming import Scan
from codelab.retrieval.ranking import HammingRanking, rank

BLOCK = 64
"""Queries whose distances are in memory together."""
FEW = 4096
"""Items up to which a thread takes longer to start than a query to count."""

_One = Callable[[int, np.ndarray], tuple[float, np.ndarray]]
"""From the number of a query and its distances `[N]` to its average precision, and that with each bit changed."""


@dataclass(frozen=True, eq=False)
class OneBit:
    """Some images of a set, rows `[Q]`, each of which ranks all other images that are not its near copies."""

    ranking: HammingRanking
    rows: np.ndarray

    @classmethod
    def of(cls, codes: Codes, rows: np.ndarray, units: np.ndarray | None) -> OneBit:
        """Args: labelled codes `[N, B]`; the rows of the queries; group numbers `[N]` of near copies, or None.

        Raises:
            DataError: no labels.
        """
        unit = np.arange(len(codes)) if units is None else units
        ranking = rank(codes[rows], codes, exclude_self=False, groups=(unit[rows], unit))
        return cls(cast(HammingRanking, ranking), rows)

    def changed(self, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average precision `[Q]` by the bits in `kept` (bool `[B]`), and `[Q, B]` with one bit less, or one more.

        Column b is without bit b where it is in `kept`, and with it where it is not.
        """
        packed, bits = self.ranking.database.packed, len(kept)
        mine = self.ranking.queries.to_bits()

        def one(query: int, distances: np.ndarray) -> tuple[float, np.ndarray]:
            sizes, ones = self._by_distance(query, distances, packed, bits)
            differ = np.where(mine[query], sizes[:, :, None] - ones, ones)
            return _values(sizes, differ * kept, differ * ~kept)

        return self._each(kept, one)

    def permuted(self, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average precision `[Q]` by all bits, and `[Q, B]` with column b in place of that of `other` (packed)."""
        packed, bits = self.ranking.database.packed, self.ranking.database.bits
        width = 8 * packed.shape[1]
        three = np.concatenate([packed, other, packed & other], axis=1)
        mine, theirs = self.ranking.queries.to_bits(), np.unpackbits(other[self.rows], axis=1, count=bits).astype(bool)

        def one(query: int, distances: np.ndarray) -> tuple[float, np.ndarray]:
            sizes, counts = self._by_distance(query, distances, three, 3 * width)
            first, second, both = (counts[:, :, at : at + bits] for at in (0, width, 2 * width))
            neither = sizes[:, :, None] - first - second + both
            q, p = mine[query], theirs[query]
            # an item differs from the query by the bit as it is, and not as it is permuted; and the other way round
            cells = {(0, 0): neither, (1, 0): first - both, (0, 1): second - both, (1, 1): both}
            nearer, farther = np.zeros((2, *first.shape), np.int64)
            for (was, now), items in cells.items():
                nearer += items * ((was != q) & (now == p))
                farther += items * ((was == q) & (now != p))
            return _values(sizes, nearer, farther)

        return self._each(np.ones(bits, bool), one)

    def _by_distance(
        self, query: int, distances: np.ndarray, packed: np.ndarray, bits: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Other and relevant items at each distance, `[G, 2]`, and how many of them have each bit, `[G, 2, bits]`.

        The first distance is one below the least there is, so that items can come nearer.
        """
        labels, mine = self.ranking.database.labels, self.ranking.queries.labels[query]
        relevant = (labels & mine).any(axis=1) if labels.ndim == 2 else (labels == mine) & (mine >= 0)
        low, high = int(distances.min()) - 1, int(distances.max())
        cell = 2 * (distances.astype(np.int32) - low) + relevant
        owner, own = self.ranking.owner, self.ranking.query_owner
        if owner is not None and own is not None:
            cell[owner == own[query]] = -1
        cells = 2 * (high - low + 1)
        ones = class_counts(packed, bits, cell, cells, threads=1)
        sizes = np.bincount(cell + 1, minlength=cells + 1)[1:]
        return sizes.reshape(-1, 2), ones.reshape(-1, 2, bits)

    def _each(self, kept: np.ndarray, one: _One) -> tuple[np.ndarray, np.ndarray]:
        """What `one` gives for every query."""
        scan = Scan.of(self.ranking.database, keep=kept)
        packed = self.ranking.queries.packed
        threads = None if scan.n > FEW else 1
        found: list[tuple[float, np.ndarray]] = []
        for start in range(0, len(packed), BLOCK):
            some = packed[start : start + BLOCK]
            far = scan.distances(some) if kept.any() else np.zeros((len(some), scan.n), np.uint16)
            found += run(lambda pair: one(*pair), enumerate(far, start), threads)
        whole, each = zip(*found, strict=True)
        return np.array(whole), np.stack(each)


def _values(sizes: np.ndarray, nearer: np.ndarray, farther: np.ndarray) -> tuple[float, np.ndarray]:
    """Average precision before, and after each of the moves."""
    still = np.zeros((*nearer.shape[:2], 1), np.int64)
    whole = loops.ties.average_precision_of_moves(sizes, still, still)[0]
    return whole, loops.ties.average_precision_of_moves(sizes, nearer, farther)
