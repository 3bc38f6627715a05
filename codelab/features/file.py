"""A file of features -> a file of codes: streamed, with items, labels and provenance, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from codelab import __version__
from codelab.core.codes import FORMAT, Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.files import COLUMNS, KEY, WRITE, code_parts, codes_table, iter_codes
from codelab.core.io import atomic_path, bytes_sha256
from codelab.core.numpy_files import read_npy
from codelab.core.parquet import read_blocks
from codelab.core.progress import counter
from codelab.core.seal import seal
from codelab.features.coder import BLOCK, FeatureCoder
from codelab.features.sources import feature_column, finite, matrix, open_features, parquet_files

PLAIN = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    pa.types.is_temporal,
    pa.types.is_dictionary,
)
"""What a column of any Parquet file must be to become an item column: no lists, no pictures."""

Rows = Iterator[tuple[np.ndarray, pa.Table | None, np.ndarray | None]]
"""Raw features `[n, d]`, the items they belong to, and the labels of their own file."""


def binarize_file(
    source: str | Path,
    coder: FeatureCoder,
    out: str | Path,
    *,
    labels: str | Path | None = None,
    column: str | None = None,
    logits: bool = False,
    features: bool = False,
    block: int = BLOCK,
    progress: bool = True,
) -> int:
    """Code every row of a file of features and write a codes file.

    A codes file or folder with features keeps its items, labels and classes. Any other Parquet file gives its plain
    columns (text, numbers, truth values, dates) as items, and `label` as the labels; columns whose names the format
    uses itself are left out.

    Args:
        source: `.npy`, `.parquet`, or a folder of `.parquet` files.
        coder: fitted on features of the same dimensions.
        out: a name ending in .parquet.
        labels: a `.npy` file of class numbers or names `[N]`, or bool `[N, C]`; replaces labels the source has.
        column: of a Parquet file; default `features`, or the only column of lists of numbers.
        logits: also keep the margins, float16 `[N, B]`.
        features: also keep the features, float32 `[N, d]`.
        block: rows in memory at a time.
        progress: a bar on stderr where that is a terminal.

    Returns:
        N.

    Raises:
        UsageError: no such path or column, `out` is the source, or has another ending.
        DataError: a file that cannot be read, features or labels that do not fit, NaN or infinite values.
    """
    source, out = Path(source), Path(out)
    opened = open_features(source, column=column)
    coder.check_dims(opened.dims, opened.name)
    check_out(source, out)
    own = _is_codes(source)
    head = code_parts(source)[1] if own else {}
    known, classes = None, tuple(head.get("classes", ()))
    if labels is not None:
        known, classes = _number(_read_npy(Path(labels)), opened.rows, str(labels))
    elif not own and (named := _label_column(source)) is not None:
        known, classes = _number(named, opened.rows, f"{source}: column 'label'")
    meta = _provenance(source, coder, head)
    stream = _code_rows if own else _parquet_rows if source.suffix != ".npy" else None
    rows = ((raw, None, None) for raw in opened.read(block)) if stream is None else stream(source, column, block)
    start, writer = 0, None
    with atomic_path(out) as part, counter("coding", opened.rows, show=progress) as advance:
        for raw, items, own_labels in rows:
            values = finite(raw, opened.name, start)
            margins = coder.margins(values)
            stop = start + len(values)
            codes = Codes(
                packed=np.packbits(margins > 0, axis=1),
                bits=coder.bits,
                labels=own_labels if known is None else known[start:stop],  # type: ignore[arg-type]
                classes=classes,
                items=_with_ids(items, start, stop),
                logits=margins if logits else None,
                features=values if features else None,
                meta=meta,
            )
            table = codes_table(codes)
            writer = writer or pq.ParquetWriter(part, table.schema, **WRITE)
            writer.write_table(table)
            start = stop
            advance(len(values))
        if writer is None:
            raise DataError(f"{source}: found no row, expected at least 1")
        writer.close()
        seal(part)
    return start


def check_out(source: Path, out: Path) -> None:
    """Raise UsageError where codes of `source` cannot be written to `out`."""
    if out.suffix != ".parquet":
        raise UsageError(f"{out}: expected a name ending in .parquet")
    if out.resolve() == source.resolve() or source.resolve() in out.resolve().parents:
        raise UsageError(f"{out}: lies where the features are read from, {source}; name another place")


def _code_rows(source: Path, column: str | None, block: int) -> Rows:
    """From codes: their features or the column named, with items and labels."""
    name = column or "features"
    for codes in iter_codes(source, rows=block):
        if name in ("features", "logits"):
            yield getattr(codes, name), codes.items, codes.labels
        else:
            values = matrix(codes.items[name], f"{source}: column {name!r}")
            yield values, codes.items.drop_columns([name]), codes.labels


def _parquet_rows(source: Path, column: str | None, block: int) -> Rows:
    """From any other Parquet file: the feature column, and the plain columns as items."""
    for file in parquet_files(source):
        schema = file.file.schema_arrow
        name = feature_column(source, schema, column)
        plain = [f.name for f in schema if f.name not in COLUMNS and any(is_kind(f.type) for is_kind in PLAIN)]
        for table in read_blocks(file, [name, *plain], block):
            yield matrix(table[name], f"{source}: column {name!r}"), table.select(plain) if plain else None, None


def _with_ids(items: pa.Table | None, start: int, stop: int) -> pa.Table:
    """Items with an id of text in every row: the row's number in the whole file where there is none."""
    ids = pa.array([str(row) for row in range(start, stop)], pa.string())
    if items is None:
        return pa.table({"id": ids})
    if "id" not in items.column_names:
        return items.add_column(0, "id", ids)
    return items.set_column(items.column_names.index("id"), "id", items["id"].cast(pa.string()))


