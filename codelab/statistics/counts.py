"""Sufficient statistics of codes: made in one pass, and they add, so every measure streams and shards.

A measure is `compute(counts)`. The public functions take codes, or the counts of any number of parts:

    counts = total(BitCounts.of(part) for part in parts)
    bit_usage(counts)

gives what `bit_usage` gives for all the parts together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePath
from typing import Any, ClassVar, TypeVar

import numpy as np

from codelab.core.attributes import Labelling
from codelab.core.checks import check_codes
from codelab.core.codes import Codes, unpack_bits
from codelab.core.errors import DataError, UsageError
from codelab.core.result import Source
from codelab.kernels import loops
from codelab.kernels.counting import class_counts, column_counts, pair_counts
from codelab.kernels.threads import one_blas_thread, run, thread_count

GROUPS = 64
"""Items are dealt to this many groups; resampling or holding out whole groups gives intervals and tests."""

MOST_PAIRS = 1 << 28
"""Largest table of pairs within classes: 1 GB, which 256 bits reach at 8,000 classes."""

FEW = 1024
"""Items of a class up to which pairs are counted by a product of matrices."""

ROWS = 1 << 15
"""Rows unpacked at a time: 32 MB for 256 bits in float32."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Base of all counts: `a + b` are the counts of the items of both."""

    source: Source
    bits: int
    n: int

    ADD: ClassVar[tuple[str, ...]] = ("n",)
    """Fields that add."""
    SAME: ClassVar[tuple[str, ...]] = ("bits",)
    """Fields that must be equal in both."""

    def __add__(self: C, other: C) -> C:
        if type(other) is not type(self):
            return NotImplemented
        for name in self.SAME:
            if not np.array_equal(getattr(self, name), getattr(other, name)):
                raise DataError(f"counts: parts with different {name} do not add")
        added: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in self.ADD}
        return replace(self, source=_joined(self.source, other.source), **added)


C = TypeVar("C", bound=Counts)


def total(parts: Iterable[C]) -> C:
    """The sum of the counts of all parts.

    Raises:
        DataError: there is no part, or the parts are not counts of the same bits and classes.

    Example:
        >>> codes = Codes.from_bits([[1, 0], [1, 1], [0, 0]])
        >>> total(BitCounts.of(part) for part in (codes[:1], codes[1:])).ones.tolist()
        [2, 1]
    """
    result: C | None = None
    for part in parts:
        result = part if result is None else result + part
    if result is None:
        raise DataError("counts: no part given")
    return result


@dataclass(frozen=True, eq=False)
class BitCounts(Counts):
    """How often each bit is 1: `ones` int64 `[B]` of `n` items."""

    ones: np.ndarray

    ADD = ("n", "ones")

    @classmethod
    def of(cls, codes: Codes | BitCounts) -> BitCounts:
        if isinstance(codes, BitCounts):
            return codes
        _need_codes(codes, cls)
        return cls(Source.of(codes), codes.bits, len(codes), column_counts(codes.packed, codes.bits))


@dataclass(frozen=True, eq=False)
class ClassCounts(Counts):
    """How often each bit is 1 in each class; items without a label are not counted.

    `class_n` int64 `[C]` items of the class, `ones` int64 `[C, B]`. For multi-label data an item counts in each of
    its classes, so `class_n` does not sum to `n`; `bit_ones` int64 `[B]` are the ones of the `n` items.
    """

    class_n: np.ndarray
    ones: np.ndarray
    bit_ones: np.ndarray
    classes: tuple[str, ...] = ()
    multilabel: bool = False

    ADD = ("n", "class_n", "ones", "bit_ones")
    SAME = ("bits", "classes", "multilabel")

    @classmethod
    def of(cls, codes: Codes | ClassCounts) -> ClassCounts:
        if isinstance(codes, ClassCounts):
            return codes
        _need_codes(codes, cls)
        n_classes = len(codes.classes)
        if codes.multilabel:
            class_n = codes.labels.sum(axis=0, dtype=np.int64)
            bit_ones = column_counts(codes.packed, codes.bits)
            ones = _multilabel_counts(codes.packed, codes.bits, codes.labels)
            return cls(Source.of(codes), codes.bits, len(codes), class_n, ones, bit_ones, codes.classes, True)
        class_n = np.bincount(codes.labels[codes.labels >= 0], minlength=n_classes)
        ones = class_counts(codes.packed, codes.bits, codes.labels, n_classes)
        return cls(Source.of(codes), codes.bits, int(class_n.sum()), class_n, ones, ones.sum(axis=0), codes.classes)


