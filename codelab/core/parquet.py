"""Parquet files from strangers: opened, measured and read so that a damaged or a dishonest one gives one line.

A footer says how many values a column has and how many bytes they take in the file. The memory of numbers follows
from that. A text can stand in the file once, for many rows: columns of such texts are read a few rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from codelab.core.errors import CodelabError, DataError, unreadable
from codelab.core.io import check_regular
from codelab.core.limits import check_unpacked, most_bytes
from codelab.core.pages import dictionary_size
from codelab.core.seal import check_seal

READ_ERRORS = (pa.ArrowException, OSError, ValueError, OverflowError, RecursionError, MemoryError)
"""What a damaged file raises; ValueError: names that are not UTF-8."""
ROW = 24
"""Bytes that a row of codes takes beside its columns: its id, label and number."""
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_OFFSET = 8
_REPEATING = {"RLE_DICTIONARY", "PLAIN_DICTIONARY", "DELTA_BYTE_ARRAY"}
"""Encodings in which a text stands once for many rows."""


class Source(NamedTuple):
    """An open Parquet file whose footer was checked."""

    path: Path
    file: pq.ParquetFile
    rows: int
    most: int
    """Bytes it may take in memory."""
    repeating: dict[str, int]
    """Columns whose texts could take more than `most`, and rows of them that cannot."""


def open_parquet(path: Path) -> Source:
    """Open a file, and check the seal of its footer and how much memory its columns take.

    Raises:
        DataError: it is not a whole Parquet file, its footer is damaged, or it would take too much memory.
    """
    try:
        check_regular(path)
        check_seal(path, data=False)
        # no buffering of whole row groups: readers in blocks hold only one block
        file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False, buffer_size=1 << 20)
        most = most_bytes(path.stat().st_size)
        with path.open("rb") as raw:
            return Source(path, file, file.metadata.num_rows, most, _repeating(path, file, raw, most))
    except CodelabError:
        raise
    except READ_ERRORS as error:
        raise unreadable(path, "not a whole Parquet file", error) from None


def read_whole(source: Source) -> pa.Table:
    """All rows.

    Raises:
        DataError: the file cannot be read to its end, or takes too much memory.
    """
    names = source.file.schema_arrow.names
    plain = [name for name in names if name not in source.repeating]
    texts = [name for name in names if name in source.repeating]
    try:
        table = source.file.read(columns=plain)
        if texts:
            blocks = list(_small_batches(source, texts, source.rows))
            few = pa.Table.from_batches(blocks) if blocks else source.file.read(columns=texts)
            columns = [few[name] if name in source.repeating else table[name] for name in names]
            table = pa.Table.from_arrays(columns, schema=source.file.schema_arrow)
        return table
    except CodelabError:
        raise
    except READ_ERRORS as error:
        raise unreadable(source.path, "cannot be read to its end", error) from None


def read_blocks(source: Source, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """The rows in order, at most `rows` at a time.

    Raises:
        DataError: as `read_whole`.
    """
    waiting: list[pa.RecordBatch] = []
    try:
        for batch in _small_batches(source, columns, rows):
            if sum(len(one) for one in waiting) + len(batch) > rows:
                yield pa.Table.from_batches(waiting)
                waiting = []
            waiting.append(batch)
        if waiting:
            yield pa.Table.from_batches(waiting)
    except CodelabError:
        raise
    except READ_ERRORS as error:
        raise unreadable(source.path, "cannot be read to its end", error) from None


def _small_batches(source: Source, columns: Sequence[str], block: int) -> Iterator[pa.RecordBatch]:
    """Batches so small that each fits in memory, whatever its texts; those of `block` rows together must fit too."""
    rows = max(1, min([block, *(source.repeating[name] for name in columns if name in source.repeating)]))
    held = taken = 0
    for batch in source.file.iter_batches(batch_size=rows, columns=columns):
        if held + len(batch) > block:
            held = taken = 0
        held, taken = held + len(batch), taken + batch.nbytes
        if taken > source.most:
            check_unpacked(source.path, taken * source.rows // held, f"the texts of its {source.rows} rows")
        yield batch


def _repeating(path: Path, file: pq.ParquetFile, opened: BinaryIO, most: int) -> dict[str, int]:
    """The columns whose texts could take too much; refuses a file whose numbers do."""
    about, schema = file.metadata, file.schema
    known = about.num_rows * ROW
    worst: dict[str, int] = {}  # bytes that texts take if each value is as long as the column has bytes in the file
    longest: dict[str, int] = {}
    nested: set[str] = set()
    for group in range(about.num_row_groups):
        for number in range(about.num_columns):
            column, name = about.row_group(group).column(number), schema.column(number).path
            values, size = column.num_values, column.total_uncompressed_size
            dictionary = dictionary_size(opened, column) if about.row_group(group).num_rows else 0
            if values < 0 or size < 0:
                raise DataError(f"{path}: not a whole Parquet file (column {name!r} has a negative size)")
            if column.physical_type != "BYTE_ARRAY":
                known += values * (_WIDTHS.get(column.physical_type) or schema.column(number).length)
                continue
            known += values * _OFFSET + size
            if not _REPEATING.isdisjoint(column.encodings):
                worst[name] = worst.get(name, 0) + values * size
                delta = "DELTA_BYTE_ARRAY" in column.encodings
                longest[name] = max(longest.get(name, 0), size if delta else dictionary)
            if schema.column(number).max_repetition_level:
                nested.add(name)
    what = f"its {about.num_rows} rows"
    check_unpacked(path, known, what)
    if known + sum(worst.values()) <= most:
        return {}
    for name in sorted(nested & set(worst)):  # a row can hold any number of texts, so that few rows do not help
        known += _texts(path, file, name)
        check_unpacked(path, known, what)
    text = {name: max(1, most // max(longest[name], 1) // len(worst)) for name in worst if name not in nested}
    return {_top(file, name): rows for name, rows in text.items()}


def _top(file: pq.ParquetFile, path: str) -> str:
    """The column of the table that a path in the file's own schema is in."""
    return path if path in file.schema_arrow.names else path.split(".")[0]


def _texts(path: Path, file: pq.ParquetFile, name: str) -> int:
    """Bytes of the texts in a column of lists, each counted as often as it occurs."""
    dictionary = pq.ParquetFile(path, read_dictionary=[name], pre_buffer=False, buffer_size=1 << 20)
    total = 0
    for batch in dictionary.iter_batches(columns=[name]):
        for leaf in leaves(batch.column(0)):
            if pa.types.is_dictionary(leaf.type):
                lengths = pc.binary_length(leaf.dictionary).take(leaf.indices)
                total += pc.sum(lengths).as_py() or 0
    return total


def leaves(array: pa.Array) -> Iterator[pa.Array]:
    """The flat arrays that a column of lists and structs is made of; the column itself where it is flat."""
    if pa.types.is_nested(array.type):
        if pa.types.is_struct(array.type) or pa.types.is_union(array.type):
            inner = [array.field(i) for i in range(array.type.num_fields)]
        elif pa.types.is_map(array.type):
            inner = [array.keys, array.items]
        else:
            inner = [array.flatten()]
        for one in inner:
            yield from leaves(one)
    else:
        yield array
