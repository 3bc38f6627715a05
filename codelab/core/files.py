"""The file format: one Parquet file of codes, or a folder of them; also reads NumPy files.

Columns: `code` fixed-size binary; `label` int32 (-1 = none) or `labels` lists of class numbers; `logits` and
`features` fixed-size lists; every item column under its own name. Provenance is JSON under the schema key `codelab`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from codelab.core.arrays import read_only
from codelab.core.codes import FORMAT, Codes
from codelab.core.errors import DataError, UsageError, first_line, located, shortened
from codelab.core.inside import inside
from codelab.core.io import atomic_path
from codelab.core.limits import check_unpacked, most_bytes
from codelab.core.numpy_files import codes_from_numpy, codes_from_others
from codelab.core.packings import looks_foreign
from codelab.core.parquet import READ_ERRORS, Source, leaves, open_parquet, read_blocks, read_whole
from codelab.core.run_folder import ENCODER, codes_file
from codelab.core.seal import ENTRY, check_seal, seal

KEY = b"codelab"
COLUMNS = ("code", "label", "labels", "logits", "features")
ROW_GROUP = 1 << 16
WRITE: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
"""Page checksums: damaged bytes give an error, never other codes."""
PART_KEY, EXPORT_KEY = "part_key", "export_key"
"""Provenance: a hash of everything that a part of an export, or the whole, was made from."""
_OWN = ("bits", "classes", "multilabel", *ENTRY)
"""Entries of the header that are not provenance."""


def load(path: str | Path, *, bits: int | None = None, packing: str | None = None) -> Codes:
    """Codes from a codelab Parquet file, a folder of them, a run folder, a NumPy file; with `packing` from others.

    A `.npy` array, or the entry `codes`, `packed` or `bits` of an `.npz`, may hold 0/1 or -1/+1 values `[N, B]`, or
    packed bytes (uint8 with values above 1). An `.npz` may also hold `labels` (or `label`), `classes`, `ids`,
    `logits`, `features`; a warning names other entries.

    Args:
        path: a `.parquet`, `.npy` or `.npz` file, a folder of parts, or a run folder (its `codes.parquet`).
        bits: B of packed bytes from NumPy, where it is not a multiple of 8.
        packing: how another program packed the bits of a NumPy file, of a FAISS IndexBinaryFlat or of a text file with
            one code a line: one of `codelab.core.packings.PACKINGS`.

    Raises:
        UsageError: there is no such path, its ending is unknown, or the folder holds no codes.
        DataError: the file is truncated, foreign, of a newer format, or holds anything `Codes` refuses.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    path = codes_file(path)
    if path.suffix in (".npy", ".npz"):
        return codes_from_numpy(path, bits, packing)
    if not path.is_dir() and path.suffix != ".parquet":
        if foreign := looks_foreign(path) or ("a text file of 0 and 1" if packing == "text" else ""):
            return codes_from_others(path, foreign, bits, packing)
        raise UsageError(f"{path}: expected a .parquet, .npy or .npz file, or a folder of .parquet files")
    if packing is not None:
        raise UsageError(f"{path}: packing={packing!r} is for files of other programs, these are codelab's own codes")
    parts, head = code_parts(path)
    size = sum(part.path.stat().st_size for part in parts)
    most = most_bytes(size)
    with ThreadPoolExecutor(1) as pool:  # hashing takes a fifth of the time of reading, and runs beside it
        sealed = pool.map(check_seal, [part.path for part in parts])
        tables: list[pa.Table] = []
        taken = 0
        for part in parts:
            tables.append(read_whole(part))
            taken += tables[-1].nbytes
            check_unpacked(path, taken, "its parts", size=size)
        list(sealed)
    try:
        table = pa.concat_tables(tables)
    except READ_ERRORS as error:
        raise DataError(f"{path}: its parts do not fit together ({first_line(error)})") from None
    return located(path, lambda: table_codes(table, head, most))


