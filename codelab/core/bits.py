"""Bits packed into bytes, in the order of `numpy.packbits`: bit 0 is the most significant bit of byte 0."""

from __future__ import annotations

import numpy as np

from codelab.core.arrays import as_array
from codelab.core.errors import DataError
from codelab.core.packings import hint

ROWS = 1 << 16
"""Codes that are unpacked at a time; a multiple of 8, so that columns of blocks meet at whole bytes."""

_ONES = np.array([byte.bit_count() for byte in range(256)], dtype=np.uint8)


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """Pack 0/1 or -1/+1 values into bytes, bit 0 as the most significant bit of byte 0.

    Args:
        bits: `[N, B]`, bool, or numbers that are all 0 or 1, or all -1 or +1.

    Returns:
        uint8 `[N, ceil(B/8)]`, pad bits zero: the layout of `numpy.packbits`, Milvus and PostgreSQL `bit`.

    Raises:
        DataError: a value is none of these, or the array has not two dimensions or no bit.

    Example:
        >>> pack_bits(np.array([[1, 0, 1], [0, 0, 1]])).tolist()
        [[160], [32]]
    """
    bits = as_array("bits", bits)
    if bits.ndim != 2 or bits.shape[1] == 0:
        raise DataError(f"bits: expected an array [N, B] with B >= 1, found shape {list(bits.shape)}{hint(bits)}")
    if bits.dtype != bool:
        if bits.dtype.kind not in "iuf":
            raise DataError(f"bits: expected numbers or bool, found dtype {bits.dtype}")
        low = -1 if (bits == -1).any() else 0
        wrong = (bits != low) & (bits != 1)
        if wrong.any():
            row, bit = np.argwhere(wrong)[0]
            found = f"row {row}, bit {bit} is {bits[row, bit]}"
            raise DataError(f"bits: {found}, expected {_expected(bits)}{hint(bits)}")
        bits = bits > 0
    return np.packbits(bits, axis=1)


def _expected(bits: np.ndarray) -> str:
    if not (bits == -1).any():
        return "0 or 1"
    return "0 and 1, or -1 and +1, not both" if (bits == 0).any() else "-1 or +1, as elsewhere"


def unpack_bits(packed: np.ndarray, bits: int) -> np.ndarray:
    """The inverse of `pack_bits`.

    Args:
        packed: uint8 `[N, ceil(B/8)]`.
        bits: B, the number of bits in use.

    Returns:
        bool `[N, B]`.

    Raises:
        DataError: the width of `packed` is not `ceil(bits / 8)` bytes.

    Example:
        >>> unpack_bits(np.array([[160]], dtype=np.uint8), 3).astype(int).tolist()
        [[1, 0, 1]]
    """
    check_packed(packed, bits)
    return np.unpackbits(packed, axis=1, count=bits).view(bool)


def bit_columns(packed: np.ndarray, bits: int) -> np.ndarray:
    """The columns of packed codes: uint8 `[B, ceil(N/8)]`, one packed row a bit, pad bits zero.

    Example:
        >>> bit_columns(np.array([[0b11000000], [0b10100000]], dtype=np.uint8), 3)[:, 0].tolist()
        [192, 128, 64]
    """
    check_packed(packed, bits)
    out = np.empty((bits, (len(packed) + 7) // 8), dtype=np.uint8)
    for start in range(0, len(packed), ROWS):
        rows = packed[start : start + ROWS]
        width, bytes_ = rows.shape[1], (len(rows) + 7) // 8
        padded = np.zeros((8 * bytes_, width), dtype=np.uint8)
        padded[: len(rows)] = rows
        # a byte of eight codes is a word with the last code lowest, so that both its axes run from the highest bit
        eights = np.ascontiguousarray(padded.reshape(bytes_, 8, width)[:, ::-1].transpose(2, 0, 1)).view("<u8")
        turned = _transposed(eights).view(np.uint8).reshape(width, bytes_, 8)[:, :, ::-1]
        out[:, start // 8 : start // 8 + bytes_] = turned.transpose(0, 2, 1).reshape(8 * width, bytes_)[:bits]
    return out


def _transposed(words: np.ndarray) -> np.ndarray:
    """Each uint64 as an 8 x 8 square of bits, transposed: bit 8 r + c becomes bit 8 c + r.

    Source: Warren, Hacker's Delight, 7-3: swap the off-diagonal bits of squares of 2, 4 and 8.
    """
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
        by = np.uint64(shift)
        swapped = (words ^ (words >> by)) & np.uint64(mask)
        words = words ^ swapped ^ (swapped << by)
    return words


def select_bits(packed: np.ndarray, bits: int, chosen: list[int]) -> np.ndarray:
    """Packed codes of only the `chosen` bits, in this order: uint8 `[N, ceil(len(chosen)/8)]`.

    Example:
        >>> select_bits(np.array([[0b10100000]], dtype=np.uint8), 3, [2, 1]).tolist()  # bits 1 and 0
        [[128]]
    """
    out = np.empty((len(packed), (len(chosen) + 7) // 8), dtype=np.uint8)
    for start in range(0, len(packed), ROWS):
        rows = slice(start, start + ROWS)
        out[rows] = np.packbits(unpack_bits(packed[rows], bits)[:, chosen], axis=1)
    return out


def differing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamming distance of packed rows `[..., bytes]`, pair by pair: int64 `[...]`.

    Example:
        >>> differing(pack_bits(np.array([[1, 0], [1, 1]])), pack_bits(np.array([[1, 1], [0, 0]]))).tolist()
        [1, 2]
    """
    return _ONES[a ^ b].sum(axis=-1, dtype=np.int64)


def check_packed(packed: np.ndarray, bits: int) -> None:
    """Refuse codes that are not uint8 `[N, ceil(bits/8)]` with pad bits zero.

    Raises:
        DataError: the message names what was found.
    """
    if bits < 1:
        raise DataError(f"codes: expected at least 1 bit, found {bits}")
    width = (bits + 7) // 8
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != width:
        raise DataError(
            f"codes: expected uint8 [N, {width}] for {bits} bits, found {packed.dtype} {list(packed.shape)}"
            f"{hint(packed, bits)}"
        )
    if bits % 8 and packed.size:
        padded = packed[:, -1] & (0xFF >> (bits % 8))
        if padded.any():
            row = int(np.argmax(padded != 0))
            raise DataError(f"codes: row {row} has pad bits set past bit {bits - 1}{hint(packed, bits)}")
