"""Packed codes from elsewhere: other orders of bits in a byte, signed bytes, texts of 0 and 1, FAISS index files.

Our own order is that of `numpy.packbits`, Milvus and PostgreSQL: bit 0 is the most significant bit of byte 0.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

from codelab.core.errors import DataError, UsageError

PACKINGS = {
    "msb": "most significant bit first, as numpy.packbits and Milvus; pad bits may be set",
    "lsb": "least significant bit first, as USearch and numpy.packbits(bitorder='little')",
    "signed": "int8, 128 less than packed bytes, as sentence-transformers' precision='binary'",
    "text": "texts of 0 and 1, as pgvector's bit(n)",
}
"""What `packing=` may be. Each takes the first B bits, and whatever fills the last byte is dropped."""

FAISS = re.compile(rb"IB[A-Za-z0-9]{2}\Z")
"""First bytes of a binary index of FAISS; `IBxF` is IndexBinaryFlat."""

FLAT = struct.Struct("<4siiq?iQ")
"""Header of an IndexBinaryFlat: name, bits, bytes a code, codes, trained, metric, bytes in all."""

_TEXT = re.compile(r"[01]+\Z")


def repacked(values: Any, bits: int | None, packing: str) -> tuple[np.ndarray, int]:
    """Codes in any packing as our own: uint8 `[N, ceil(B/8)]`, pad bits zero, and B.

    Args:
        values: uint8 or int8 `[N, bytes]`, or texts `[N]`.
        bits: B; None: all bits there are.
        packing: one of `PACKINGS`.

    Raises:
        UsageError: no such packing, or B that does not fit the values.
        DataError: values of another type, or texts that are not of 0 and 1, or of several lengths.

    Example:
        >>> repacked(np.array([[0b101]], np.uint8), 3, "lsb")[0].tolist()  # bits 1, 0, 1
        [[160]]
        >>> repacked(np.array([[32]], np.int8), 3, "signed")[0].tolist()
        [[160]]
        >>> repacked(["101", "B'001'"], None, "text")[0].tolist()
        [[160], [32]]
    """
    if packing not in PACKINGS:
        raise UsageError(f"packing={packing!r}: expected one of {', '.join(PACKINGS)}")
    if bits is not None and (isinstance(bits, bool) or not isinstance(bits, (int, np.integer))):
        raise UsageError(f"bits={bits!r}: expected a whole number")
    if packing == "text":
        unpacked = _from_texts(values)
        packed, width = np.packbits(unpacked, axis=1), unpacked.shape[1]
    else:
        packed, width = _from_bytes(np.asarray(values), packing)
    bits = width if bits is None else bits
    if packed.shape[1] != (bits + 7) // 8:
        raise UsageError(f"bits={bits}: the codes have {packed.shape[1]} bytes, for {width - 7} to {width} bits")
    if bits % 8 and packed.size:
        packed[:, -1] &= 0xFF << (-bits % 8) & 0xFF
    return packed, bits


def _from_bytes(values: np.ndarray, packing: str) -> tuple[np.ndarray, int]:
    kind = np.dtype(np.int8 if packing == "signed" else np.uint8)
    if values.dtype != kind or values.ndim != 2:
        found = f"{values.dtype} {list(values.shape)}{hint(values)}"
        raise DataError(f"codes: packing={packing!r} expects {kind} [N, bytes], found {found}")
    if packing == "signed":
        return (values.astype(np.int16) + 128).astype(np.uint8), 8 * values.shape[1]
    if packing == "lsb":
        return np.packbits(np.unpackbits(values, axis=1, bitorder="little"), axis=1), 8 * values.shape[1]
    return values.copy(), 8 * values.shape[1]


def _from_texts(values: Any) -> np.ndarray:
    """Bits bool `[N, B]` of texts `0101`, also written `B'0101'`, `[0, 1, 0, 1]` or in bytes."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "USO":
        raise DataError(f"codes: packing='text' expects texts [N], found {array.dtype} {list(array.shape)}")
    texts = [text.decode("ascii", "replace") if isinstance(text, bytes) else str(text) for text in array.tolist()]
    plain = [re.sub(r"[\s,\[\]{}'\"]|^[bB](?=')", "", text) for text in texts]
    for row, text in enumerate(plain):
        if not _TEXT.match(text):
            raise DataError(f"codes: row {row} is {texts[row][:40]!r}, expected a text of 0 and 1")
        if len(text) != len(plain[0]):
            raise DataError(f"codes: row {row} has {len(text)} bits, row 0 has {len(plain[0])}")
    if not plain:
        raise DataError("codes: found no text, expected one a code")
    return (np.frombuffer("".join(plain).encode(), np.uint8) == ord("1")).reshape(len(plain), -1)


def hint(values: np.ndarray, bits: int | None = None) -> str:
    """What an array that is no code of ours looks like, in words to end an error with; empty where unknown."""
    if values.dtype.kind in "US" and values.ndim == 1 and values.size and _plain(values[0]):
        return ": texts of 0 and 1, as pgvector writes them; say packing=text"
    if values.dtype.kind not in "iufb" or values.ndim != 2 or not values.size:
        return ""
    if values.dtype == np.int8 and not np.isin(values, (-1, 0, 1)).all():
        return ": signed bytes, as sentence-transformers' precision='binary' (packbits - 128); say packing=signed"
    if bits is not None and values.shape[1] == bits and np.isin(values, (-1, 1)).all():
        return ": unpacked values of -1 and +1; use Codes.from_bits"
    if bits is not None and bits % 8 and values.dtype == np.uint8 and values.shape[1] == (bits + 7) // 8:
        if not (values[:, -1] >> (bits % 8)).any():
            return ": as if the least significant bit came first (USearch); say packing=lsb"
        return ": say packing=msb to drop them"
    return ""


def _plain(text: Any) -> bool:
    return bool(_TEXT.match(text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)))


def looks_foreign(path: Path) -> str:
    """What a file of another program is, in words: a FAISS index, or lines of 0 and 1; empty where neither."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        start = file.read(4096)
    if FAISS.match(start[:4]):
        return f"a binary index of FAISS ({start[:4].decode()})"
    line = start.split(b"\n")[0].strip()
    return "a text file of 0 and 1" if len(line) > 1 and not line.strip(b"01,[]{}'Bb \"") else ""


def read_foreign(path: Path) -> np.ndarray:
    """The bytes uint8 `[N, bytes]` of a FAISS IndexBinaryFlat, or the lines of a text file.

    Raises:
        DataError: another kind of index, or a file that is cut short.
    """
    data = path.read_bytes()
    if not FAISS.match(data[:4]):
        return np.array(data.decode("ascii", "replace").split("\n")[: -1 if data.endswith(b"\n") else None])
    if data[:4] != b"IBxF":
        found = data[:4].decode()
        raise DataError(f"{path}: a FAISS index of kind {found}, expected IBxF, an IndexBinaryFlat")
    if len(data) < FLAT.size:
        raise DataError(f"{path}: a FAISS index of {len(data)} bytes, too short for its header")
    _, bits, width, n, _, _, size = FLAT.unpack_from(data)
    if not (width > 0 and bits == 8 * width and n >= 0 and size == n * width == len(data) - FLAT.size):
        raise DataError(
            f"{path}: a FAISS index of {n} codes of {width} bytes, but {len(data) - FLAT.size} bytes of codes"
        )
    return np.frombuffer(data, np.uint8, offset=FLAT.size).reshape(n, width)
