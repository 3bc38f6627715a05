"""Who ranks whom: queries against a database, what is relevant to a query, and what is left out of its ranking.

The sufficient statistic of every measure here is one histogram a query: how many items of each relevance lie at each
distance. Histograms of two parts of a database add up to that of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codelab.codes import Codes
from codelab.errors import DataError, UsageError
from codelab.search import bit_mask

Groups = str | Sequence[Any] | np.ndarray | None


@dataclass(frozen=True)
class Ranking:
    """Queries and a database that fit each other.

    Args:
        queries, database: the two sets; one object where the database ranks itself.
        by: `codes` (Hamming) or `features` (cosine).
        query_owner, owner: int32; an item is left out of a query's ranking where these are equal; None: nothing is.
        left_out: what is left out, in words.
        keep: bool `[B]`, the bits that count.
        threads: for the kernels.
    """

    queries: Codes
    database: Codes
    by: str
    query_owner: np.ndarray | None
    owner: np.ndarray | None
    left_out: str
    keep: np.ndarray
    threads: int | None

    @property
    def relevance(self) -> str:
        """The rule by which an item is relevant to a query, in words."""
        return "share a label" if self.database.multilabel else "same label"

    def grades(self, rows: slice) -> np.ndarray:
        """How relevant each item is to each query: int `[q, N]`, the number of labels they share."""
        mine, theirs = self.queries.labels[rows], self.database.labels
        if self.database.multilabel:
            return (mine.astype(np.float32) @ theirs.astype(np.float32).T).astype(np.int64)
        return ((mine[:, None] == theirs) & (mine[:, None] >= 0)).astype(np.int64)

    def top_grade(self) -> int:
        """The highest grade an item can have."""
        return max(1, int(self.queries.labels.sum(axis=1).max())) if self.database.multilabel else 1

    def histograms(self, top: int = 1) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of queries with, for each, how many items of grade 0 to `top` are in each group of equal distance.

        Yields:
            the rows of the block and int64 `[q, top + 1, G]`, nearest group first; for codes G = B + 1 and group d is
            distance d. Items of a grade above `top` count as `top`.
        """
        for rows, distances, out in self.distances():
            grades = np.minimum(self.grades(rows), top)
            if out is not None:
                grades[out] = top + 1
            q, n = distances.shape
            size = self.database.bits + 1 if self.by == "codes" else n
            if self.by == "features":
                order = np.argsort(distances, axis=1, kind="stable")
                ordered = np.take_along_axis(distances, order, 1)
                grades = np.take_along_axis(grades, order, 1)
                distances = np.zeros_like(order)
                distances[:, 1:] = np.cumsum(ordered[:, 1:] != ordered[:, :-1], axis=1)
            key = (np.arange(q)[:, None] * (top + 2) + grades) * size + distances
            counts = np.bincount(key.ravel(), minlength=q * (top + 2) * size).reshape(q, top + 2, size)
            yield rows, counts[:, : top + 1]

    def distances(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray | None]]:
        """Blocks of queries with their integer distances `[q, N]` and which items are left out (bool, or None)."""
        step = 16
        source = _hamming(self, step) if self.by == "codes" else _cosine(self, step)
        for start, values in zip(range(0, len(self.queries), step), source, strict=True):
            rows = slice(start, start + len(values))
            out = None
            if self.owner is not None and self.query_owner is not None:
                out = self.query_owner[rows, None] == self.owner
            yield rows, values, out


def rank(
    queries: Codes,
    database: Codes | None = None,
    *,
    exclude_self: bool = False,
    groups: Groups | tuple[Groups, Groups] = None,
    by: str = "codes",
    mask: np.ndarray | None = None,
    threads: int | None = None,
) -> Ranking:
    """Check that queries and database fit each other, and settle what is left out of each ranking.

    Args:
        queries: labelled Codes.
        database: labelled Codes; None: the queries, each left out of its own ranking.
        exclude_self: leave row i out of query i's ranking; the two sets must be the same.
        groups: an item column or an array with one value an item (two arrays, of queries and database, where those
            differ): items of a query's own group are left out of its ranking. Empty values belong to no group.
        by: `codes` or `features`.
        mask: the bits that count.
        threads: for the kernels.

    Raises:
        UsageError: an option that cannot be.
        DataError: sets that do not fit each other, or without labels or features.
    """
    if by not in ("codes", "features"):
        raise UsageError(f"by={by!r}: expected 'codes' or 'features'")
    base = queries if database is None else database
    same = base is queries or (exclude_self and base.sha256 == queries.sha256)
    if exclude_self and not same:
        raise UsageError(
            f"exclude_self: expected the same codes twice, found {len(queries)} queries and another database "
            f"of {len(base)}"
        )
    _check_fit(queries, base, by)
    itself = database is None or exclude_self
    query_owner, owner = _owners(queries, base, itself, groups)
    words = ["self"] if itself else []
    if groups is not None:
        words.append(f"same {groups}" if isinstance(groups, str) else "same group")
    return Ranking(queries, base, by, query_owner, owner, " and ".join(words), bit_mask(mask, base.bits), threads)


