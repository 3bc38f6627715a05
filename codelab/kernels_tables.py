"""Compiled loop over codes whose distance is a sum of table entries: weighted and asymmetric Hamming."""

# mypy: disallow-untyped-defs=False

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def add_up(packed, tables, out):
    """Distances that are sums of one table entry a byte.

    Args:
        packed: uint8 `[n, V]`.
        tables: float64 `[Q, V, 256]` of whole numbers, which add up exactly.
        out: float64 `[Q, n]`.
    """
    for q in range(len(tables)):
        table, row = tables[q], out[q]
        for i in range(len(packed)):
            total = 0.0
            for byte in range(packed.shape[1]):
                total += table[byte, packed[i, byte]]
            row[i] = total
