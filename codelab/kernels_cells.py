"""Compiled loop that counts the values of blocks of bits."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def count_cells(packed: np.ndarray, byte: np.ndarray, shift: np.ndarray, cells: np.ndarray) -> None:
    """Add to `cells` `[K, 2**width]`, for every row and block, the value of its bits.

    Bit j of block k is bit `shift[k, j]` (0 = least significant) of byte `byte[k, j]`; the first one counts most.
    """
    for row in range(len(packed)):
        for k in range(byte.shape[0]):
            value = 0
            for j in range(byte.shape[1]):
                value = value << 1 | (packed[row, byte[k, j]] >> shift[k, j]) & 1
            cells[k, value] += 1
