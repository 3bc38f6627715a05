"""Continuous features wherever they lie (array, .npy, Parquet column), read in blocks so that N may exceed memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from codelab.core.arrays import as_array
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.files import KEY, part_files
from codelab.core.numpy_files import read_npy
from codelab.core.parquet import Source, open_parquet, read_blocks


@dataclass(frozen=True)
class Features:
    """N rows of d numbers that can be read again and again, a block at a time.

    Args:
        rows: N.
        dims: d.
        name: what an error message calls them: a path, or `features`.
        read: given a number of rows, yields the raw blocks `[<= rows, d]` in order.
        pick: given row numbers in any order, those raw rows; None where they can only be read in order.
    """

    rows: int
    dims: int
    name: str
    read: Callable[[int], Iterator[np.ndarray]]
    pick: Callable[[np.ndarray], np.ndarray] | None = None

    def blocks(self, rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """The number of the first row, and float32 `[<= rows, d]`, block after block.

        Raises:
            DataError: a value is NaN or infinite, or too large for float32.
        """
        start = 0
        for raw in self.read(rows):
            block = finite(raw, self.name, start)
            yield start, block
            start += len(block)

    def take(self, index: np.ndarray, rows: int) -> np.ndarray:
        """The rows at `index`, ascending: float32 `[len(index), d]`, in one pass of blocks."""
        out = np.empty((len(index), self.dims), dtype=np.float32)
        for start, block in self.blocks(rows):
            low, high = np.searchsorted(index, (start, start + len(block)))
            out[low:high] = block[index[low:high] - start]
        return out


def finite(raw: np.ndarray, name: str, first_row: int = 0) -> np.ndarray:
    """The numbers as contiguous float32; `first_row` is the number of the first in what `name` names.

    Raises:
        DataError: a value is NaN or infinite, or too large for float32.
    """
    with np.errstate(over="ignore"):  # becomes infinite, and is reported as what it was
        values = np.ascontiguousarray(raw, dtype=np.float32)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(
            f"{name}: row {first_row + row}, column {column} is {raw[row, column]}, "
            "expected a finite number in the range of float32"
        )
    return values


def open_features(source: Any, *, column: str | None = None) -> Features:
    """Features from an array `[N, d]`, Codes that have features, or the path of a file.

    Args:
        source: an array of numbers (a memory map stays on disk; a torch tensor on the CPU works too), `Codes`, a
            `.npy` file, a `.parquet` file with a column of lists of numbers, or a folder of such.
        column: that column; default `features`, or else the only one there is.

    Raises:
        UsageError: no such path or column, or an unknown ending.
        DataError: the file cannot be read, or what it holds is not numbers `[N, d]`.

    Example:
        >>> features = open_features(np.arange(6.0).reshape(3, 2))
        >>> features.rows, features.dims, [start for start, _ in features.blocks(2)]
        (3, 2, [0, 2])
    """
    if isinstance(source, Features):
        return source
    if isinstance(source, (str, Path)):
        return _from_path(Path(source), column)
    if column is not None:
        raise UsageError(f"column {column!r}: only a Parquet file has columns, found {type(source).__name__}")
    if isinstance(source, Codes):
        if source.features is None:
            raise DataError("features: these codes have none; export them with --features")
        source = source.features
    array = as_array("features", source)
    _check_array(array, "features")

    def read(rows: int) -> Iterator[np.ndarray]:
        return (array[start : start + rows] for start in range(0, len(array), rows))

    return Features(len(array), array.shape[1], "features", read, lambda index: array[index])


def feature_column(path: Path, schema: pa.Schema, column: str | None = None) -> str:
    """The column of a Parquet file that holds features: the one named, else `features`, else the only list of numbers.

    Raises:
        UsageError: there is no such column, or several could be meant.
        DataError: the column is not made of lists of numbers, or codes have no features.
    """
    lists = [field.name for field in schema if _is_vector(field.type)]
    if column is None:
        own = KEY in (schema.metadata or {})
        choice = [name for name in lists if name == "features"] or ([] if own else lists)
        if own and not choice:
            raise DataError(f"{path}: codes without features; export them with --features, or name a column")
        if len(choice) != 1:
            found = f"the columns {', '.join(lists)}; name one" if lists else f"{', '.join(schema.names) or 'none'}"
            raise UsageError(f"{path}: expected one column of lists of numbers, found {found}")
        return choice[0]
    if column not in schema.names:
        raise UsageError(f"{path}: no column {column!r}; found {', '.join(schema.names)}")
    if column not in lists:
        raise DataError(f"{path}: column {column!r} is {schema.field(column).type}, expected lists of numbers")
    return column


def parquet_files(path: Path) -> list[Source]:
    """The Parquet file at a path, or those of a folder in the order of `part_files`.

    Raises:
        DataError: there is none, or one is damaged, not a whole Parquet file, or takes too much memory.
    """
    names = part_files(path)
    if not names:
        raise DataError(f"{path}: a folder without .parquet files")
    return [open_parquet(name) for name in names]


def matrix(column: pa.Array | pa.ChunkedArray, name: str, first_row: int = 0) -> np.ndarray:
    """A column of lists of numbers, all of one length, as an array `[n, d]`.

    Raises:
        DataError: a row is empty, or two rows differ in length; rows are counted from `first_row`.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if column.null_count:
        raise DataError(f"{name}: row {first_row + int(np.argmax(column.is_null()))} is empty")
    if pa.types.is_fixed_size_list(column.type):
        dims = column.type.list_size
    else:
        lengths = np.diff(column.offsets.to_numpy())
        dims = int(lengths[0]) if len(lengths) else 0
        if (lengths != dims).any():
            row = int(np.argmax(lengths != dims))
            raise DataError(f"{name}: row {first_row + row} has {lengths[row]} numbers, row {first_row} has {dims}")
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), dims)


