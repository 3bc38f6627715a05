"""A second distance for what was found by the first: fetch more by Hamming distance, order them by real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from codelab.core.checks import check_choice, check_real
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.neighbours.weighted import cosine

KINDS = ("logits", "features")


def real_vectors(name: str, codes: Codes, by: str) -> np.ndarray:
    """Logits or features of codes `[N, d]`.

    Raises:
        DataError: these codes have none.
    """
    vectors = codes.logits if by == "logits" else codes.features
    if vectors is None:
        raise DataError(f"{name}: rescoring by {by} needs their {by}, and these codes have none")
    return vectors


def check_rescore(codes: Codes, queries: Any, by: str) -> None:
    """Refuse to search where the second distance cannot be computed.

    Raises:
        UsageError: `by` is neither `logits` nor `features`, or the queries are no `Codes`.
        DataError: no such vectors, or of another width.
    """
    check_choice("rescore", by, KINDS)
    if not isinstance(queries, Codes):
        raise UsageError(f"queries: rescoring needs Codes with {by}, found {type(queries).__name__}")
    mine, theirs = real_vectors("queries", queries, by), real_vectors("database", codes, by)
    if mine.shape[1] != theirs.shape[1]:
        raise DataError(f"queries: found {mine.shape[1]} {by}, the database has {theirs.shape[1]}")


def fetched(k: int, n: int, oversample: Any) -> int:
    """How many rows are fetched for k: `oversample` times as many, rounded up, at most n.

    Example:
        >>> fetched(10, 1000, 4), fetched(10, 1000, 1.25), fetched(10, 15, 4)
        (40, 13, 15)
    """
    if not 1 <= check_real("oversample", oversample) < np.inf:
        raise UsageError(f"oversample={oversample}: expected 1 or more")
    return min(n, int(np.ceil(round(k * float(oversample), 9))))


def rescored(
    codes: Codes, queries: Codes, distances: np.ndarray, indices: np.ndarray, k: int, by: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k nearest by 1 - cosine of logits or features, of the rows that a first search found.

    Args:
        codes: the database.
        queries: Q queries that have such logits or features.
        distances, indices: `[Q, m]`, m at least k, of the first search.
        k: how many are kept.
        by: `logits` or `features`.

    Returns:
        The first distances `[Q, k]`, rows int64 `[Q, k]` and 1 - cosine float64 `[Q, k]`, in the order of (1 - cosine,
        first distance, row).

    Raises:
        DataError: no such vectors, or a vector that is all zeros.
    """
    theirs, mine = real_vectors("database", codes, by), real_vectors("queries", queries, by)
    first, rows, second = np.empty((len(mine), k), distances.dtype), np.empty((len(mine), k), np.int64), []
    for q, (far, found) in enumerate(zip(distances, indices, strict=True)):
        lacking = found[~theirs[found].any(axis=1)]
        if len(lacking):
            raise DataError(f"database: {by} of row {lacking[0]} are all 0, and cosine needs a direction")
        exact = cosine(mine[q : q + 1], theirs[found]).distances(slice(0, 1), slice(0, len(found)))[0]
        order = np.lexsort((found, far, exact))[:k]
        first[q], rows[q] = far[order], found[order]
        second.append(exact[order])
    return first, rows, np.stack(second) if second else np.zeros((0, k))