def iter_codes(path: str | Path, *, rows: int = ROW_GROUP, columns: Sequence[str] | None = None) -> Iterator[Codes]:
    """The codes of a Parquet file or folder in blocks, so that only one block is in memory.

    Args:
        path: a codelab `.parquet` file, or a folder of them.
        rows: the most rows a block has.
        columns: item columns and `logits`, `features` to read; default all. Codes, ids and labels always come.

    Raises:
        UsageError, DataError: as `load`.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    path = codes_file(path)
    parts, head = code_parts(path)
    for part in parts:
        names = part.file.schema_arrow.names
        wanted = [n for n in names if columns is None or n in (*columns, "id", "code", "label", "labels")]
        check_seal(part.path)
        for table in read_blocks(part, wanted, rows):
            yield located(path, partial(table_codes, table, head, part.most))


def write(codes: Codes, path: str | Path) -> None:
    """Write codes as one Parquet file, atomically."""
    path = Path(path)
    if path.suffix != ".parquet":
        raise UsageError(f"{path}: expected a name ending in .parquet")
    with atomic_path(path) as part:
        pq.write_table(codes_table(codes), part, row_group_size=ROW_GROUP, **WRITE)
        seal(part)


def merge(parts: Sequence[Path], path: Path, meta: dict[str, Any], *, keys: Sequence[str]) -> None:
    """Join part files into one, a row group at a time, with `meta` as the provenance of the whole.

    Args:
        keys: the `part_key` that each part must have.

    Raises:
        DataError: a part has another key, or cannot be read.
    """
    first = pq.ParquetFile(parts[0]).schema_arrow
    head = {**_head(parts[0], first), "format": FORMAT, **meta, **ENTRY}
    head = {name: value for name, value in head.items() if name not in (PART_KEY, "bad")}
    schema = first.with_metadata({KEY: json.dumps(head).encode()})
    with atomic_path(path) as whole:
        with pq.ParquetWriter(whole, schema, **WRITE) as writer:
            waiting: list[pa.Table] = []  # small parts are joined into larger row groups, which read faster
            for part, key in zip(parts, keys, strict=True):
                for table in _groups(part, key):
                    waiting.append(table.cast(schema))
                    if sum(table.num_rows for table in waiting) >= ROW_GROUP:
                        writer.write_table(pa.concat_tables(waiting))
                        waiting.clear()
            if waiting:
                writer.write_table(pa.concat_tables(waiting))
        seal(whole)


def _groups(part: Path, key: str) -> Iterator[pa.Table]:
    """The row groups of a part that has this key."""
    try:
        check_seal(part)
        file = pq.ParquetFile(part, page_checksum_verification=True)
        if _head(part, file.schema_arrow).get(PART_KEY) != key:
            raise DataError(f"{part}: a part of another export; the same call makes it again")
        groups = (file.read_row_group(group) for group in range(file.num_row_groups))
        while (table := next(groups, None)) is not None:
            yield table
    except READ_ERRORS as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{part}: damaged ({first_line(error)}); the same call makes it again") from None


def part_files(path: Path) -> list[Path]:
    """The `.parquet` files of a folder in order of name, numbers by their size (part-2 before part-10); or the path.

    Example:
        >>> part_files(Path("codes.parquet"))[0].name
        'codes.parquet'
    """

    def pieces(file: Path) -> tuple[list[tuple[float, str]], str]:
        # a number is never compared with a text: each piece is (number, "") or (infinity, text)
        found = re.findall(r"[0-9]+|[^0-9]+", file.stem)
        return [(int(piece), "") if piece[0] in "0123456789" else (math.inf, piece) for piece in found], file.name

    return sorted(path.glob("*.parquet"), key=pieces) if path.is_dir() else [path]


def code_parts(path: Path) -> tuple[list[Source], dict[str, Any]]:
    """The `part_files` of a path, opened, and their header: bits, classes, multilabel, provenance.

    Each file is checked: it is of this format, and its bits, classes and multilabel are those of the first.

    Raises:
        UsageError, DataError: as `load`.
    """
    path = codes_file(path)
    names = part_files(path)
    parts: list[Source] = []
    first: dict[str, Any] = {}
    for name in names:
        part = open_parquet(name)
        head = _head(name, part.file.schema_arrow)
        columns = part.file.schema_arrow.names
        twice = next((column for column in columns if columns.count(column) > 1), None)
        if twice is not None:
            raise DataError(f"{name}: column {twice!r} is there twice")
        for needed in ("code", "labels") if head["multilabel"] else ("code",):
            if needed not in columns:
                raise DataError(f"{name}: no column {needed!r}; found {', '.join(columns)}")
        first = first or head
        for key in ("bits", "classes", "multilabel"):
            if head[key] != first[key]:
                raise DataError(f"{name}: {key} {head[key]} differs from {first[key]} in {names[0].name}")
        parts.append(part)
    return parts, first


def find_checkpoint(codes: Codes, path: str | Path, *, root: Path | None = None) -> Path | None:
    """The encoder that made the codes: the path in their provenance, else `encoder.safetensors` beside their file.

    With `root` only a file in that folder, links resolved.
    """
    encoder = codes.meta.get("encoder")
    recorded = encoder.get("path") if isinstance(encoder, dict) else None
    named = [Path(recorded)] if isinstance(recorded, str) else []
    named.append(codes_file(path).parent / ENCODER)
    if root is not None:
        named = [found for found in (inside(p.absolute(), root) for p in named) if found]
    return next((p for p in named if p.is_file()), None)


def codes_table(codes: Codes) -> pa.Table:
    """Codes as the Arrow table that a file holds."""
    clash = [name for name in codes.items.column_names if name in COLUMNS]
    if clash:
        raise DataError(f"items: a column named {clash[0]!r} cannot be saved, the file uses that name itself")
    table = codes.items.replace_schema_metadata()
    if codes.multilabel:
        lists = pa.array([np.flatnonzero(row).astype(np.int32) for row in codes.labels], pa.list_(pa.int32()))
        table = table.append_column("labels", lists)
    else:
        table = table.append_column("label", pa.array(codes.labels))
    width = codes.packed.shape[1]
    packed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(codes), [None, pa.py_buffer(codes.packed)])
    table = table.append_column("code", packed)
    for name in ("logits", "features"):
        values = getattr(codes, name)
        if values is not None:
            table = table.append_column(name, pa.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1]))
    head = {
        **ENTRY,
        "bits": codes.bits,
        "classes": list(codes.classes),
        "multilabel": codes.multilabel,
        **codes.meta,
        **ENTRY,
    }
    return table.replace_schema_metadata({KEY: json.dumps(head, allow_nan=False).encode()})


def table_codes(table: pa.Table, head: dict[str, Any], most: int) -> Codes:
    """The inverse of `codes_table`; `head` is the header that `code_parts` returns, `most` the bytes it may take.

    Raises:
        DataError: a column has the wrong type or width, or holds an empty value.
    """
    bits, classes, multilabel = head["bits"], head["classes"], head["multilabel"]
    column = table["code"]
    width = (bits + 7) // 8
    if not pa.types.is_fixed_size_binary(column.type) or column.type.byte_width != width:
        raise DataError(f"column 'code' is {column.type}, expected fixed_size_binary[{width}] for {bits} bits")
    _no_nulls(column, "code")
    reals = {name: _matrix(table, name) for name in ("logits", "features") if name in table.column_names}
    items = table.drop_columns([c for c in COLUMNS if c in table.column_names]).replace_schema_metadata()
    for name in items.column_names:
        _check_item(items[name], name)
    if multilabel and table.num_rows * len(classes) > most:
        raise DataError(f"labels: {table.num_rows} rows of {len(classes)} classes, more than its size justifies")
    return Codes(
        packed=_bytes(column, width),
        bits=bits,
        labels=_labels(table, len(classes), multilabel),  # type: ignore[arg-type]
        classes=tuple(classes),
        items=items,
        logits=reals.get("logits"),
        features=reals.get("features"),
        meta={name: value for name, value in head.items() if name not in _OWN},
    )


def _head(name: Path, schema: pa.Schema) -> dict[str, Any]:
    raw = (schema.metadata or {}).get(KEY)
    if raw is None:
        raise DataError(f"{name}: a Parquet file, but not of codes (no key 'codelab' in its schema)")
    try:
        head: dict[str, Any] = json.loads(raw)
        bits, classes, version = head["bits"], head["classes"], head["format"]
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise DataError(f"{name}: its provenance cannot be read ({first_line(error)})") from None
    if version != FORMAT:
        raise DataError(f"{name}: format {shortened(repr(version), 60)}, this codelab reads format {FORMAT}")
    if not isinstance(bits, int) or not isinstance(classes, list):
        found = shortened(repr(bits), 60)
        raise DataError(f"{name}: its provenance has bits {found}, expected a whole number, and a list of classes")
    odd = next((one for one in classes if isinstance(one, dict | list)), None)
    if odd is not None:
        raise DataError(f"{name}: its classes hold {type(odd).__name__}, expected names")
    head.setdefault("multilabel", False)
    return head


def _check_item(column: pa.ChunkedArray, name: str) -> None:
    """Refuse texts that are not UTF-8, and times that Python has no value for."""
    try:
        column.validate(full=True)
        for chunk in column.chunks:
            for leaf in leaves(chunk):
                values = leaf.dictionary if pa.types.is_dictionary(leaf.type) else leaf
                if pa.types.is_temporal(values.type) and len(values):
                    for extreme in pc.min_max(values).values():
                        extreme.as_py()
    except READ_ERRORS as error:
        raise DataError(f"column {name!r} cannot be read ({first_line(error)})") from None


def _bytes(column: pa.ChunkedArray, width: int) -> np.ndarray:
    blocks = []
    for chunk in column.chunks:
        flat = np.frombuffer(chunk.buffers()[1], dtype=np.uint8)
        blocks.append(flat[chunk.offset * width : (chunk.offset + len(chunk)) * width].reshape(-1, width))
    return read_only(np.concatenate(blocks)) if blocks else np.empty((0, width), dtype=np.uint8)


def _labels(table: pa.Table, classes: int, multilabel: bool) -> np.ndarray | None:
    if not multilabel:
        if "label" not in table.column_names:
            return None
        _no_nulls(table["label"], "label")
        return table["label"].to_numpy()
    lists = table["labels"].combine_chunks()
    if not pa.types.is_list(lists.type) or not pa.types.is_integer(lists.type.value_type):
        raise DataError(f"column 'labels' is {lists.type}, expected lists of class numbers")
    rows, numbers = pc.list_parent_indices(lists).to_numpy(), lists.flatten()
    _no_nulls(pa.chunked_array([numbers]), "labels")
    named = numbers.to_numpy()
    wrong = (named < 0) | (named >= classes)
    if wrong.any():
        first = int(wrong.argmax())
        raise DataError(f"labels: row {rows[first]} names class {named[first]}, expected 0 to {classes - 1}")
    out = np.zeros((len(lists), classes), dtype=bool)
    out[rows, named] = True
    return out


def _matrix(table: pa.Table, name: str) -> np.ndarray:
    column = table[name]
    if not pa.types.is_fixed_size_list(column.type):
        raise DataError(f"column {name!r} is {column.type}, expected a fixed-size list")
    _no_nulls(column, name)
    flat = column.combine_chunks().flatten() if len(column) else pa.array([], column.type.value_type)
    values = flat.combine_chunks() if isinstance(flat, pa.ChunkedArray) else flat
    return values.to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)


def _no_nulls(column: pa.ChunkedArray, name: str) -> None:
    if column.null_count:
        row = column.is_null().to_numpy().argmax()
        raise DataError(f"column {name!r}: row {row} is empty")
