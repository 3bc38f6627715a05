"""Rankings of a database by queries: the distance, which items are relevant, and which are left out.

Almost every measure of retrieval needs only one histogram a query: the number of items of each grade of relevance at
each distance. The histograms of two parts of a database add up to the histogram of the whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np

from codelab.core.attributes import Groups, group_numbers, group_values, named_groups
from codelab.core.checks import check_codes
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.progress import counter
from codelab.core.result import FeatureSource, Source
from codelab.neighbours.hamming import LONG, Scan
from codelab.neighbours.weighted import SCALE, cosine

CHUNK = 1 << 27
"""Bytes of histograms, or of distances of features, held at a time."""

CACHE = 1 << 24
"""Bytes of histograms of parts, which are read several times, held at a time."""

MAX_GRADES = 500
"""The highest grade by features, where distance and grade are sorted as one 64-bit number."""

STEP = 0.01
"""Distance between the points of a curve by features."""


@dataclass(frozen=True)
class Ranking(ABC):
    """Queries and a database of the same kind; the subclass defines the distance.

    Args:
        queries, database: the two sets; may be the same object.
        query_owner, owner: int32 `[Q]` and `[N]`: an item is left out of the ranking of queries with the same owner.
            None: nothing is left out.
        left_out: what is left out, in words.
        threads: for the kernels.
    """

    queries: Codes
    database: Codes
    query_owner: np.ndarray | None
    owner: np.ndarray | None
    left_out: str
    threads: int | None

    by: ClassVar[str]
    """`codes` or `features`."""

    pair_cost: ClassVar[int]
    """Cost of one distance in Hamming distances of 256 bits; long work gets a progress bar."""

    @property
    @abstractmethod
    def bits(self) -> int | None:
        """The number of bits in a Hamming distance; None for features."""

    @abstractmethod
    def source(self, codes: Codes) -> Source:
        """Provenance of the queries or the database."""

    @abstractmethod
    def histograms(self, top: int = 1) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of queries with the number of items of grade 0 to `top` in each group of equal distance.

        The grade of an item is the number of labels it shares with the query, at most `top`.

        Yields:
            the rows of the block and int64 `[q, top + 1, G]`, nearest group first; groups may be empty.
        """

    @abstractmethod
    def within(self, radii: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Blocks of queries with the number of items, and of relevant items, within each radius: `[q, len(radii)]`.

        `radii` ascend.
        """

    @abstractmethod
    def radii(self) -> np.ndarray:
        """The radii at which a curve has a point."""

    @abstractmethod
    def _votes(self, k: int, temperature: float | None) -> Iterator[tuple[slice, np.ndarray]]:
        """`votes`, where every item of the database has a label."""

    def votes(self, k: int, temperature: float | None) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of queries with the votes of their k nearest labelled items for each class, float64 `[q, C]`.

        Items tied at the k-th place share the places left. A vote weighs 1; with a temperature, exp(cosine /
        temperature) divided by the weight of the nearest item.
        """
        labelled = self.database.labels >= 0
        if labelled.all():
            return self._votes(k, temperature)
        owner = None if self.owner is None else self.owner[labelled]
        return replace(self, database=self.database[labelled], owner=owner)._votes(k, temperature)

    def only(self, queries: np.ndarray, database: np.ndarray) -> Ranking:
        """The ranking of some items by some queries, chosen by bool `[Q]` and `[N]`, or by their rows."""
        mine = None if self.query_owner is None else self.query_owner[queries]
        theirs = None if self.owner is None else self.owner[database]
        chosen = self.queries[queries], self.database[database]
        return replace(self, queries=chosen[0], database=chosen[1], query_owner=mine, owner=theirs)

    @property
    def relevance(self) -> str:
        """The rule by which an item is relevant to a query, in words."""
        return "share a label" if self.database.multilabel else "same label"

    @property
    def n_classes(self) -> int:
        """The number of classes; `rank` checks that the shorter list of class names is the beginning of the longer."""
        return max(len(self.queries.classes), len(self.database.classes))

    def top_grade(self) -> int:
        """The highest grade an item can have."""
        return max(1, int(self.queries.labels.sum(axis=1).max())) if self.database.multilabel else 1

    def _chunks(self, row_bytes: int, chunk: int | None = None) -> Iterator[slice]:
        """Blocks of queries whose tables, `row_bytes` a query, fit in `chunk`; long work gets a progress bar."""
        q = len(self.queries)
        pairs = q * len(self.database) * self.pair_cost
        step = max(1, (CHUNK if chunk is None else chunk) // row_bytes)
        if pairs >= LONG:  # the bar moves often, and the scan of a block is too short for a bar of its own
            step = min(step, max(256, q * LONG // (8 * pairs)))
        blocks = (slice(start, min(start + step, q)) for start in range(0, q, step))
        if pairs < LONG:
            yield from blocks
            return
        with counter("ranking", q) as advance:
            for rows in blocks:
                yield rows
                advance(rows.stop - rows.start)


@dataclass(frozen=True)
class HammingRanking(Ranking):
    """Codes by Hamming distance over the bits in `keep`, bool `[B]`; group d of a histogram is distance d."""

    keep: np.ndarray

    by = "codes"
    pair_cost = 1

    @property
    def bits(self) -> int:
        return int(self.keep.sum())

    def source(self, codes: Codes) -> Source:
        return Source.of(codes)

    def histograms(self, top: int = 1) -> Iterator[tuple[slice, np.ndarray]]:
        scan = self.scan()
        for rows in self._chunks(8 * (top + 1) * (scan.bits + 1)):
            packed, labels = self.queries.packed[rows], self.queries.labels[rows]
            yield rows, scan.histograms(packed, self.database.labels, labels, top=top, query_owner=self._mine(rows))

    def histograms_of_parts(self, parts: np.ndarray, number: int, top: int = 1) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of queries with the histogram of each part `[N]` of the database, int64 `[number, q, top + 1, G]`."""
        everyone = np.ones(len(self.queries), bool)
        pieces = [cast(HammingRanking, self.only(everyone, parts == part)) for part in range(number)]
        scans = [(piece.scan(), piece.database.labels) for piece in pieces]
        for rows in self._chunks(8 * number * (top + 1) * (self.bits + 1), CACHE):
            packed, labels, mine = self.queries.packed[rows], self.queries.labels[rows], self._mine(rows)
            found = [scan.histograms(packed, theirs, labels, top=top, query_owner=mine) for scan, theirs in scans]
            yield rows, np.stack(found)

    def within(self, radii: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        at = np.minimum(radii, self.bits).astype(np.int64)
        for rows, counts in self.histograms():
            grown = counts.cumsum(axis=2)[:, :, at]
            yield rows, grown.sum(axis=1), grown[:, 1]

    def radii(self) -> np.ndarray:
        return np.arange(self.bits + 1)

    def _votes(self, k: int, temperature: float | None) -> Iterator[tuple[slice, np.ndarray]]:
        scan, classes = self.scan(), self.n_classes
        decay = 0.0 if temperature is None else 2 / (scan.bits * temperature)  # the cosine of two codes is 1 - 2 d / B
        for rows in self._chunks(8 * (2 * k + 3 * classes)):
            packed, owner = self.queries.packed[rows], self._mine(rows)
            far, index = scan.nearest(packed, min(k, len(self.database)), owner)
            found = far >= 0
            last = far.max(axis=1, initial=-1)
            ahead = found & (far < last[:, None])
            tied = scan.votes(packed, last.astype(np.int64), self.database.labels, classes, owner)
            names = np.arange(len(far))[:, None] * classes + self.database.labels[index]
            gap = far - far[:, :1]  # from the nearest, whose vote weighs 1 however small the temperature
            votes = np.bincount(names[ahead], np.exp(-decay * gap[ahead]), far.shape[0] * classes)
            places = (found.sum(axis=1) - ahead.sum(axis=1)) * np.exp(-decay * gap.max(axis=1, initial=0))
            share = places / np.maximum(tied.sum(axis=1), 1)
            yield rows, votes.reshape(len(far), classes) + tied * share[:, None]

    def scan(self) -> Scan:
        return Scan.of(self.database, keep=self.keep, owner=self.owner, threads=self.threads)

    def _mine(self, rows: slice) -> np.ndarray | None:
        return None if self.query_owner is None else self.query_owner[rows]


@dataclass(frozen=True)
class CosineRanking(Ranking):
    """Features by 1 - cosine."""

    by = "features"
    pair_cost = 64
    bits = None

    def source(self, codes: Codes) -> Source:
        return FeatureSource.of(codes)

    def histograms(self, top: int = 1) -> Iterator[tuple[slice, np.ndarray]]:
        if top > MAX_GRADES:
            raise UsageError(f"{top} grades: expected at most {MAX_GRADES}")
        for rows, distances, grades, out in self._cosines(top):
            tables = [_tie_groups(*row, top) for row in zip(distances, grades, out, strict=True)]
            groups = max(table.shape[1] for table in tables)
            counts = np.zeros((len(tables), top + 1, groups), np.int64)
            for one, table in zip(counts, tables, strict=True):
                one[:, : table.shape[1]] = table
            yield rows, counts

    def within(self, radii: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        for rows, distances, grades, out in self._cosines(1):
            size = len(radii) + 1
            step = np.searchsorted(radii, distances)  # the first radius that takes the item in
            key = (np.arange(len(step))[:, None] * 2 + grades) * size + step
            counts = np.bincount(key[~out], minlength=2 * len(step) * size).reshape(len(step), 2, size)
            grown = counts.cumsum(axis=2)[:, :, :-1]
            yield rows, grown.sum(axis=1), grown[:, 1]

    def radii(self) -> np.ndarray:
        return np.arange(round(2 / STEP) + 1) * STEP

    def _votes(self, k: int, temperature: float | None) -> Iterator[tuple[slice, np.ndarray]]:
        for rows, distances, _, out in self._cosines(1):
            votes = np.zeros((len(distances), self.n_classes))
            for one, row, gone in zip(votes, distances, out, strict=True):
                near, names = row[~gone], self.database.labels[~gone]
                if not len(near):
                    continue
                places = min(k, len(near))
                last = np.partition(near, places - 1)[places - 1]
                ahead, tied = near < last, near == last
                weight = ahead + tied * ((places - ahead.sum()) / tied.sum())
                if temperature is not None:
                    weight *= np.exp((near.min() - near) / temperature)
                one += np.bincount(names, weight, len(one))
            yield rows, votes

    def _cosines(self, top: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
        """Blocks of queries with 1 - cosine, grade and whether an item is left out, each `[q, N]`."""
        mine, theirs = self.queries.features, self.database.features
        if mine is None or theirs is None:
            raise DataError("by='features' needs features, and these codes have none")
        distances = cosine(mine, theirs)
        everything = slice(0, len(theirs))
        for rows in self._chunks(20 * len(theirs)):
            out = np.zeros((rows.stop - rows.start, len(theirs)), bool)
            if self.owner is not None and self.query_owner is not None:
                out = self.query_owner[rows, None] == self.owner
            yield rows, distances.distances(rows, everything), self._grades(rows, top), out

    def _grades(self, rows: slice, top: int) -> np.ndarray:
        mine, theirs = self.queries.labels[rows], self.database.labels
        if self.database.multilabel:
            return np.minimum(mine.astype(np.float32) @ theirs.astype(np.float32).T, top).astype(np.int64)
        return ((mine[:, None] == theirs) & (mine[:, None] >= 0)).astype(np.int64)


def _tie_groups(distances: np.ndarray, grades: np.ndarray, out: np.ndarray, top: int) -> np.ndarray:
    """Items of each grade in each group of equal distance, nearest first: int64 `[top + 1, G]`.

    Distances of features are whole multiples of 1 / (2 SCALE^2), so distance and grade are sorted as one whole number.
    """
    kept = ~out
    key = np.sort((distances[kept] * (2 * SCALE**2)).astype(np.int64) * (top + 1) + grades[kept])
    whole = key // (top + 1)
    group = np.zeros(len(key), np.int64)
    np.cumsum(whole[1:] != whole[:-1], out=group[1:])
    size = int(group[-1]) + 1 if len(group) else 1
    return np.bincount((key - whole * (top + 1)) * size + group, minlength=(top + 1) * size).reshape(top + 1, size)


def rank(
    queries: Codes,
    database: Codes | None = None,
    *,
    exclude_self: bool | None = None,
    groups: Groups | tuple[Groups, Groups] = None,
    by: str = "codes",
    threads: int | None = None,
) -> Ranking:
    """The ranking of a database by queries; both are checked, and what is left out is decided here.

    Args:
        queries: labelled Codes.
        database: labelled Codes; None, or the queries again: each query is left out of its own ranking.
        exclude_self, groups, by, threads: see `codelab.retrieval.options.Options`. Empty values belong to no group.

    Raises:
        UsageError: an option out of range.
        DataError: sets that do not fit each other, or without labels or features.
    """
    if by not in ("codes", "features"):
        raise UsageError(f"by={by!r}: expected 'codes' or 'features'")
    base = queries if database is None else database
    check_codes("queries", queries)
    check_codes("database", base)
    if exclude_self and not (base is queries or base.sha256 == queries.sha256):
        found = f"{len(queries)} queries and another database of {len(base)}"
        raise UsageError(f"exclude_self: expected the same codes twice, found {found}")
    _check_fit(queries, base, by)
    itself = database is None or (_same_set(queries, base, by) if exclude_self is None else exclude_self)
    groups = named_groups(groups)
    query_owner, owner = _owners(queries, base, itself, groups)
    words = ["self"] if itself else []
    if groups is not None:
        words.append(f"same {groups}" if isinstance(groups, str) else "same group")
    sets = queries, base, query_owner, owner, " and ".join(words), threads
    return CosineRanking(*sets) if by == "features" else HammingRanking(*sets, np.ones(base.bits, bool))


def _same_set(queries: Codes, base: Codes, by: str) -> bool:
    """Whether the database holds the very items of the queries, in their order."""
    if base is queries or len(base) != len(queries):
        return base is queries
    if base.sha256 != queries.sha256 or not base.items["id"].equals(queries.items["id"]):
        return False
    return by == "codes" or np.array_equal(queries.features, base.features)  # type: ignore[arg-type]


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
    if queries.features is not None and base.features is not None and by == "features":
        mine, theirs = queries.features.shape[1], base.features.shape[1]
        if mine != theirs:
            raise DataError(f"queries: found {mine} features, the database has {theirs}")
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
    """`query_owner` and `owner` of `Ranking`: equal where an item is left out of a query's ranking."""
    if groups is None:
        rows = np.arange(len(base), dtype=np.int32)
        return (rows, rows) if itself else (None, None)
    values: list[Any]
    if isinstance(groups, str):
        values = [_column(queries, "queries", groups), _column(base, "database", groups)]
    elif isinstance(groups, tuple) and len(groups) == 2 and not (itself and len(base) == 2):
        values = [group_values(part) for part in groups]
    elif itself:
        values = [group_values(groups)] * 2
    else:
        raise UsageError("groups: give an item column, or a pair of arrays: of the queries and of the database")
    for part, codes, name in zip(values, (queries, base), ("queries", "database"), strict=True):
        if len(part) != len(codes):
            raise UsageError(f"groups: found {len(part)} values, expected one for each of {len(codes)} {name}")
    arrays = all(isinstance(part, np.ndarray) and part.dtype == values[0].dtype for part in values)
    joined = values[0] if itself else np.concatenate(values) if arrays else [*values[0], *values[1]]
    numbers = group_numbers(joined).astype(np.int32)
    return (numbers, numbers) if itself else (numbers[: len(queries)], numbers[len(queries) :])


def _column(codes: Codes, name: str, column: str) -> list[Any]:
    if column not in codes.items.column_names:
        raise UsageError(f"groups={column!r}: the {name} have {', '.join(codes.attributes) or 'no attributes'}")
    return codes.items[column].to_pylist()