def _is_codes(source: Path) -> bool:
    if source.suffix == ".npy":
        return False
    return all(KEY in (file.file.schema_arrow.metadata or {}) for file in parquet_files(source))


def _label_column(source: Path) -> np.ndarray | None:
    """The column `label` of a Parquet file of any origin, whole; -1 or None where it is empty."""
    files = parquet_files(source) if source.suffix != ".npy" else []
    if not files or any("label" not in file.file.schema_arrow.names for file in files):
        return None
    tables = [table for file in files for table in read_blocks(file, ["label"], file.rows)]
    values = [value for table in tables for value in table["label"].to_pylist()]
    if any(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.array([-1 if value is None else value for value in values])


def _read_npy(path: Path) -> np.ndarray:
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    return read_npy(path)


def _number(labels: np.ndarray, rows: int, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels of any kind that `Codes` takes, as it numbers them; and the classes of the whole file."""
    if labels.ndim == 0 or len(labels) != rows:
        raise DataError(f"{name}: found {list(labels.shape)}, expected one label for each of {rows} rows")
    try:
        whole = Codes.from_packed(np.zeros((rows, 1), dtype=np.uint8), 1, labels)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    return whole.labels, whole.classes


def _provenance(source: Path, coder: FeatureCoder, head: dict[str, Any]) -> dict[str, Any]:
    """What a reader needs to trust the codes: the coder, the file of features, and the metadata of that file."""
    made_features = {"encoder": head["encoder"]} if "encoder" in head else None
    if "binarize" in head:  # its codes were not made by what made its features either
        made_features = head.get("features")
    return {
        "format": FORMAT,
        "version": __version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "encoder": {"name": coder.method, "sha256": coder.sha256, "path": None},
        "binarize": {
            "method": coder.method,
            "bits": coder.bits,
            "seed": coder.seed,
            "source": source.name,
            "source_sha256": file_sha256(source),
        },
        **{name: head[name] for name in ("transform", "data") if name in head},
        **({"features": made_features} if made_features else {}),
    }


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder, that of its Parquet files' names and hashes in order of name."""
    if not path.is_dir():
        return bytes_sha256(path)
    digest = hashlib.sha256()
    for part in sorted(path.glob("*.parquet")):
        digest.update(f"{part.name}\0{bytes_sha256(part)}\n".encode())
    return digest.hexdigest()