@dataclass(frozen=True, eq=False)
class StrataCounts(Counts):
    """How often each bit is 1 in each class, apart for each stratum; items without a class or stratum are left out.

    `class_n` int64 `[S, C]` items, `ones` int64 `[S, C, B]`. Class and stratum are any two label columns.
    """

    class_n: np.ndarray
    ones: np.ndarray
    classes: tuple[str, ...]
    strata: tuple[str, ...]

    ADD = ("n", "class_n", "ones")
    SAME = ("bits", "classes", "strata")

    @classmethod
    def of(cls, codes: Codes, classes: Labelling, strata: Labelling) -> StrataCounts:
        kept = (classes.labels >= 0) & (strata.labels >= 0)
        shape = (len(strata.names), len(classes.names))
        joint = np.where(kept, strata.labels * shape[1] + classes.labels, -1)
        class_n = np.bincount(joint[kept], minlength=shape[0] * shape[1]).reshape(shape)
        ones = class_counts(codes.packed, codes.bits, joint, shape[0] * shape[1]).reshape(*shape, codes.bits)
        n = int(np.count_nonzero(kept))
        return cls(Source.of(codes), codes.bits, n, class_n, ones, classes.names, strata.names)


@dataclass(frozen=True, eq=False)
class PairCounts(Counts):
    """How often two bits are both 1, for each of `GROUPS` groups of items.

    `group_n` int64 `[G]`, `both` int64 `[G, B, B]`; the diagonal counts the ones. See `group_of`.
    """

    group_n: np.ndarray
    both: np.ndarray

    ADD = ("n", "group_n", "both")

    @classmethod
    def of(cls, codes: Codes | PairCounts, first_row: int = 0, parts: np.ndarray | None = None) -> PairCounts:
        """Counts of a part that starts at `first_row` of the whole: which group an item is in depends on its row.

        With `parts` int `[N]`, 0 to `GROUPS` - 1, that is the group of each item.
        """
        if isinstance(codes, PairCounts):
            return codes
        _need_codes(codes, cls)
        groups = group_of(np.arange(first_row, first_row + len(codes))) if parts is None else parts
        order = np.argsort(groups, kind="stable")
        sizes = np.bincount(groups, minlength=GROUPS)
        packed = np.split(codes.packed[order], np.cumsum(sizes)[:-1])
        both = np.stack([pair_counts(part, codes.bits) for part in packed])
        return cls(Source.of(codes), codes.bits, len(codes), sizes, both)

    @property
    def pairs(self) -> np.ndarray:
        """int64 `[B, B]`: the groups together."""
        return self.both.sum(axis=0)


