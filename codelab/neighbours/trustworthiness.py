"""How many of the neighbours on a map are neighbours in the code."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from codelab.core.bits import differing
from codelab.core.codes import Codes
from codelab.neighbours.hamming import Scan
from codelab.neighbours.others import without_self

BLOCK = 256
"""Codes whose distances to all others are counted at a time."""


def trustworthiness(codes: Codes, coordinates: np.ndarray, k: int, rows: np.ndarray) -> float:
    """The trustworthiness of a map of codes, 1 where the k nearest on the map are k nearest in the code.

        T = 1 - 2 / (N k (2N - 3k - 1)) sum_i sum_j E[max(0, r_ij - k)]

    over the k nearest j of i on the map, where r_ij is the rank of j among the Hamming distances from i. Many codes
    share a distance: E is the mean over their order, from the histogram of distances, so that memory stays linear
    in N.

    Args:
        codes: codes `[N, B]`, N > 2 k.
        coordinates: `[N, dims]`.
        k: neighbours.
        rows: the i that are summed over; the sum is scaled to all N.

    Source: Venna & Kaski 2001; as `sklearn.manifold.trustworthiness`, which takes one order of equal distances.

    Example:
        >>> codes = Codes.from_bits(np.tril(np.ones((9, 9))))  # a chain, laid out in order, then at random
        >>> line = np.arange(9.0)[:, None]
        >>> trustworthiness(codes, line, 2, np.arange(9))
        1.0
        >>> trustworthiness(codes, np.random.default_rng(0).permutation(line), 2, np.arange(9)) < 0.7
        True
    """
    n = len(codes)
    near = _others(coordinates, rows, k)
    scan, same = Scan.of(codes), np.zeros(n, np.int32)
    missed = 0.0
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        mine = codes.packed[rows[part]]
        at = np.stack([differing(mine, codes.packed[near[part, place]]) for place in range(k)], axis=1)
        counts = scan.histograms(mine, same, same[: len(mine)])[:, 1]
        counts[:, 0] -= 1  # the code itself
        nearer = np.cumsum(counts, axis=1) - counts
        missed += _beyond(np.take_along_axis(nearer, at, 1), np.take_along_axis(counts, at, 1), k).sum()
    return float(1 - 2 * missed / (len(rows) * k * (2 * n - 3 * k - 1)))


def _beyond(nearer: np.ndarray, equal: np.ndarray, k: int) -> np.ndarray:
    """Mean of max(0, r - k) over ranks r from `nearer` + 1 to `nearer` + `equal`."""
    first, last = np.maximum(nearer + 1, k + 1), nearer + equal
    terms = np.maximum(last - first + 1, 0)
    return terms * ((first + last) / 2 - k) / equal


def _others(coordinates: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """The k nearest other points of `rows` on the map, `[Q, k]`."""
    return without_self(np.asarray(cKDTree(coordinates).query(coordinates[rows], k + 1)[1]), rows)
