"""The seal: SHA-256 of a file's own bytes, kept inside it, so that bit rot is found.

A Parquet or safetensors file of ours keeps, in the JSON under its key `codelab`, the entry

    "seal": "<bytes of the file> <SHA-256 of its data> <SHA-256 of its header>"

The header is what says how the data is read: the footer of Parquet with the eight bytes after it, the length and JSON
of safetensors. Its hash is taken with its own 64 digits as zeros; it covers the hash of the data, so that a reader of
a few columns checks the header alone.

Another program that writes the file anew may copy the entry. The file's size then differs from the one in the seal:
such a file is read as one without a seal, as bit rot never changes a size.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

from codelab.core.errors import DataError
from codelab.core.io import bytes_sha256, check_regular

BLANK = f"{0:015d} {'0' * 64} {'0' * 64}"
"""What a writer puts into the JSON, as its first entry; `seal` fills it in."""
ENTRY = {"seal": BLANK}
UNSEALED, REWRITTEN, SEALED = "no SHA-256", "no SHA-256 since another program wrote it anew", "SHA-256 as written"

_DIGITS = re.compile(rb"\d{15} [0-9a-f]{64} [0-9a-f]{64}")
_KEY = re.compile(rb'\{\\?"seal\\?": \\?"')
_CHUNK = 1 << 20


class _Layout(NamedTuple):
    """Where the header lies in a file, what it holds, and where the digits of the seal are in it."""

    size: int
    start: int
    header: bytes
    digits: re.Match[bytes] | None


def seal(path: str | Path) -> None:
    """Fill in the blank seal of a file that is complete; a file without one stays as it is.

    Raises:
        OSError: the file cannot be read or written.
    """
    with Path(path).open("r+b") as file:
        layout = _layout(file)
        if layout is None or layout.digits is None:
            return
        start, stop = layout.digits.span()
        written = f"{layout.size:015d} {_data_sha256(file, layout)} ".encode()
        header = layout.header[:start] + written + b"0" * 64 + layout.header[stop:]
        file.seek(layout.start + start)
        file.write(written + hashlib.sha256(header).hexdigest().encode())


def check_seal(path: str | Path, *, data: bool = True) -> str:
    """`SEALED` where the bytes of a file are those that were sealed, `UNSEALED` or `REWRITTEN` where nothing says so.

    Args:
        path: a Parquet or safetensors file.
        data: check all of it; otherwise its header alone.

    Raises:
        DataError: the bytes are others.
        OSError: the file cannot be read, or is not a regular one.
    """
    check_regular(Path(path))
    with Path(path).open("rb") as file:
        layout = _layout(file)
        if layout is None or layout.digits is None:
            if layout and _KEY.search(layout.header):
                raise DataError(f"{path}: damaged, its SHA-256 cannot be read")
            return UNSEALED
        size, data_sha256, header_sha256 = layout.digits[0].decode().split()
        start, end = layout.digits.span()
        own_size = f"{layout.size:015d}".encode()  # so that a changed digit is not taken for another program's file
        kept = layout.header[start + 15 : end - 64]
        blank = layout.header[:start] + own_size + kept + b"0" * 64 + layout.header[end:]
        header_as_written = hashlib.sha256(blank).hexdigest() == header_sha256
        if int(size) != layout.size:
            if header_as_written:
                raise DataError(f"{path}: damaged, its SHA-256 is that of a file of {int(size)} bytes")
            return REWRITTEN
        if not header_as_written:
            raise DataError(f"{path}: damaged, its header is not the one that was written (SHA-256 differs)")
        if data and _data_sha256(file, layout) != data_sha256:
            raise DataError(f"{path}: damaged, its data is not what was written (SHA-256 differs)")
        return SEALED


def file_sha256(path: str | Path) -> str:
    """A hash of what a file holds, as hex digits: the one in its seal, which is not checked here, else of its bytes.

    Raises:
        OSError: the file cannot be read, or is not a regular one.
    """
    check_regular(Path(path))
    with Path(path).open("rb") as file:
        layout = _layout(file)
        if layout is not None and layout.digits is not None:
            size, _, header_sha256 = layout.digits[0].decode().split()
            if int(size) == layout.size:
                return header_sha256
    return bytes_sha256(Path(path))


def _layout(file: BinaryIO) -> _Layout | None:
    """Where the header is; None where the file has no header of either kind."""
    size = file.seek(0, os.SEEK_END)
    if size < 16:
        return None
    file.seek(size - 8)
    length, end = int.from_bytes(file.read(4), "little"), file.read(4)
    if end == b"PAR1" and length <= size - 12:
        start, length = size - 8 - length, length + 8
    else:
        file.seek(0)
        start, length = 0, 8 + int.from_bytes(file.read(8), "little")
        if length > size:
            return None
    file.seek(start)
    header = file.read(length)
    return _Layout(size, start, header, _DIGITS.search(header))


def _data_sha256(file: BinaryIO, layout: _Layout) -> str:
    """The hash of what lies before the header, or after it."""
    digest = hashlib.sha256()
    start, left = (0, layout.start) if layout.start else (len(layout.header), layout.size - len(layout.header))
    file.seek(start)
    while left and (chunk := file.read(min(_CHUNK, left))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()
