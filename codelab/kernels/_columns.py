"""Compiled loops over the columns of packed codes: bits of one kind counted over many items.

Codes come as little-endian words, uint64 `[N, W]`: bit b of a code is in word b // 64, in its byte b // 8 % 8 counted
from the low end, and is bit 7 - b % 8 of that byte.
"""

# mypy: disallow-untyped-defs=False, disable-error-code="call-arg"

from __future__ import annotations

import numpy as np
from numba import njit
from numba.core import types
from numba.extending import intrinsic

LANES = np.uint64(0x0101010101010101)


@intrinsic
def popcount(typing_context, word):
    """Ones of a uint64; LLVM makes it VPOPCNTQ over eight words where the machine has it."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def swap_bytes(typing_context, word):
    """A uint64 with its bytes in the other order."""

    def generate(context, builder, signature, arguments):
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), generate


@njit(cache=True, nogil=True)
def count_by_class(words, labels, lanes, lane_bytes, filled, out):
    """Add the ones of each bit to the row of `out` of each item's class.

    A word holds eight bytes; shifted by j and masked it adds bit 7 - j of all eight to eight byte-wide counters at
    once. A class's counters move to `out` before they can overflow.

    Args:
        words: uint64 `[N, W]`.
        labels: int32 `[N]`; items below 0 are not counted.
        lanes: uint64 `[C, 8 W]` of zeros: the byte-wide counters.
        lane_bytes: the same memory as uint8 `[C, 64 W]`.
        filled: int64 `[C]` of zeros: items in the counters of each class.
        out: int64 `[C, 64 W]`.
    """
    n, width = words.shape
    for i in range(n):
        c = labels[i]
        if c < 0:
            continue
        mine = lanes[c]
        for w in range(width):
            word = words[i, w]
            for j in range(8):
                mine[8 * w + j] += (word >> np.uint64(j)) & LANES
        filled[c] += 1
        if filled[c] == 255:
            _empty(lane_bytes[c], out[c])
            filled[c] = 0
    for c in range(len(filled)):
        if filled[c]:
            _empty(lane_bytes[c], out[c])


@njit(cache=True, nogil=True)
def _empty(lane_bytes, out):
    for w in range(len(out) // 64):
        for j in range(8):
            for byte in range(8):
                at = 64 * w + 8 * j + byte
                out[64 * w + 8 * byte + 7 - j] += lane_bytes[at]
                lane_bytes[at] = 0


@njit(cache=True, nogil=True)
def transpose(words, columns, first):
    """Write 64 items at a time into `columns` uint64 `[64 W, M]` from word `first` on, in the order of `packbits`.

    A 64 x 64 transpose by halves: swap the off-diagonal blocks of 32, 16, ... 1 bits.

    Source:
        Warren, Hacker's Delight, 7-3.
    """
    n, width = words.shape
    square = np.empty(64, np.uint64)
    for block in range((n + 63) // 64):
        start = 64 * block
        rows = min(64, n - start)
        for w in range(width):
            for i in range(rows):
                square[i] = swap_bytes(words[start + i, w])
            for i in range(rows, 64):
                square[i] = 0
            size = np.uint64(32)
            mask = np.uint64(0x00000000FFFFFFFF)
            while size:
                step = np.int64(size)
                for base in range(0, 64, 2 * step):
                    for i in range(base, base + step):
                        moved = (square[i] ^ (square[i + step] >> size)) & mask
                        square[i] ^= moved
                        square[i + step] ^= moved << size
                size >>= np.uint64(1)
                mask ^= mask << size
            for i in range(64):
                columns[64 * w + i, first + block] = swap_bytes(square[i])


@njit(cache=True, nogil=True)
def count_pairs(words, buffer, out):
    """Add to the upper triangle of `out` int64 `[64 W, 64 W]` how many items have both bits.

    `buffer` is uint64 `[64 W, M]`: 64 M items at a time are turned into columns that stay in the cache.
    """
    n = len(words)
    size, length = buffer.shape
    for start in range(0, n, 64 * length):
        stop = min(n, start + 64 * length)
        transpose(words[start:stop], buffer, 0)
        used = (stop - start + 63) // 64
        for a in range(0, size, 2):
            a0, a1 = buffer[a, :used], buffer[a + 1, :used]
            for b in range(a & ~3, size, 4):
                b0, b1 = buffer[b, :used], buffer[b + 1, :used]
                b2, b3 = buffer[b + 2, :used], buffer[b + 3, :used]
                s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = np.uint64(0)
                for i in range(used):
                    x, y = a0[i], a1[i]
                    s00 += popcount(x & b0[i])
                    s01 += popcount(x & b1[i])
                    s02 += popcount(x & b2[i])
                    s03 += popcount(x & b3[i])
                    s10 += popcount(y & b0[i])
                    s11 += popcount(y & b1[i])
                    s12 += popcount(y & b2[i])
                    s13 += popcount(y & b3[i])
                out[a, b] += s00
                out[a, b + 1] += s01
                out[a, b + 2] += s02
                out[a, b + 3] += s03
                out[a + 1, b] += s10
                out[a + 1, b + 1] += s11
                out[a + 1, b + 2] += s12
                out[a + 1, b + 3] += s13


@njit(cache=True, nogil=True)
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
