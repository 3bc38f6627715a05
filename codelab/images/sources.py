"""Where images come from: a folder, a CSV, a Parquet file or folder, the demo set."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from codelab.core.errors import DataError, UsageError, few, first_line
from codelab.core.files import KEY
from codelab.core.io import check_regular, read_regular
from codelab.images.folder import SUFFIXES, Found, find_files, words
from codelab.images.imageset import ImageSet
from codelab.images.picture import MOST_PIXELS

TAKEN = ("code", "label", "labels", "logits", "features", "thumbnail")
"""Names that attribute columns cannot have, because the codes file uses them."""
SPLITS = ("train", "val", "valid", "validation", "test")


def open_images(
    data: str | Path,
    *,
    labels_csv: str | Path | None = None,
    split: str | None = None,
    skip_bad: bool = False,
    most_pixels: int = MOST_PIXELS,
) -> ImageSet:
    """The images a user names: `demo`, a folder, or a Parquet file or folder of Parquet files with image bytes.

    A folder gives classes by subfolder (`root/class/image.jpg`, or `root/train/class/image.jpg` with splits), or by
    `labels_csv`: a CSV with the columns `path` and `label`, an optional `split`, and any attribute columns.
    A Parquet data set needs an image column of bytes, or of structs with `bytes`, as Hugging Face writes them.

    Args:
        data: the name.
        labels_csv: that table.
        split: only the images of this split.
        skip_bad: leave out, with a warning and in `left_out` of the result, what cannot be read: folders, pictures of
            other formats, `.parquet` files beside images.
        most_pixels: width times height of an image, at most; checked before its pixels are decoded.

    Raises:
        UsageError: the path, the split or a column is not there; a folder has both images and `.parquet` files that
            are no codes of codelab.
        DataError: there is no image, the table is not a data set of images, or something in the folder that may be an
            image is not read.
    """
    if str(data) == "demo":
        from codelab.images.openmoji import demo_images

        images = demo_images()
    else:
        path = Path(data)
        if not path.exists():
            raise UsageError(
                f"{path}: no such file or folder; expected a folder of images, a .parquet file, or 'demo'"
            )
        if labels_csv is not None:
            images = _from_csv(path, Path(labels_csv))
        elif path.is_dir():
            images = _from_folder(path, skip_bad=skip_bad)
        elif path.suffix == ".parquet":
            images = _from_parquet(path, [path])
        else:
            raise UsageError(f"{path}: expected a folder of images, a .parquet file, or 'demo'")
    if not len(images):
        raise DataError(f"{images.name}: no image found; looked for {', '.join(SUFFIXES)}")
    images = replace(images, most_pixels=most_pixels)
    return images.split(split) if split else images


def _from_folder(root: Path, *, skip_bad: bool) -> ImageSet:
    found = find_files(root)
    tables = found.tables
    if tables and (found.images or len(tables) > 1):
        tables = [table for table in tables if not _is_codes(table)]  # an export into the folder of its images
    if tables and found.images:
        if not skip_bad:
            raise UsageError(
                f"{root}: {len(found.images)} image files, and {few([str(table) for table in tables])}; name the "
                ".parquet data set itself, or move it away (--skip-bad leaves it out)"
            )
        found.left_out |= {str(table): "a .parquet file beside image files" for table in tables}
    if found.left_out:
        if not skip_bad:
            raise DataError(f"{root}: {words(found.left_out)}; mend or move them, or add --skip-bad")
        warnings.warn(f"{root}: {words(found.left_out)}", stacklevel=3)
    left_out = tuple(f"{path}: {reason}" for path, reason in found.left_out.items())
    by_table = found.tables and not found.images
    images = _from_parquet(root, tables or found.tables) if by_table else _from_files(root, found)
    return replace(images, left_out=left_out)


def _is_codes(table: Path) -> bool:
    """Whether codelab wrote this file, which then is no data set of images."""
    try:
        check_regular(table)
        return KEY in (pq.read_schema(table).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def _from_files(root: Path, found: Found) -> ImageSet:
    files = found.images
    relative = [file.relative_to(root) for file in files]
    tops = {path.parts[0] for path in relative if len(path.parts) > 1}
    has_splits = bool(tops) and tops <= set(SPLITS)
    depth = 1 if has_splits else 0
    class_of = [path.parts[depth] if len(path.parts) > depth + 1 else None for path in relative]
    columns: dict[str, Any] = {"id": [path.as_posix() for path in relative], "path": [str(f) for f in files]}
    if has_splits:
        columns["split"] = [path.parts[0] for path in relative]
    return _image_set(root, columns, class_of, lambda i: read_regular(files[i]))


def _from_csv(root: Path, table: Path) -> ImageSet:
    if not table.is_file():
        raise UsageError(f"{table}: no such file")
    try:
        with table.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text)
            header, rows = reader.fieldnames or [], list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: not a CSV file in UTF-8 ({error})") from None
    missing = [name for name in ("path", "label") if name not in header]
    if missing:
        raise DataError(f"{table}: no column {missing[0]!r}; found {', '.join(header) or 'an empty file'}")
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise DataError(f"{table}: line {line} does not have the {len(header)} cells of line 1")
    if not rows:
        raise DataError(f"{table}: no row below the header")
    base = root if root.is_dir() else root.parent
    files = [base / row["path"] for row in rows]
    for line, file in enumerate(files, start=2):
        if not file.is_file():
            raise DataError(f"{table}: line {line}: no file {file}")
    columns: dict[str, Any] = {"id": [row["path"] for row in rows], "path": [str(f) for f in files]}
    for name in header:
        if name not in ("path", "label", "id"):
            columns[name] = [row[name] or None for row in rows]
    return _image_set(root, columns, [row["label"] or None for row in rows], lambda i: read_regular(files[i]))


def _from_parquet(root: Path, parts: list[Path]) -> ImageSet:
    try:
        for part in parts:
            check_regular(part)
        files = [pq.ParquetFile(part, memory_map=True) for part in parts]
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{root}: not a whole Parquet file ({first_line(error)})") from None
    schema = files[0].schema_arrow
    image_column = next((f.name for f in schema if _holds_images(f.type)), None)
    if image_column is None:
        raise DataError(f"{root}: no column of image bytes; found {', '.join(schema.names)}")
    label_column = next(
        (name for name in ("label", "labels", "class", "category", "fine_label") if name in schema.names), None
    )
    others = [f.name for f in schema if f.name not in (image_column, label_column) and not pa.types.is_nested(f.type)]
    others = [name for name in others if not pa.types.is_binary(schema.field(name).type)]
    wanted = [*others, *([label_column] if label_column else [])]
    try:
        table = pa.concat_tables([file.read(columns=wanted) for file in files]) if wanted else None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{root}: its files do not have the same columns ({first_line(error)})") from None
    groups = [(file, g, file.metadata.row_group(g).num_rows) for file in files for g in range(file.num_row_groups)]
    starts = np.cumsum([0, *(rows for _, _, rows in groups)])
    n = int(starts[-1])
    lock = Lock()

    # Parquet reads whole row groups; two are kept, because a few threads ask for images in order.
    @lru_cache(maxsize=2)
    def row_group(g: int) -> pa.ChunkedArray:
        file, group, _ = groups[g]
        return file.read_row_group(group, columns=[image_column])[image_column]

    def read(i: int) -> bytes:
        g = int(np.searchsorted(starts, i, side="right")) - 1
        with lock:
            column = row_group(g)
        value = column[int(i - starts[g])].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if data is None:
            raise DataError(f"{root}: row {i} has no image bytes")
        return bytes(data)

    columns: dict[str, Any] = {"id": [str(i) for i in range(n)], "path": [f"{root}#{i}" for i in range(n)]}
    for name in others:
        columns[name] = table[name]  # type: ignore[index]
    images = _image_set(root, columns, _class_names(table, label_column, schema, n), read)
    return replace(images, tables=tuple(parts))


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _class_names(table: pa.Table | None, column: str | None, schema: pa.Schema, n: int) -> list[str | None]:
    """Class names of every row; Hugging Face keeps the names of integer labels as JSON in the schema."""
    if table is None or column is None:
        return [None] * n
    try:
        described = json.loads((schema.metadata or {})[b"huggingface"])
        names = described["info"]["features"][column]["names"]
    except (KeyError, ValueError, TypeError):  # not from Hugging Face, or not described: the numbers are the names
        names = None
    values = table[column].to_pylist()
    if names:
        return [names[v] if v is not None and 0 <= v < len(names) else None for v in values]
    return [None if v is None or v == -1 else str(v) for v in values]


def _image_set(
    root: Path, columns: dict[str, Any], class_of: list[str | None], read: Callable[[int], bytes]
) -> ImageSet:
    classes = tuple(sorted({c for c in class_of if c is not None}, key=_natural))
    number: dict[str | None, int] = {name: i for i, name in enumerate(classes)} | {None: -1}
    labels = np.array([number[c] for c in class_of], dtype=np.int32)
    for name in columns:
        if name in TAKEN:
            raise DataError(f"{root}: a column {name!r}, a name that codes files use; rename it")
    items = pa.table(columns)
    return ImageSet(str(root), items, labels, classes, read)


def _natural(name: str) -> tuple[int, int, str]:
    """Order by number where names are numbers, so that class 10 follows class 9."""
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)
