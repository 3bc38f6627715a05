"""`Codes`: packed bits with their labels, items and provenance; what analyses take and exports write."""

from __future__ import annotations

import copy
import hashlib
import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bitarray import bitarray

from codelab import __version__
from codelab.core.arrays import as_array, owned, read_only
from codelab.core.bits import bit_columns, check_packed, pack_bits, select_bits, unpack_bits
from codelab.core.errors import DataError, UsageError
from codelab.core.fields import (
    as_table,
    check_finite,
    check_items,
    check_labels,
    check_reals,
    column_numbers,
    label_numbers,
)
from codelab.core.packings import repacked
from codelab.core.queries import evaluate

__all__ = ["FORMAT", "RESERVED", "STATISTIC", "Codes", "ContentHash", "pack_bits", "unpack_bits"]

FORMAT = 1
"""Version of the data type and of its Parquet file; readers refuse a newer one."""

RESERVED, STATISTIC = ("id", "path", "split", "thumbnail"), "image."
"""Item columns with a fixed meaning, and how those with a picture's statistics begin; all others are attributes."""


@dataclass(frozen=True, eq=False)
class Codes:
    """Binary codes of N images, with their labels, items and provenance.

    Args:
        packed: uint8 `[N, ceil(B/8)]`, C-contiguous, bit 0 the most significant bit of byte 0, pad bits zero.
        bits: B.
        labels: int32 `[N]`, -1 = none; or bool `[N, C]` for multi-label data. Default: no item has a label.
        classes: C names. Default: the numbers, as text.
        items: one row an image: `id`, `path`, `split`, attribute columns, optional `thumbnail` (encoded bytes).
        logits: optional float16 `[N, B]`; a bit is 1 where its logit is > 0.
        features: optional float32 `[N, d]`.
        meta: provenance: format version, creation time, encoder, transform, data set, package version.

    Its arrays are read-only: what is given is copied, where the caller could still write to it.
    `np.asarray(codes)` are the bits: uint8 `[N, B]`.

    Raises:
        DataError: shapes that do not fit each other, pad bits set, labels out of range, NaN or infinite values.

    Example:
        >>> codes = Codes.from_bits(np.eye(3, 5), labels=["cat", "dog", "cat"])
        >>> len(codes), codes.bits, codes.classes, codes.labels.tolist()
        (3, 5, ('cat', 'dog'), [0, 1, 0])
        >>> codes.code(1)
        bitarray('01000')
    """

    packed: np.ndarray
    bits: int
    labels: np.ndarray = field(default=None)  # type: ignore[arg-type]
    classes: tuple[str, ...] = ()
    items: pa.Table = field(default=None)
    logits: np.ndarray | None = None
    features: np.ndarray | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        packed = owned(as_array("codes", self.packed))  # the hash and the tiles of codes are computed once
        check_packed(packed, self.bits)
        n = len(packed)
        labels, classes = check_labels(self.labels, self.classes, n)
        _set(self, packed=packed, labels=labels, classes=classes, items=check_items(self.items, n))
        if self.logits is not None:
            logits = check_reals("logits", self.logits, n, np.float16)
            if logits.shape[1] != self.bits:
                raise DataError(f"logits: found {logits.shape[1]} columns, expected one for each of {self.bits} bits")
            _set(self, logits=logits)
        if self.features is not None:
            _set(self, features=check_reals("features", self.features, n, np.float32))
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        _set(self, meta={"format": FORMAT, "version": __version__, "created": now, **copy.deepcopy(dict(self.meta))})

    # -- from arrays --------------------------------------------------------------------------------------------------

    @classmethod
    def from_bits(
        cls,
        bits: np.ndarray,
        labels: np.ndarray | Sequence[Any] | None = None,
        classes: Sequence[str] | None = None,
        items: pa.Table | Mapping[str, Any] | Any | None = None,
        logits: np.ndarray | None = None,
        features: np.ndarray | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Codes:
        """Codes from unpacked 0/1 or -1/+1 values `[N, B]`; labels may be class numbers, names, or bool `[N, C]`.

        `items` may be a pyarrow Table, a pandas DataFrame or a mapping of columns. Among labels that are whole
        numbers, -1, None and NaN are no label.

        Raises:
            DataError: a value is neither, or anything `Codes` itself refuses.
        """
        bits = as_array("bits", bits)
        return cls.from_packed(
            read_only(pack_bits(bits)), bits.shape[1], labels, classes, items, logits, features, meta
        )

    @classmethod
    def from_packed(
        cls,
        packed: Any,
        bits: int | None,
        labels: np.ndarray | Sequence[Any] | None = None,
        classes: Sequence[str] | None = None,
        items: pa.Table | Mapping[str, Any] | Any | None = None,
        logits: np.ndarray | None = None,
        features: np.ndarray | None = None,
        meta: Mapping[str, Any] | None = None,
        packing: str | None = None,
    ) -> Codes:
        """As `from_bits`, from packed bytes: uint8 `[N, ceil(bits/8)]`, pad bits zero; or, with `packing`, as another
        program packed them (`codelab.core.packings.PACKINGS`): pad bits are then dropped, and `bits` None is all."""
        if packing is not None:
            packed, bits = repacked(packed, bits, packing)
        elif bits is None:
            raise UsageError("bits: found None, expected the number of bits of a code")
        numbers, names = label_numbers(labels, () if classes is None else classes)
        known: Any = {"labels": numbers, "classes": names, "items": as_table(items), "meta": dict(meta or {})}
        return cls(packed, bits, logits=logits, features=features, **known)

    @classmethod
    def from_logits(cls, logits: np.ndarray, **rest: Any) -> Codes:
        """Codes whose bit is 1 where the logit is > 0; the logits are kept as float16.

        Raises:
            DataError: a logit is NaN or infinite.
        """
        logits = as_array("logits", logits)
        if logits.ndim != 2:
            raise DataError(f"logits: expected an array [N, B], found shape {list(logits.shape)}")
        check_finite("logits", logits)
        return cls.from_bits(logits > 0, logits=logits, **rest)

    @classmethod
    def concat(cls, parts: Sequence[Codes]) -> Codes:
        """The rows of all parts in order; the parts must agree on bits, classes and which columns they have.

        Raises:
            DataError: there is no part, or two parts differ.
        """
        if not parts:
            raise DataError("concat: no codes given")
        first = parts[0]
        for number, part in enumerate(parts):
            for name in ("bits", "classes", "multilabel"):
                a, b = getattr(first, name), getattr(part, name)
                if a != b:
                    raise DataError(f"concat: part {number} has {name} {b}, part 0 has {a}")
            for name in ("logits", "features"):
                if (getattr(first, name) is None) != (getattr(part, name) is None):
                    raise DataError(f"concat: part {number} and part 0 do not both have {name}")

        def stack(name: str) -> Any:
            if getattr(first, name) is None:
                return None
            return read_only(np.concatenate([getattr(p, name) for p in parts]))

        return replace(
            first,
            packed=stack("packed"),
            labels=stack("labels"),
            items=pa.concat_tables([p.items for p in parts], promote_options="default"),
            logits=stack("logits"),
            features=stack("features"),
        )

    def save(self, path: str | Path) -> None:
        """Write one Parquet file, atomically; `codelab.load` reads it.

        Raises:
            DataError: an item column has a name that the file format uses itself.
        """
        from codelab.core.files import write

        write(self, path)

    # -- properties ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.packed)

    def __repr__(self) -> str:
        parts = [f"N={len(self)}", f"B={self.bits}"]
        if self.labelled:
            parts.append(f"classes={len(self.classes)}{' multi-label' if self.multilabel else ''}")
        parts += [name for name in ("logits", "features") if getattr(self, name) is not None]
        if self.splits:
            parts.append(f"split={'+'.join(self.splits)}")
        return f"Codes({', '.join(parts)})"

    @property
    def multilabel(self) -> bool:
        """Whether labels are bool `[N, C]`."""
        return self.labels.ndim == 2

    @property
    def labelled(self) -> bool:
        """Whether any item has a label."""
        return bool(self.labels.any() if self.multilabel else (self.labels >= 0).any())

    @property
    def attributes(self) -> list[str]:
        """Names of the attribute columns of `items`."""
        return [name for name in self.items.column_names if name not in RESERVED and not name.startswith(STATISTIC)]

    @cached_property
    def splits(self) -> list[str]:
        """Names of the splits present, sorted; empty when items have none."""
        if "split" not in self.items.column_names:
            return []
        return sorted(v for v in pc.unique(self.items["split"]).to_pylist() if v)

    @cached_property
    def sha256(self) -> str:
        """Content hash of bits, codes, labels and class names: the cache key of every result."""
        content = ContentHash()
        content.update(self)
        return content.hexdigest()

    @cached_property
    def columns(self) -> np.ndarray:
        """The codes transposed: uint8 `[B, ceil(N/8)]`, one packed row a bit, pad bits zero."""
        return read_only(bit_columns(self.packed, self.bits))

    # -- bits, one code, one column, queries --------------------------------------------------------------------------

    def to_bits(self) -> np.ndarray:
        """All bits unpacked: bool `[N, B]`."""
        return unpack_bits(self.packed, self.bits)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The bits as uint8 `[N, B]`: what `np.asarray(codes)` gives."""
        if copy is False:
            raise ValueError("np.asarray(codes, copy=False): the bits are unpacked, which makes a new array")
        return self.to_bits().view(np.uint8).astype(dtype or np.uint8, copy=False)

    def code(self, row: int) -> bitarray:
        """The code of one item, as a bitarray of B bits."""
        row = _whole("code", row)
        if not -len(self) <= row < len(self):
            raise UsageError(f"code {row}: there are {len(self)} codes, 0 to {len(self) - 1}")
        return bitarray(buffer=self.packed[row])[: self.bits]

    def column(self, bit: int) -> bitarray:
        """One bit of every item, as a bitarray of N bits."""
        self._check_bit(bit)
        return bitarray(buffer=self.columns[bit])[: len(self)]

    def where(self, query: str, names: Mapping[str, int] | None = None) -> bitarray:
        """The items whose bits satisfy a boolean query of bits, `~`, `&`, `^`, `|` and brackets.

        Args:
            query: such as `3 & ~17`, or with `names`, the bit of each, `"dark skin" & ~round`.

        Returns:
            bitarray of N bits; index an array with `np.array(mask.tolist(), bool)` or the codes with the mask itself.

        Raises:
            UsageError: the query is not such an expression, or names a bit the code does not have.

        Example:
            >>> codes = Codes.from_bits([[1, 0, 1], [1, 1, 0], [0, 0, 1]])
            >>> codes.where("0 & ~1 | 2")
            bitarray('101')
            >>> len(codes[codes.where("0 & ~1")])
            1
        """

        def column(bit: int) -> np.ndarray:
            self._check_bit(bit)
            return self.columns[bit]

        return bitarray(buffer=np.ascontiguousarray(evaluate(query, column, names)))[: len(self)]

    # -- subsets ------------------------------------------------------------------------------------------------------

    def __getitem__(self, rows: Any) -> Codes:
        """The items at `rows`: a slice, indices, a bool mask or a bitarray of N bits."""
        if isinstance(rows, bitarray):
            rows = np.frombuffer(rows.unpack(), dtype=bool)
        if isinstance(rows, str):
            raise UsageError(f"codes[{rows!r}]: columns are in codes.items; codes[...] takes rows")
        index = np.atleast_1d(np.arange(len(self))[rows])
        return replace(
            self,
            packed=read_only(self.packed[index]),
            labels=read_only(self.labels[index]),
            items=self.items.take(pa.array(index)),
            logits=None if self.logits is None else read_only(self.logits[index]),
            features=None if self.features is None else read_only(self.features[index]),
        )

    def select_bits(self, bits: Sequence[int] | np.ndarray) -> Codes:
        """The same items with only these bits, in this order.

        Raises:
            UsageError: no bit is named, or one the code does not have.
        """
        chosen = [int(b) for b in bits]
        if not chosen:
            raise UsageError("select_bits: name at least one bit")
        for bit in chosen:
            self._check_bit(bit)
        packed = read_only(select_bits(self.packed, self.bits, chosen))
        logits = None if self.logits is None else read_only(self.logits[:, chosen])
        return replace(
            self, packed=packed, bits=len(chosen), logits=logits, meta={**self.meta, "selected_bits": chosen}
        )

    def split(self, name: str) -> Codes:
        """The items of one split.

        Raises:
            UsageError: no item has that split.
        """
        if name not in self.splits:
            raise UsageError(f"split {name!r}: these codes have {', '.join(self.splits) or 'no splits'}")
        return self[pc.equal(self.items["split"], name).to_numpy(zero_copy_only=False).astype(bool)]

    def label_by(self, attribute: str) -> Codes:
        """The same codes with an attribute column as their labels (empty or missing values: no label).

        Raises:
            UsageError: there is no such column.
        """
        if attribute not in self.items.column_names:
            raise UsageError(f"attribute {attribute!r}: these codes have {', '.join(self.attributes) or 'none'}")
        labels, names = column_numbers(self.items[attribute])
        return replace(self, labels=labels, classes=names)

    def _check_bit(self, bit: int) -> None:
        if not 0 <= _whole("bit", bit) < self.bits:
            raise UsageError(f"bit {bit}: this code has bits 0 to {self.bits - 1}")


class ContentHash:
    """Computes `Codes.sha256` from consecutive parts; it does not depend on where the codes were cut.

    Example:
        >>> codes, content = Codes.from_bits([[1, 0], [1, 1], [0, 0]]), ContentHash()
        >>> for part in (codes[:1], codes[1:]):
        ...     content.update(part)
        >>> content.hexdigest() == codes.sha256
        True
    """

    def __init__(self) -> None:
        self._packed, self._labels = hashlib.sha256(), hashlib.sha256()
        self._head: dict[str, Any] = {"rows": 0}

    def update(self, part: Codes) -> None:
        """Add the next part; the number of bits and the class names are taken from the last one."""
        self._packed.update(part.packed.data if part.packed.size else b"")
        self._labels.update(np.ascontiguousarray(part.labels).data if part.labels.size else b"")
        rows = self._head["rows"] + len(part)
        self._head = {"bits": part.bits, "rows": rows, "classes": part.classes, "multilabel": part.multilabel}

    def hexdigest(self) -> str:
        parts = {"packed": self._packed.hexdigest(), "labels": self._labels.hexdigest()}
        return hashlib.sha256(json.dumps(self._head | parts, sort_keys=True).encode()).hexdigest()


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise UsageError(f"{name} {value!r}: expected a whole number") from None


def _set(codes: Codes, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(codes, name, value)
