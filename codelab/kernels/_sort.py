"""Compiled counting sorts: neighbours from row order into (distance, row) order."""

# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def in_order(kept, bits, distances, indices):
    """Each query's k nearest of what is kept, by (distance, row), into `distances` and `indices` `[Q, k]`.

    Places that stay empty keep what they held.
    """
    place = np.empty(bits + 2, np.int64)
    for q in range(len(distances)):
        size = kept.size[q]
        _sort(kept.far[q, :size], kept.rows[q, :size], place, distances[q], indices[q])


@njit(cache=True, nogil=True)
def sort_lists(far, rows, offsets, bits):
    """Bring each query's part of `far` and `rows` from row order into (distance, row) order."""
    place = np.empty(bits + 2, np.int64)
    for q in range(len(offsets) - 1):
        mine = slice(offsets[q], offsets[q + 1])
        _sort(far[mine].copy(), rows[mine].copy(), place, far[mine], rows[mine])


@njit(nogil=True)
def _sort(far, rows, place, sorted_far, sorted_rows):
    """Counting sort by distance, which keeps the row order; only the first `len(sorted_far)` items are written."""
    place[:] = 0
    for d in far:
        place[d + 1] += 1
    for d in range(len(place) - 1):
        place[d + 1] += place[d]
    for i in range(len(far)):
        d = far[i]
        if place[d] < len(sorted_far):
            sorted_far[place[d]] = d
            sorted_rows[place[d]] = rows[i]
        place[d] += 1
