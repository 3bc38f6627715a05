"""Hits, average precision and discounted gains of rankings with ties, from histograms of distances."""

from __future__ import annotations

import numpy as np

from codelab.kernels import loops

TIES = ("expected", "optimistic", "pessimistic")
NORMALISE = ("relevant", "min_k", "found")


def hits(total: np.ndarray, relevant: np.ndarray, k: int, ties: str) -> np.ndarray:
    """Relevant items among the first k places.

    Args:
        total, relevant: int64 `[Q, G]`, items and relevant items in each group of equal distance, nearest first.
        k: places.
        ties: `expected` over random order within a group; `optimistic`: relevant items first, `pessimistic`: last.

    Returns:
        float64 `[Q]`.

    Example:
        >>> hits(np.array([[1, 4]]), np.array([[1, 2]]), 3, "expected").tolist()  # 1, and 2 of the 4 for two places
        [2.0]
    """
    ahead = np.cumsum(total, axis=1) - total
    taken = np.clip(k - ahead, 0, total)
    if ties == "expected":
        return (relevant * (taken / np.maximum(total, 1))).sum(axis=1)
    if ties == "optimistic":
        return np.minimum(relevant, taken).sum(axis=1).astype(np.float64)
    return np.maximum(taken - (total - relevant), 0).sum(axis=1).astype(np.float64)


def lookup(counts: np.ndarray, near: int) -> np.ndarray:
    """Precision among the items of the first `near` distances, 0 where there is none: float64 `[Q]`.

    Args:
        counts: int64 `[Q, 2, G]`, other and relevant items at each distance; NaN where no item is relevant.
        near: how many distances.

    Example:
        >>> lookup(np.array([[[1, 1, 0], [0, 2, 1]]]), 2).tolist()
        [0.5]
    """
    found = counts[:, :, :near].sum(axis=2)
    return np.where(counts[:, 1].any(axis=1), found[:, 1] / np.maximum(found.sum(axis=1), 1), np.nan)


def average_precision(counts: np.ndarray, places: int, ties: str, normalise: str) -> np.ndarray:
    """Average precision from histograms int64 `[Q, 2, G]` of other and relevant items, which may be sums of parts."""
    how = TIES.index(ties), NORMALISE.index(normalise)
    return loops.ties.average_precision(counts.sum(axis=1), counts[:, 1].copy(), places, *how)


def normalised_gain(counts: np.ndarray, worth: np.ndarray, k: int, ties: str) -> np.ndarray:
    """Normalised discounted cumulative gain of the first k places; NaN where no item has a gain.

        DCG = sum over places i = 1 .. k of  gain_i / log2(i + 1),   nDCG = DCG / (DCG of the best order)

    The expectation over random order of ties gives each place of a group the group's mean gain.

    Source: McSherry & Najork 2008.

    Args:
        counts: int64 `[Q, T, G]`, items of each grade in each group of equal distance, nearest first.
        worth: float64 `[T]`, the gain of each grade, ascending, 0 first.
        k: places.
        ties: as in `hits`.

    Returns:
        float64 `[Q]`.
    """
    n = int(counts.sum(axis=(1, 2)).max())
    discount = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, n + 2)))])

    def discounted(sizes: np.ndarray, gain: np.ndarray) -> np.ndarray:
        """Runs of `sizes` items of the same gain, one run after the other, cut off at k."""
        stop = np.cumsum(sizes, axis=1)
        return (gain * (discount[np.minimum(stop, k)] - discount[np.minimum(stop - sizes, k)])).sum(axis=1)

    if ties == "expected":
        total = counts.sum(axis=1)
        mean = np.einsum("qtg,t->qg", counts, worth) / np.maximum(total, 1)
        found = discounted(total, mean)
    else:
        order = slice(None, None, -1) if ties == "optimistic" else slice(None)
        runs = counts[:, order].transpose(0, 2, 1).reshape(len(counts), -1)
        found = discounted(runs, np.tile(worth[order], counts.shape[2]))
    best = discounted(counts.sum(axis=2)[:, ::-1], worth[::-1])
    return np.divide(found, best, out=np.full(len(best), np.nan), where=best > 0)
