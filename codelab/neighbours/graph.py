"""The nearest other codes of each code: exact, or by pynndescent where there are too many to compare all pairs."""

from __future__ import annotations

import dataclasses

import numpy as np

from codelab.core.bits import differing
from codelab.core.codes import Codes
from codelab.kernels.counting import for_loops
from codelab.neighbours.hamming import Scan
from codelab.neighbours.others import without_self

CHECKED = 1000
"""Codes whose approximate neighbours are compared with the exact ones."""

ROWS = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """The `k` nearest other codes of each code, nearest first.

    `rows` int32 and `distances` int32, `[N, k]`; `recall` is the share of the neighbours found that are no farther
    than the true k-th one, 1 for an exact search.
    """

    rows: np.ndarray
    distances: np.ndarray
    recall: float


def neighbour_graph(codes: Codes, k: int, *, exact: bool, seed: int = 0) -> Graph:
    """The k nearest other codes of each code by Hamming distance, in order of (distance, row).

    Args:
        codes: N codes, all different, N > k.
        k: neighbours.
        exact: compare all pairs; otherwise pynndescent's `bit_hamming` on the packed bytes.
        seed: of the approximate search, and of the codes that its recall is measured on.

    Source: Dong, Moses & Li 2011 (nearest neighbour descent).

    Example:
        >>> graph = neighbour_graph(Codes.from_bits([[0, 0, 0], [0, 0, 1], [0, 1, 1]]), 1, exact=True)
        >>> graph.rows.tolist(), graph.distances.tolist(), graph.recall
        ([[1], [0], [1]], [[1], [1], [1]], 1.0)
    """
    scan = Scan.of(codes)
    if exact:
        distances, rows = scan.nearest(codes.packed, k + 1)
        return Graph(rows[:, 1:].astype(np.int32), distances[:, 1:], 1.0)  # the first is the code itself
    rows = _approximate(codes, k, seed)
    short = np.flatnonzero((rows < 0).any(axis=1))  # the descent found fewer than k
    if len(short):
        rows[short] = scan.nearest(codes.packed[short], k + 1)[1][:, 1:]
    distances = np.empty(rows.shape, np.int32)
    for start in range(0, len(rows), ROWS):
        part = slice(start, start + ROWS)
        for place in range(k):
            distances[part, place] = differing(codes.packed[part], codes.packed[rows[part, place]])
    order = np.lexsort((rows, distances), axis=1)
    rows, distances = np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)
    sample = np.sort(np.random.default_rng(seed).permutation(len(codes))[:CHECKED])
    farthest = scan.nearest(codes.packed[sample], k + 1)[0][:, -1:]
    return Graph(rows, distances, float((distances[sample] <= farthest).mean()))


def _approximate(codes: Codes, k: int, seed: int) -> np.ndarray:
    """Rows int32 `[N, k]` of near other codes; -1 where fewer were found."""
    from pynndescent import NNDescent

    index = NNDescent(
        for_loops(codes.packed),
        metric="bit_hamming",
        n_neighbors=k + 1,
        random_state=seed,
        n_jobs=1,
        compressed=False,
    )
    return without_self(index.neighbor_graph[0], np.arange(len(codes))).astype(np.int32)
