"""How much memory a file may ask for: one rule, checked before anything is built.

What a file unpacks to is at most `RATIO` times its own size, or `FLOOR`, whichever is more. Compression reaches any
ratio, so that a file of kilobytes could otherwise fill the memory. The environment variable `CODELAB_MOST_GB` is a
limit in GB in place of the rule, where a file is trusted.
"""

from __future__ import annotations

import os
from pathlib import Path

from codelab.core.errors import DataError, UsageError

RATIO = 100
FLOOR = 1 << 28
VARIABLE = "CODELAB_MOST_GB"


def most_bytes(size: int) -> int:
    """The most that a file of `size` bytes may unpack to, in bytes.

    Raises:
        UsageError: the environment variable is no number above 0.

    Example:
        >>> most_bytes(1000) == FLOOR, most_bytes(10 * FLOOR) == 1000 * FLOOR
        (True, True)
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return max(FLOOR, RATIO * size)
    try:
        most = int(float(given) * 1e9)
    except (ValueError, OverflowError):
        most = 0
    if most < 1:
        raise UsageError(f"{VARIABLE}={given!r}: expected a number of GB above 0")
    return most


def check_unpacked(path: str | Path, unpacked: int, what: str, *, size: int | None = None) -> None:
    """Refuse a file that would take too much memory.

    Args:
        path: the file.
        unpacked: bytes that it, or a part of it, would take.
        what: what would take them, in words.
        size: of the file; default: it is looked up.

    Raises:
        DataError: that is more than `most_bytes` of the file's size.
    """
    size = Path(path).stat().st_size if size is None else size
    most = most_bytes(size)
    if unpacked > most:
        raise DataError(
            f"{path}: {what} would take {in_words(unpacked)} of memory, found in a file of {in_words(size)}, expected "
            f"at most {in_words(most)}; {VARIABLE} sets another limit, in GB"
        )


def in_words(size: int) -> str:
    """A number of bytes with its unit.

    Example:
        >>> in_words(177), in_words(5_400_000_000)
        ('177 bytes', '5.4 GB')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"
