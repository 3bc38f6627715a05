"""NumPy files from strangers: only the entries that are wanted are read, and none is larger than its file allows."""

from __future__ import annotations

import io
import lzma
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from codelab.core.codes import Codes
from codelab.core.errors import CodelabError, DataError, UsageError, located, unreadable
from codelab.core.io import check_regular
from codelab.core.limits import check_unpacked
from codelab.core.packings import hint, read_foreign

HOLDS = "codes, packed or bits, and labels (or label), classes, ids, logits, features"
NUMPY_ERRORS = (
    *(ValueError, TypeError, OverflowError, SyntaxError, KeyError, OSError, EOFError, MemoryError),
    *(RuntimeError, NotImplementedError),  # an entry that is encrypted, or compressed in an odd way
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError),
)
PLAIN = "NumPy file of plain numbers"
LONGEST_HEADER = 10_000
TEXT = 100
"""Bytes of a text of Python beside its letters."""
_KINDS = "biufUS"
_LISTED = ("classes", "ids")
"""Entries whose values become texts."""


def codes_from_numpy(path: Path, bits: int | None, packing: str | None = None) -> Codes:
    """The codes of a `.npy` or `.npz` file; `codelab.load` says what it may hold.

    Raises:
        DataError: the file is damaged or foreign, asks for too much memory, or holds anything `Codes` refuses.
    """
    if path.suffix == ".npz":
        wanted = ("codes", "packed", "bits", "label", "labels", "logits", "features", *_LISTED)
        arrays, names = read_npz(path, wanted)
    else:
        arrays, names = {"codes": read_npy(path)}, ["codes"]
    name = next((key for key in ("codes", "packed", "bits") if key in arrays), None)
    if name is None:
        raise DataError(f"{path}: expected an entry 'codes', 'packed' or 'bits'; found {', '.join(names) or 'none'}")
    if "label" in arrays and "labels" in arrays:
        raise DataError(f"{path}: found the entries 'label' and 'labels', expected one of them")
    known: dict[str, Any] = {key: arrays[key] for key in ("labels", "logits", "features") if key in arrays}
    if "label" in arrays:
        known["labels"] = arrays["label"]
    if unread := sorted(set(names) - {name, "label", *_LISTED, *known}):
        warnings.warn(f"{path}: not read: {', '.join(unread)}; an .npz holds {HOLDS}", UserWarning, stacklevel=4)
    if "classes" in arrays:
        known["classes"] = tuple(str(c) for c in np.atleast_1d(arrays["classes"]).ravel().tolist())
    if "ids" in arrays:
        known["items"] = pa.table({"id": [str(i) for i in np.atleast_1d(arrays["ids"]).ravel().tolist()]})
    meta = {"source": path.name}
    values = arrays[name]

    def make() -> Codes:
        if packing is not None:
            return Codes.from_packed(values, bits, meta=meta, packing=packing, **known)
        if values.ndim != 2:
            found = f"shape {list(values.shape)}{hint(values)}"
            raise DataError(f"{name}: expected an array [N, B] or [N, bytes], found {found}")
        if name == "packed" or (values.dtype == np.uint8 and values.size and values.max() > 1):
            return Codes.from_packed(values, 8 * values.shape[1] if bits is None else bits, meta=meta, **known)
        if values.dtype.kind == "f" and not np.isin(values, (-1, 0, 1)).all():
            raise DataError(f"{name}: real numbers, not codes; turn them into codes with Codes.from_logits")
        return Codes.from_bits(values, meta=meta, **known)

    return located(path, make)


def codes_from_others(path: Path, what: str, bits: int | None, packing: str | None) -> Codes:
    """The codes of a FAISS index or of a text file; `what` says in words which it is.

    Raises:
        UsageError: no packing is named.
        DataError: as `read_foreign` and `repacked`.
    """
    text = what.startswith("a text")
    if packing is None and (text or "(IBxF)" in what):  # an index of another kind is refused below
        raise UsageError(f"{path}: {what}; say packing={'text' if text else 'msb or lsb, whichever filled it'}")
    values = read_foreign(path)
    return located(path, lambda: Codes.from_packed(values, bits, meta={"source": path.name}, packing=packing))


def read_npz(
    path: str | Path, wanted: Collection[str], *, what: str = PLAIN
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Those of the `wanted` arrays that an `.npz` file has, and the names of all of its entries.

    Args:
        path: the file.
        wanted: names of arrays.
        what: the file is expected to be, for messages.

    Raises:
        DataError: the file is damaged or foreign, or a wanted array is not of plain numbers or texts, or too large.
    """
    try:
        check_regular(Path(path))
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            arrays = {}
            for name, info in entries.items():
                with archive.open(info) as file:  # also of those not wanted: a damaged name is found
                    if name not in wanted:
                        continue
                    needed = _bytes_of(file, info.file_size, each=TEXT if name in _LISTED else 0)
                check_unpacked(path, needed, f"its entry {name!r}")
                with archive.open(info) as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
            return arrays, list(entries)
    except CodelabError:
        raise
    except NUMPY_ERRORS as error:
        raise unreadable(path, f"not a whole {what}", error) from None


def read_npy(path: str | Path, *, mapped: bool = False) -> np.ndarray:
    """The array of a `.npy` file.

    Args:
        path: the file.
        mapped: leave it on disk, `numpy.memmap`.

    Raises:
        DataError: the file is damaged or foreign, or does not hold plain numbers or texts.
    """
    try:
        check_regular(Path(path))
        with Path(path).open("rb") as file:
            _bytes_of(file, Path(path).stat().st_size)
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except NUMPY_ERRORS as error:
        raise unreadable(path, f"not a whole {PLAIN}", error) from None


def _bytes_of(file: IO[bytes], size: int, *, each: int = 0) -> int:
    """Bytes of memory that an array takes, by its header; ValueError where the header is not that of the data.

    Args:
        file: at the start of the header.
        size: bytes of header and data.
        each: bytes that a value takes beside its own.
    """
    start = file.read(12)
    if start[:6] != b"\x93NUMPY":
        raise ValueError("no array, its first bytes are not those of NumPy")
    if start[6:8] == b"\x01\x00":
        length, head, read = int.from_bytes(start[8:10], "little"), 10, np.lib.format.read_array_header_1_0
    elif start[6:8] == b"\x02\x00":
        length, head, read = int.from_bytes(start[8:12], "little"), 12, np.lib.format.read_array_header_2_0
    else:
        raise ValueError(f"version {start[6]}.{start[7]} of the format, expected 1.0 or 2.0")
    if length > LONGEST_HEADER:
        raise ValueError(f"a header of {length} bytes, expected at most {LONGEST_HEADER}")
    text = start + file.read(head + length - len(start))
    shape, _, dtype = read(io.BytesIO(text[8:]))
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise ValueError(f"values of type {dtype}, expected numbers, truth values or texts")
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise ValueError(f"the shape {shape}")
    count = math.prod(shape)
    if head + length + count * dtype.itemsize != size:
        raise ValueError(f"{size - head - length} bytes of data, expected {count * dtype.itemsize}")
    return count * (dtype.itemsize + (TEXT if dtype.kind in "US" else each))
