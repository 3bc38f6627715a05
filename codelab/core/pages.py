"""The pages of a Parquet column, walked by their headers: how much each unpacks to, before Arrow makes room for it.

Arrow allocates what the header of a page claims, which nothing in the footer limits. A header is a struct in Thrift's
compact protocol; its fields 1, 2 and 3 are the page's kind, its unpacked size and its size in the file.
"""

from __future__ import annotations

from typing import BinaryIO

import pyarrow.parquet as pq

_LONGEST_HEADER = 1 << 14
"""Bytes: its statistics hold two texts of at most 4 kB."""
_DICTIONARY = 2
_DEEPEST = 8
_FIXED = {1: 0, 2: 0, 3: 1, 7: 8}
"""Bytes of truth values, which are in the field's own byte, of a byte, and of a real number."""
_WHOLE, _TEXT, _LIST, _SET, _STRUCT = (4, 5, 6), 8, 9, 10, 12


def dictionary_size(file: BinaryIO, column: pq.ColumnChunkMetaData) -> int:
    """Bytes of a column's dictionary, 0 where it has none.

    Args:
        file: the Parquet file, opened for reading.
        column: one column of one row group, as the footer describes it.

    Raises:
        ValueError: a page is larger than the footer allows, or its header cannot be read.
    """
    place = column.data_page_offset
    if column.dictionary_page_offset:
        place = min(place, column.dictionary_page_offset)
    stop = place + column.total_compressed_size
    left, dictionary = column.total_uncompressed_size, 0
    while place < stop:
        file.seek(place)
        kind, unpacked, packed, length = _header(file.read(min(_LONGEST_HEADER, stop - place)))
        left -= unpacked
        place += length + packed
        if unpacked < 0 or packed < 0 or left < 0 or place > stop:
            raise ValueError(f"a page of {column.path_in_schema!r} is larger than its column")
        dictionary = max(dictionary, unpacked if kind == _DICTIONARY else 0)
    return dictionary


def _header(data: bytes) -> tuple[int, int, int, int]:
    """Kind, unpacked size and size of a page, and the length of its header."""
    fields = {1: -1, 2: -1, 3: -1}
    place = number = 0
    try:
        while data[place]:
            number, kind, place = _field(data, place, number)
            if kind in _WHOLE:
                value, place = _varint(data, place)
                fields[number] = value >> 1 ^ -(value & 1)
            else:
                place = _skipped(data, place, kind, 0)
    except IndexError:
        raise ValueError("the header of a page is cut short") from None
    return fields[1], fields[2], fields[3], place + 1


def _field(data: bytes, place: int, last: int) -> tuple[int, int, int]:
    """The number and type of a field, and where its value begins."""
    step, kind = data[place] >> 4, data[place] & 15
    if step:
        return last + step, kind, place + 1
    value, place = _varint(data, place + 1)
    return value >> 1 ^ -(value & 1), kind, place


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def _skipped(data: bytes, place: int, kind: int, depth: int) -> int:
    """Where the value of a field ends."""
    if depth > _DEEPEST:
        raise ValueError("the header of a page is nested too deep")
    if kind in _FIXED:
        return place + _FIXED[kind]
    if kind in _WHOLE:
        return _varint(data, place)[1]
    if kind == _TEXT:
        length, place = _varint(data, place)
        return place + length
    if kind in (_LIST, _SET):
        count, inner = data[place] >> 4, data[place] & 15
        place += 1
        if count == 15:
            count, place = _varint(data, place)
        for _ in range(min(count, len(data))):
            place = _skipped(data, place, inner, depth + 1)
        return place
    if kind == _STRUCT:
        number = 0
        while data[place]:
            number, inner, place = _field(data, place, number)
            place = _skipped(data, place, inner, depth + 1)
        return place + 1
    raise ValueError(f"the header of a page has a field of type {kind}")
