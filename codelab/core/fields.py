"""What comes with codes, checked and brought into one form: labels, class names, items, logits, features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codelab.core.arrays import as_array, owned, read_only
from codelab.core.errors import DataError

MOST_CLASSES = 100_000
"""Class numbers without names stay below this, or below the number of codes where that is larger."""


SHARED = (pa.types.is_primitive, pa.types.is_nested, pa.types.is_dictionary)
"""Kinds of columns that may lie in the memory of a NumPy array; text and bytes are always Arrow's own."""


def check_labels(labels: np.ndarray | None, classes: Sequence[str], n: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels of n codes as int32 `[N]` (-1 = none) or bool `[N, C]`, and the names of their classes."""
    names = tuple(str(c) for c in classes)
    if len(set(names)) < len(names):
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise DataError(f"classes: {twice!r} is there twice")
    if labels is None:
        return owned(np.full(n, -1, dtype=np.int32)), names
    labels = as_array("labels", labels)
    if labels.ndim == 0:
        raise DataError(f"labels: expected one for each of {n} codes, found the single value {labels[()]!r}")
    if len(labels) != n:
        raise DataError(f"labels: found {len(labels)}, expected one for each of {n} codes")
    if labels.ndim == 2 and labels.dtype == bool:
        if names and len(names) != labels.shape[1]:
            raise DataError(f"labels: found {labels.shape[1]} columns for {len(names)} classes")
        return owned(labels), names or tuple(str(c) for c in range(labels.shape[1]))
    if labels.ndim != 1 or (labels.dtype.kind not in "iu" and labels.size):
        raise DataError(f"labels: expected integers [N] or bool [N, C], found {labels.dtype} {list(labels.shape)}")
    top = int(labels.max()) if labels.size else -1
    if not names:
        if top >= max(n, MOST_CLASSES):
            raise DataError(
                f"labels: row {int(np.argmax(labels))} is {top}, too large for a class number of {n} codes without "
                "names: give classes=, or the labels as text"
            )
        names = tuple(str(c) for c in range(top + 1))
    if labels.size and (int(labels.min()) < -1 or top >= len(names)):
        row = int(np.argmax((labels < -1) | (labels >= len(names))))
        raise DataError(f"labels: row {row} is {labels[row]}, expected -1 (none) to {len(names) - 1}")
    return owned(labels, np.int32), names


def label_numbers(labels: Any, classes: Sequence[str]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Labels as a caller gives them, with names turned into numbers, and the classes.

    Whole numbers stay class numbers where some are missing (None, NaN); a missing one is -1, no label.

    Example:
        >>> label_numbers([-1, None, 1], ())[0].tolist(), label_numbers(["b", None], ())[0].tolist()
        ([-1, -1, 1], [0, -1])
    """
    names = tuple(classes)
    if labels is None:
        return None, names
    values = as_array("labels", labels)
    if values.dtype.kind not in "UO" or values.ndim != 1:
        return values, names
    listed = values.tolist()
    known = [value for value in listed if not _missing(value)]
    if known and all(isinstance(value, int | np.integer) and not isinstance(value, bool) for value in known):
        return np.array([-1 if _missing(value) else value for value in listed]), names
    return number_names(values, names)


def check_items(items: pa.Table | None, n: int) -> pa.Table:
    """The items of n codes with an `id` each, default their row number; `id`, `path` and `split` as text."""
    if items is None:
        return pa.table({"id": _row_numbers(n)})
    if items.num_rows != n:
        raise DataError(f"items: found {items.num_rows} rows, expected one for each of {n} codes")
    for place, kind in enumerate(items.schema.types):
        if any(may_be(kind) for may_be in SHARED):  # a copy, which nobody else can write to
            items = items.set_column(place, items.schema.field(place), items[place].take(pa.array(np.arange(n))))
    if "id" not in items.column_names:
        items = items.add_column(0, "id", _row_numbers(n))
    for name in ("id", "path", "split"):  # numbers are fine as names, but they are names
        if name in items.column_names and items[name].type != pa.string():
            try:
                texts = pc.cast(items[name], pa.string())
            except pa.ArrowException:
                raise DataError(f"items: column {name!r} is {items[name].type}, expected texts or numbers") from None
            items = items.set_column(items.column_names.index(name), name, texts)
    if items["id"].null_count:
        raise DataError(f"items: row {items['id'].is_null().to_numpy().argmax()} has no id")
    if "thumbnail" in items.column_names:
        kind = items["thumbnail"].type
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise DataError(f"items: column 'thumbnail' is {kind}, expected encoded image bytes")
    return items


def _row_numbers(n: int) -> pa.Array:
    return pc.cast(pa.array(np.arange(n)), pa.string())


def check_reals(name: str, values: np.ndarray, n: int, dtype: type) -> np.ndarray:
    """Logits or features as finite `dtype` `[N, d]`."""
    values = as_array(name, values)
    if values.ndim != 2 or len(values) != n or values.dtype.kind not in "fiu":
        raise DataError(f"{name}: expected numbers [{n}, d], found {values.dtype} {list(values.shape)}")
    check_finite(name, values)
    if values.dtype == dtype:
        return owned(values)
    if dtype == np.float16:
        out = np.clip(values, -65504, 65504).astype(dtype)  # the range of float16: a large logit is not infinite
        lost = (out == 0) & (values != 0)  # nor a small one 0: its sign is its bit
        out[lost] = np.copysign(np.finfo(dtype).smallest_subnormal, values[lost])
        return owned(read_only(out))
    with np.errstate(over="ignore"):  # becomes infinite, and is reported as what it was
        out = values.astype(dtype)
    check_finite(name, out, values)
    return owned(read_only(out))


def check_finite(name: str, values: np.ndarray, given: np.ndarray | None = None) -> None:
    """Refuse an array `[N, d]` with a value that is NaN or infinite; `given` is what it was converted from."""
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        found = (values if given is None else given)[row, column]
        of = "" if given is None else f" in the range of {values.dtype}"
        raise DataError(f"{name}: row {row}, column {column} is {found}, expected a finite number{of}")


def number_names(values: np.ndarray, classes: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class names as int32 class numbers, and the classes (default: all names, sorted); empty, None or NaN is -1."""
    texts = ["" if _missing(v) else str(v) for v in values.tolist()]
    names = tuple(classes) or tuple(sorted(set(texts) - {""}))
    number = {name: i for i, name in enumerate(names)} | {"": -1}
    for row, text in enumerate(texts):
        if text not in number:
            raise DataError(f"labels: row {row} is {text!r}, which is not one of the {len(names)} classes")
    return np.array([number[text] for text in texts], dtype=np.int32), names


def column_numbers(column: pa.ChunkedArray) -> tuple[np.ndarray, tuple[str, ...]]:
    """`number_names` of an item column.

    Example:
        >>> labels, names = column_numbers(pa.chunked_array([["o", "x", None], ["o", ""]]))
        >>> labels.tolist(), names
        ([0, 1, -1, 0, -1], ('o', 'x'))
    """
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return number_names(np.array(column.to_pylist(), dtype=object), ())
    parts = column.combine_chunks().dictionary_encode()
    numbers, names = number_names(np.array(parts.dictionary.to_pylist(), dtype=object), ())
    places = parts.indices.fill_null(len(numbers)).to_numpy()  # each different text is looked at once
    return np.append(numbers, np.int32(-1))[places], names


def _missing(value: Any) -> bool:
    """Whether a label is None, NaN or pandas' NA, which cannot be compared."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def as_table(items: Any) -> pa.Table | None:
    """Items given as a pyarrow Table, a mapping of columns or a pandas DataFrame, as a Table."""
    if items is None or isinstance(items, pa.Table):
        return items
    if isinstance(items, Mapping):
        return pa.table(dict(items)) if items else None
    if not hasattr(items, "columns"):
        kinds = "a pyarrow Table, a pandas DataFrame or a mapping of columns"
        raise DataError(f"items: found {type(items).__name__}, expected {kinds}")
    return pa.Table.from_pandas(items, preserve_index=False)