@dataclass(frozen=True, eq=False)
class ClassPairCounts(Counts):
    """How often two bits are both 1 in each class; items without a label are left out.

    `class_n` int64 `[C]`, `both` int32 `[C, B (B + 1) / 2]`, the upper triangle of bits with its diagonal, row by row.
    """

    class_n: np.ndarray
    both: np.ndarray
    classes: tuple[str, ...]

    ADD = ("n", "class_n", "both")
    SAME = ("bits", "classes")

    @classmethod
    def of(cls, codes: Codes) -> ClassPairCounts:
        if codes.multilabel:
            raise DataError("pairs within classes: needs one label an image, found multi-label data")
        n_classes, upper = len(codes.classes), np.triu_indices(codes.bits)
        if n_classes * len(upper[0]) > MOST_PAIRS:
            raise DataError(
                f"pairs within classes: {n_classes} classes of {len(upper[0])} pairs of bits are too many to keep, "
                f"expected at most {MOST_PAIRS} in all"
            )
        both = np.zeros((n_classes, len(upper[0])), dtype=np.int32)
        order = np.argsort(codes.labels, kind="stable")
        edges = np.searchsorted(codes.labels[order], np.arange(n_classes + 1))
        packed, places = codes.packed[order], np.ravel_multi_index(upper, (codes.bits, codes.bits))

        def count(c: int) -> None:
            rows = packed[edges[c] : edges[c + 1]]
            if len(rows) > FEW:
                both[c] = pair_counts(rows, codes.bits, threads=1).ravel()[places]
            elif len(rows):  # a small product costs less than laying out so few rows for the kernel
                bits = unpack_bits(rows, codes.bits).astype(np.float32)
                both[c] = (bits.T @ bits).ravel()[places]

        with one_blas_thread():
            run(count, range(n_classes), None)
        class_n = np.diff(edges).astype(np.int64)
        return cls(Source.of(codes), codes.bits, int(class_n.sum()), class_n, both, codes.classes)


@dataclass(frozen=True, eq=False)
class CellCounts(Counts):
    """How often each value of a block of bits occurs: `blocks` int `[K, width]`, `cells` int64 `[K, 2**width]`.

    The first bit of a block is the most significant one of the value.
    """

    blocks: np.ndarray
    cells: np.ndarray

    ADD = ("n", "cells")
    SAME = ("bits", "blocks")

    @classmethod
    def of(cls, codes: Codes, blocks: Sequence[Sequence[int]] | np.ndarray) -> CellCounts:
        blocks = np.asarray(blocks, dtype=np.int64)
        width = blocks.shape[1]
        byte, shift = blocks // 8, 7 - blocks % 8

        def count(part: slice) -> np.ndarray:
            cells = np.zeros((len(blocks), 1 << width), dtype=np.int64)
            loops.columns.count_cells(codes.packed[part], byte, shift, cells)
            return cells

        edges = np.linspace(0, len(codes), max(1, min(thread_count(None), len(codes) // ROWS)) + 1).astype(int)
        cells = sum(run(count, [slice(a, b) for a, b in pairwise(edges)], None))
        return cls(Source.of(codes), codes.bits, len(codes), blocks, cells)


_DEAL = np.random.default_rng(0).permuted(np.tile(np.arange(GROUPS), (256, 1)), axis=1)


def group_of(rows: np.ndarray) -> np.ndarray:
    """The group of each row: every run of `GROUPS` rows is dealt to all groups, in an order that looks random.

    So neither sorted codes nor codes in turn (views, vendors, one image of each class) end in groups of their own.
    """
    return _DEAL[rows // GROUPS % len(_DEAL), rows % GROUPS]


def _multilabel_counts(packed: np.ndarray, bits: int, labels: np.ndarray) -> np.ndarray:
    out = np.zeros((labels.shape[1], bits), dtype=np.int64)
    for start in range(0, len(packed), ROWS):
        rows = unpack_bits(packed[start : start + ROWS], bits).astype(np.float32)
        out += (labels[start : start + ROWS].T.astype(np.float32) @ rows).astype(np.int64)
    return out


def _need_codes(codes: Any, counts: type) -> None:
    if isinstance(codes, str | PurePath):
        check_codes("codes", codes)
    if not isinstance(codes, Codes):
        raise UsageError(f"expected Codes or {counts.__name__}, found {type(codes).__name__}")


def _joined(a: Source, b: Source) -> Source:
    splits = "+".join(sorted({*a.split.split("+"), *b.split.split("+")}))
    return Source(a.n + b.n, a.bits, hashlib.sha256((a.sha256 + b.sha256).encode()).hexdigest(), splits)
