"""Counts on packed codes: ones of each bit, of each class and bit, of each pair of bits; distinct codes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from codelab.core.arrays import read_only
from codelab.core.checks import check_whole
from codelab.core.errors import DataError, UsageError
from codelab.kernels import loops
from codelab.kernels.threads import run, thread_count

BLOCK = 1 << 16
"""Rows that a thread takes at least, because each part may be copied to whole words."""


def column_counts(packed: np.ndarray, bits: int, *, threads: int | None = None) -> np.ndarray:
    """Ones of each bit.

    Args:
        packed: uint8 `[N, ceil(B/8)]`.
        bits: B.
        threads: default: the cores this process may use.

    Returns:
        int64 `[B]`.

    Example:
        >>> column_counts(np.array([[0b10100000], [0b10000000]], dtype=np.uint8), 3).tolist()
        [2, 0, 1]
    """
    _check_packed("column_counts", packed, bits)
    return class_counts(packed, bits, np.zeros(len(packed), np.int32), 1, threads=threads)[0]


def class_counts(
    packed: np.ndarray, bits: int, labels: np.ndarray, n_classes: int, *, threads: int | None = None
) -> np.ndarray:
    """Ones of each bit among the items of each class.

    Args:
        packed: uint8 `[N, ceil(B/8)]`.
        bits: B.
        labels: integers `[N]`, below `n_classes`; an item with a negative label is not counted.
        n_classes: C.
        threads: default: the cores this process may use.

    Returns:
        int64 `[C, B]`.

    Raises:
        UsageError: a label is `n_classes` or more, or there are not as many as codes.
        DataError: codes of another width, labels that are no whole numbers.

    Example:
        >>> packed = np.array([[0b10100000], [0b10000000], [0b01000000]], dtype=np.uint8)
        >>> class_counts(packed, 3, np.array([1, 0, 1]), 2).tolist()
        [[1, 0, 0], [1, 1, 1]]
    """
    _check_packed("class_counts", packed, bits)
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(
            f"class_counts: expected whole numbers [N] as labels, found {labels.dtype} {list(labels.shape)}"
        )
    if len(labels) != len(packed):
        raise UsageError(f"class_counts: found {len(labels)} labels for {len(packed)} codes")
    if labels.size and int(labels.max()) >= n_classes:
        raise UsageError(f"class_counts: found label {int(labels.max())}, expected less than {n_classes}")
    labels = np.ascontiguousarray(labels if labels.dtype == np.int32 else np.maximum(labels, -1), dtype=np.int32)
    labels = read_only(labels.view())  # one type, as those of codes are read-only: the loop is compiled once
    width = (bits + 63) // 64

    def count(part: slice) -> np.ndarray:
        lanes = np.zeros((n_classes, 8 * width), np.uint64)
        filled = np.zeros(n_classes, np.int64)
        out = np.zeros((n_classes, 64 * width), np.int64)
        words = as_words(packed[part])
        loops.columns.count_by_class(words, labels[part], lanes, lanes.view(np.uint8), filled, out)
        return out

    return _sum_of_parts(count, len(packed), (n_classes, 64 * width), threads)[:, :bits]


def pair_counts(packed: np.ndarray, bits: int, *, threads: int | None = None) -> np.ndarray:
    """Items where both bits are 1; the diagonal holds the ones of each bit.

    Args:
        packed: uint8 `[N, ceil(B/8)]`.
        bits: B.
        threads: default: the cores this process may use.

    Returns:
        int64 `[B, B]`, symmetric.

    Example:
        >>> pair_counts(np.array([[0b11000000], [0b10100000]], dtype=np.uint8), 3).tolist()
        [[2, 1, 1], [1, 1, 0], [1, 0, 1]]
    """
    _check_packed("pair_counts", packed, bits)
    width = (bits + 63) // 64
    length = max(8, min(256, (1 << 19) // (512 * width)))  # columns of a block fill half a megabyte of cache

    def count(part: slice) -> np.ndarray:
        out = np.zeros((64 * width, 64 * width), np.int64)
        loops.columns.count_pairs(as_words(packed[part]), np.empty((64 * width, length), np.uint64), out)
        return out

    upper = np.triu(_sum_of_parts(count, len(packed), (64 * width, 64 * width), threads)[:bits, :bits])
    return upper + np.triu(upper, 1).T


def as_words(packed: np.ndarray) -> np.ndarray:
    """Packed bytes as uint64 `[N, W]`, padded with zeros; do not write to it: without padding it is a view."""
    packed = np.ascontiguousarray(packed)
    n, width = packed.shape
    if width % 8 == 0 and packed.flags.aligned and packed.ctypes.data % 8 == 0:
        return for_loops(packed).view(np.uint64)
    words = np.zeros((n, (width + 7) // 8), np.uint64)
    words.view(np.uint8)[:, :width] = packed
    return words


def distinct_codes(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of the distinct code that each row has, int64 `[N]`, and how often each occurs, `[D]`."""
    words = as_words(packed)
    keys = words[:, 0] if words.shape[1] == 1 else _mixed(words)
    _, first, number, times = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    number = number.reshape(-1)
    if not np.array_equal(words, words[first[number]]):  # two codes fell on one key: compare whole codes
        rows = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
        _, number, times = np.unique(rows, return_inverse=True, return_counts=True)
    return number.reshape(-1).astype(np.int64), times


def _mixed(words: np.ndarray) -> np.ndarray:
    """A 64-bit key of each row: whole numbers sort ten times faster than strings of 32 bytes."""
    key = np.zeros(len(words), dtype=np.uint64)
    for column in words.T:
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key


def for_loops(packed: np.ndarray) -> np.ndarray:
    """The codes in writable memory, which compiled loops require; do not write to it: it is a view if possible."""
    view = packed.view()
    try:
        view.flags.writeable = True
    except ValueError:  # read-only memory of a file or of a bytes object
        return packed.copy()
    return view


def _check_packed(name: str, packed: np.ndarray, bits: int) -> None:
    """Refuse codes of another width: compiled loops do not check where they read and write."""
    width = (check_whole("bits", bits, 1) + 7) // 8
    if not isinstance(packed, np.ndarray) or packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != width:
        found = f"{packed.dtype} {list(packed.shape)}" if isinstance(packed, np.ndarray) else type(packed).__name__
        raise DataError(f"{name}: expected uint8 [N, {width}] for {bits} bits, found {found}")


def _sum_of_parts(
    count: Callable[[slice], np.ndarray], n: int, shape: tuple[int, ...], threads: int | None
) -> np.ndarray:
    """The sum of `count` over parts of the rows, one part a thread and at least `BLOCK` rows each."""
    workers = max(1, min(thread_count(threads), n // BLOCK))
    edges = [n * i // workers for i in range(workers + 1)]
    parts = [slice(a, b) for a, b in pairwise(edges) if b > a]
    return sum(run(count, parts, workers), np.zeros(shape, np.int64))
