"""Compiled loop over codes whose distance is a sum of table entries: weighted and asymmetric Hamming."""

# mypy: disallow-untyped-defs=False

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def add_up(packed, tables, out):
    """Distances that are sums of one table entry a byte.

    Args:
        packed: uint8 `[n, V]`.
        tables: float32 `[Q, V, 256]`.
        out: float32 `[Q, n]`; summed in float64 in the order of the bytes, so equal codes get equal distances.
    """
    for q in range(len(tables)):
        table, row = tables[q], out[q]
        for i in range(len(packed)):
            total = 0.0
            for byte in range(packed.shape[1]):
                total += table[byte, packed[i, byte]]
            row[i] = total