def _from_path(path: Path, column: str | None) -> Features:
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    if path.suffix == ".npy":
        if column is not None:
            raise UsageError(f"{path}: a .npy file has no columns, found column {column!r}")
        return _from_npy(path)
    if path.is_dir() or path.suffix == ".parquet":
        return _from_parquet(path, column)
    raise UsageError(f"{path}: expected a .npy or .parquet file of features, or a folder of .parquet files")


def _from_npy(path: Path) -> Features:
    def mapped() -> np.ndarray:
        return read_npy(path, mapped=True)

    array = mapped()
    _check_array(array, str(path))
    count, dims = array.shape
    del array

    def read(rows: int) -> Iterator[np.ndarray]:
        # mapped anew each time: pages of a map that stays open count as this process's memory
        return (mapped()[start : start + rows] for start in range(0, count, rows))

    return Features(count, dims, str(path), read, lambda index: mapped()[index])


def _from_parquet(path: Path, column: str | None) -> Features:
    files = parquet_files(path)
    names = [feature_column(path, file.file.schema_arrow, column) for file in files]
    count = sum(file.rows for file in files)
    name = f"{path}: column {names[0]!r}"

    def read(rows: int) -> Iterator[np.ndarray]:
        start, dims = 0, None
        for file, column in zip(files, names, strict=True):
            for table in read_blocks(file, [column], rows):
                block = matrix(table.column(0), name, start)
                dims = dims or block.shape[1]
                if block.shape[1] != dims:
                    raise DataError(f"{name}: row {start} has {block.shape[1]} numbers, row 0 has {dims}")
                yield block
                start += len(block)

    first = next(read(1), None)
    if first is None or first.shape[1] == 0:
        raise DataError(f"{name}: expected numbers [N, d], found {'no row' if first is None else 'empty lists'}")
    return Features(count, first.shape[1], name, read)


def _check_array(array: np.ndarray, name: str) -> None:
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiu":
        raise DataError(f"{name}: expected numbers [N, d], found {array.dtype} {list(array.shape)}")


def _is_vector(kind: pa.DataType) -> bool:
    lists = (pa.types.is_fixed_size_list, pa.types.is_list, pa.types.is_large_list)
    return any(test(kind) for test in lists) and pa.types.is_floating(kind.value_type)
