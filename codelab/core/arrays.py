"""Arrays that come from a caller: read as NumPy arrays, and held so that nobody else can write to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from codelab.core.errors import DataError, first_line

FROZEN = (bytes, pa.Buffer, pa.Array, pa.ChunkedArray)
"""Owners of memory whose read-only NumPy view stays as it is."""


def as_array(name: str, values: Any) -> np.ndarray:
    """`values` as an array, shared where it is one already.

    Args:
        name: what an error message calls them.
        values: an array, a list of numbers, a torch tensor on the CPU, a pandas column.

    Raises:
        DataError: they cannot be read, such as lists of different lengths or a tensor that requires grad.

    Example:
        >>> as_array("bits", [[0, 1]]).shape
        (1, 2)
    """
    try:
        return np.asarray(values)
    except (RuntimeError, TypeError, ValueError) as error:
        raise DataError(f"{name}: found {type(values).__name__} that is no array ({first_line(error)})") from None


def even_rows(n: int, most: int) -> np.ndarray:
    """An even sample of at most `most` of n rows, int64, ends included.

    Example:
        >>> even_rows(10, 4).tolist(), even_rows(3, 4).tolist()
        ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.linspace(0, n - 1, min(most, n)).astype(np.int64)


def read_only(made: np.ndarray) -> np.ndarray:
    """An array that the calling code has just made, closed to writing; `owned` takes it without a copy."""
    made.flags.writeable = False
    return made


def owned(values: np.ndarray, dtype: Any = None) -> np.ndarray:
    """A contiguous read-only view of the values in memory that nobody else can write to; copied only where needed.

    Args:
        values: an array; read-only ones and read-only views of files or Arrow columns are not copied.
        dtype: of the result; default that of the values.

    Example:
        >>> given = np.zeros(2)
        >>> kept = owned(given)
        >>> given[0] = 1
        >>> kept.tolist(), owned(kept).base is kept.base
        ([0.0, 0.0], True)
    """
    out = np.ascontiguousarray(values, dtype=dtype)
    if np.may_share_memory(out, values) and not _closed(out):
        out = out.copy()
    return read_only(out).view()  # a view of read-only memory cannot be opened again


def _closed(array: np.ndarray) -> bool:
    """Whether neither the array nor any it is a view of can be written to."""
    holder: Any = array
    while isinstance(holder, np.ndarray):
        if holder.flags.writeable:
            return False
        holder = holder.base
    if holder is None or isinstance(holder, FROZEN):
        return True
    try:
        return memoryview(holder).readonly  # a mapped file
    except TypeError:
        return False