def _check_fit(queries: Codes, base: Codes, by: str) -> None:
    for name, codes in (("queries", queries), ("database", base)):
        if not len(codes):
            raise DataError(f"{name}: no codes")
        if not codes.labelled:
            raise DataError(f"{name}: none of the {len(codes)} codes has a label, and relevance needs them")
        if by == "features" and codes.features is None:
            raise DataError(f"{name}: by='features' needs features, and these codes have none")
    if by == "codes" and queries.bits != base.bits:
        raise DataError(f"queries: found codes of {queries.bits} bits, the database has {base.bits}")
    if by == "features" and queries.features.shape[1] != base.features.shape[1]:  # type: ignore[union-attr]
        raise DataError(
            f"queries: found {queries.features.shape[1]} features, "  # type: ignore[union-attr]
            f"the database has {base.features.shape[1]}"  # type: ignore[union-attr]
        )
    if queries.multilabel != base.multilabel:
        raise DataError("labels: queries and database must both have one label an item, or both bool [N, C]")
    short = min(len(queries.classes), len(base.classes))
    if queries.classes[:short] != base.classes[:short] or (
        base.multilabel and len(queries.classes) != len(base.classes)
    ):
        raise DataError(
            f"classes: queries have {_few(queries.classes)}, the database has {_few(base.classes)}; "
            "expected the same in the same order"
        )


def _few(names: tuple[str, ...]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def _owners(queries: Codes, base: Codes, itself: bool, groups: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Numbers that are equal where an item is to be left out of a query's ranking."""
    if groups is None:
        rows = np.arange(len(base), dtype=np.int32)
        return (rows, rows) if itself else (None, None)
    if isinstance(groups, str):
        values = [_column(codes, name, groups) for name, codes in (("queries", queries), ("database", base))]
    elif isinstance(groups, tuple) and len(groups) == 2 and not itself:
        values = [list(part) for part in groups]
    elif itself:
        values = [list(groups)] * 2
    else:
        raise UsageError("groups: give an item column, or a pair of arrays: of the queries and of the database")
    for part, codes, name in zip(values, (queries, base), ("queries", "database"), strict=True):
        if len(part) != len(codes):
            raise UsageError(f"groups: found {len(part)} values, expected one for each of {len(codes)} {name}")
    number: dict[Any, int] = {}
    owners = []
    for side, part in enumerate(values):
        ids = np.empty(len(part), dtype=np.int32)
        for row, value in enumerate(part):
            if value is None or value == "" or value != value:
                ids[row] = -1 - row if itself else -1 - side  # alone in its group, or in none
            else:
                ids[row] = number.setdefault(value, len(number))
        owners.append(ids)
    return owners[0], owners[1]


def _column(codes: Codes, name: str, column: str) -> list[Any]:
    if column not in codes.items.column_names:
        raise UsageError(f"groups={column!r}: the {name} have {', '.join(codes.attributes) or 'no attributes'}")
    return codes.items[column].to_pylist()


def _hamming(ranking: Ranking, step: int) -> Iterator[np.ndarray]:
    ones = ranking.database.to_bits()[:, ranking.keep].astype(np.float32)
    mine = ranking.queries.to_bits()[:, ranking.keep].astype(np.float32)
    for start in range(0, len(mine), step):
        part = mine[start : start + step]
        yield (part @ (1 - ones).T + (1 - part) @ ones.T).astype(np.int64)


def _cosine(ranking: Ranking, step: int) -> Iterator[np.ndarray]:
    """Negated cosines as whole numbers: see `whole_directions` for why equal pairs give equal numbers."""
    theirs = whole_directions(ranking.database.features, "database")
    mine = whole_directions(ranking.queries.features, "queries")
    for start in range(0, len(mine), step):
        yield -(mine[start : start + step] @ theirs.T).astype(np.int64)


SCALE = 1 << 26
"""Unit vectors are rounded to multiples of 1 / SCALE; products of two stay below 2^53, where float64 is exact."""


def whole_directions(features: np.ndarray | None, name: str) -> np.ndarray:
    """Features as unit vectors times SCALE, rounded: float64 `[N, d]` of whole numbers.

    Their products are exact in float64 in whatever order they are summed, so equal vectors tie exactly and the result
    depends on no block size, thread or BLAS.
    """
    values = np.asarray(features, dtype=np.float64)
    length = np.sqrt((values * values).sum(axis=1))
    if not length.all():
        raise DataError(f"{name}: features of row {int(np.argmin(length))} are all 0, and cosine needs a direction")
    return np.rint(values / length[:, None] * SCALE)
