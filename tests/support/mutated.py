"""Bytes of strangers: valid files changed in the ways in which files break, and in those that people try."""

from __future__ import annotations

import struct
import zlib

import numpy as np

WORDS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Numbers that sizes and offsets are not meant to have."""


def mutated(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """A few changes: bits, bytes, whole numbers of either order, cut, doubled, moved, or a piece of another file."""
    out = bytearray(data)
    for _ in range(rng.geometric(0.5)):
        if not out:
            break
        at = int(rng.integers(len(out)))
        if rng.random() < 0.5:  # heads are short, and most of what is read lies there
            at = min(at, int(rng.integers(256)), len(out) - 1)
        length = int(rng.integers(1, 33))
        match rng.integers(7):
            case 0:
                out[at] ^= 1 << int(rng.integers(8))
            case 1:
                out[at : at + length] = rng.bytes(length)
            case 2:
                size = int(rng.choice([1, 2, 4]))
                word = int(rng.choice(WORDS)) & ((1 << 8 * size) - 1)
                out[at : at + size] = word.to_bytes(size, "big" if rng.random() < 0.5 else "little")
            case 3:
                del out[at : at + length]
            case 4:
                out[at:at] = out[at : at + length] * int(rng.integers(1, 9))
            case 5:
                other = others[int(rng.integers(len(others)))]
                start = int(rng.integers(len(other)))
                out[at : at + length] = other[start : start + length]
            case 6:
                if rng.random() < 0.3:
                    del out[at:]
    return with_checksums(bytes(out)) if rng.random() < 0.7 else bytes(out)


def with_checksums(data: bytes) -> bytes:
    """A PNG whose checksums are right, so that what was changed is read; other bytes as they are."""
    if not data.startswith(b"\x89PNG"):
        return data
    out, at = data[:8], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        out += data[at : at + 4] + body + struct.pack(">L", zlib.crc32(body))
        at += 12 + length
    return out + data[at:]
