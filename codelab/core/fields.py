"""What comes with codes, checked and brought into one form: labels, class names, items, logits, features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codelab.core.errors import DataError


def check_labels(labels: np.ndarray | None, classes: Sequence[str], n: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels of n codes as int32 `[N]` (-1 = none) or bool `[N, C]`, and the names of their classes."""
    names = tuple(str(c) for c in classes)
    if len(set(names)) < len(names):
        raise DataError(f"classes: {next(c for c in names if names.count(c) > 1)!r} is there twice")
    if labels is None:
        return np.full(n, -1, dtype=np.int32), names
    labels = np.asarray(labels)
    if len(labels) != n:
        raise DataError(f"labels: found {len(labels)}, expected one for each of {n} codes")
    if labels.ndim == 2 and labels.dtype == bool:
        if names and len(names) != labels.shape[1]:
            raise DataError(f"labels: found {labels.shape[1]} columns for {len(names)} classes")
        return np.ascontiguousarray(labels), names or tuple(str(c) for c in range(labels.shape[1]))
    if labels.ndim != 1 or (labels.dtype.kind not in "iu" and labels.size):
        raise DataError(f"labels: expected integers [N] or bool [N, C], found {labels.dtype} {list(labels.shape)}")
    top = int(labels.max()) if labels.size else -1
    if not names:
        names = tuple(str(c) for c in range(top + 1))
    if labels.size and (int(labels.min()) < -1 or top >= len(names)):
        row = int(np.argmax((labels < -1) | (labels >= len(names))))
        raise DataError(f"labels: row {row} is {labels[row]}, expected -1 (none) to {len(names) - 1}")
    return np.ascontiguousarray(labels, dtype=np.int32), names


def check_items(items: pa.Table | None, n: int) -> pa.Table:
    """The items of n codes with an `id` each, default their row number; `id`, `path` and `split` as text."""
    if items is None:
        return pa.table({"id": pa.array([str(i) for i in range(n)], pa.string())})
    if items.num_rows != n:
        raise DataError(f"items: found {items.num_rows} rows, expected one for each of {n} codes")
    if "id" not in items.column_names:
        items = items.add_column(0, "id", pa.array([str(i) for i in range(n)], pa.string()))
    for name in ("id", "path", "split"):  # numbers are fine as names, but they are names
        if name in items.column_names and items[name].type != pa.string():
            items = items.set_column(items.column_names.index(name), name, pc.cast(items[name], pa.string()))
    if items["id"].null_count:
        raise DataError(f"items: row {items['id'].is_null().to_numpy().argmax()} has no id")
    if "thumbnail" in items.column_names:
        kind = items["thumbnail"].type
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise DataError(f"items: column 'thumbnail' is {kind}, expected encoded image bytes")
    return items


def check_reals(name: str, values: np.ndarray, n: int, dtype: type) -> np.ndarray:
    """Logits or features as finite `dtype` `[N, d]`."""
    values = np.asarray(values)
    if values.ndim != 2 or len(values) != n or values.dtype.kind not in "fiu":
        raise DataError(f"{name}: expected numbers [{n}, d], found {values.dtype} {list(values.shape)}")
    check_finite(name, values)
    if dtype == np.float16:
        values = np.clip(values, -65504, 65504)  # the range of float16: a large logit must not turn infinite
    return np.ascontiguousarray(values, dtype=dtype)


def check_finite(name: str, values: np.ndarray) -> None:
    """Refuse an array `[N, d]` with a value that is NaN or infinite."""
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{name}: row {row}, column {column} is {values[row, column]}, expected a finite number")


def number_names(values: np.ndarray, classes: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class names as int32 class numbers, and the classes (default: all names, sorted); empty, None or NaN is -1."""
    texts = ["" if v is None or v != v else str(v) for v in values.tolist()]
    names = tuple(classes) or tuple(sorted(set(texts) - {""}))
    number = {name: i for i, name in enumerate(names)} | {"": -1}
    for row, text in enumerate(texts):
        if text not in number:
            raise DataError(f"labels: row {row} is {text!r}, which is not one of the {len(names)} classes")
    return np.array([number[text] for text in texts], dtype=np.int32), names


def as_table(items: Any) -> pa.Table | None:
    """Items given as a pyarrow Table, a mapping of columns or a pandas DataFrame, as a Table."""
    if items is None or isinstance(items, pa.Table):
        return items
    if isinstance(items, Mapping):
        return pa.table(dict(items))
    return pa.Table.from_pandas(items, preserve_index=False)
