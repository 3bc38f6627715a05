"""Exact Hamming search: the nearest codes of a query, or every code within a radius."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codelab.core.checks import check_codes, check_real, check_whole
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.result import FeatureSource, Result, Source
from codelab.neighbours.rescoring import check_rescore, fetched, rescored
from codelab.neighbours.weighted import BitCosts, bit_costs

if TYPE_CHECKING:
    import pandas as pd


def ranked(source: Source | None, bits: int | None) -> str:
    """What the distance was computed from, in words: all bits, some of them, or features."""
    if isinstance(source, FeatureSource):
        return f"features of {source.dimensions} dimensions"
    return f"{bits} bits" if source is None or bits == source.bits else f"{bits} of {source.bits} bits"


@dataclass(frozen=True, kw_only=True)
class SearchResult(Result):
    """Neighbours of every query, nearest first, the lower row first among equals.

    `distances` and `indices` are `[Q, k]`. After `radius=` or `include_ties=True` queries have lists of different
    lengths: both arrays are then flat and query q owns `offsets[q]` to `offsets[q + 1]`. `result[q]` gives the
    distances and the rows of one query in either case.

    After `rescore=`, `rescored` `[Q, k]` is 1 - cosine of the logits or features (`rescored_by`), which the order then
    follows, `distances` are those of the first search, and `fetched` is how many rows that search found for a query.

    The line quotes how many neighbours of how many queries were found.
    """

    distances: np.ndarray
    indices: np.ndarray
    offsets: np.ndarray | None = None
    n: int
    queries: int
    bits: int | None
    k: int | None = None
    radius: float | None = None
    distance: str = "Hamming"
    rescored: np.ndarray | None = None
    rescored_by: str = ""
    fetched: int | None = None

    def headline(self) -> str:
        what = f"top {self.k}" if self.radius is None else f"all within {self.radius:g}"
        found = f"{len(self.indices.ravel()):,} rows found, {self.distance} distance"
        return f"{what} of {self.queries:,} queries, {found}{self._second()}"

    def _second(self) -> str:
        return f", rescored by cosine of {self.rescored_by} among {self.fetched:,}" if self.rescored_by else ""

    def __len__(self) -> int:
        return self.queries

    def __getitem__(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        if not -self.queries <= query < self.queries:
            raise IndexError(f"query {query}: there are {self.queries}")
        query %= self.queries
        if self.offsets is None:
            return self.distances[query], self.indices[query]
        part = slice(self.offsets[query], self.offsets[query + 1])
        return self.distances[part], self.indices[part]

    def to_frame(self) -> pd.DataFrame:
        """One row a neighbour: `query`, `rank` (from 1), `index`, `distance`; after `rescore=` also `rescored`."""
        import pandas as pd

        counts = np.full(self.queries, self.k) if self.offsets is None else np.diff(self.offsets)
        starts = np.cumsum(counts) - counts
        rank = np.arange(int(counts.sum())) - np.repeat(starts, counts) + 1
        query = np.repeat(np.arange(self.queries), counts)
        columns = {"query": query, "rank": rank, "index": self.indices.ravel(), "distance": self.distances.ravel()}
        return pd.DataFrame(columns if self.rescored is None else {**columns, "rescored": self.rescored.ravel()})

    def __str__(self) -> str:
        what = f"top {self.k}" if self.radius is None else f"all within distance {self.radius:g}"
        ties = ", with everything tied at the last place" if self.radius is None and self.offsets is not None else ""
        of = ("codes of " if self.bits else "") + ranked(self.source, self.bits)
        return (
            f"{what}{ties} of {self.queries:,} queries among N = {self.n:,} {of}, {self.distance} distance"
            f"{self._second() or ', exact, in order of (distance, row)'}"
        )


def search(
    codes: Codes,
    queries: Codes | np.ndarray,
    *,
    k: int | None = None,
    radius: float | None = None,
    mask: np.ndarray | Sequence[int] | None = None,
    weights: np.ndarray | None = None,
    asymmetric: bool = False,
    include_ties: bool = False,
    by: str = "codes",
    rescore: str | None = None,
    oversample: float = 4,
    threads: int | None = None,
    device: str = "cpu",
) -> SearchResult:
    """The codes nearest to each query by Hamming distance, exactly, in order of (distance, row).

    Args:
        codes: the database, N codes of B bits.
        queries: Codes; or packed uint8 `[Q, ceil(B/8)]`; or, with `asymmetric`, real logits `[Q, B]`; or, by features,
            `[Q, d]`.
        k: how many neighbours (default 10).
        radius: instead of `k`: every code at this distance or nearer (FAISS' `range_search` means strictly nearer).
        mask: the bits that count: bool `[B]`, or bit numbers. Default: all.
        weights: `[B]`, what a differing bit adds to the distance (>= 0). Default: 1.
        asymmetric: a differing bit adds the absolute value of the query's logit, so that bits the query is sure of
            count more. Weights and logits are rounded to multiples of 2^-51 of their sum, and the rest is exact:
            equal weights of any size rank as Hamming does. A radius includes items whose distance differs from it
            by rounding alone (at most B 2^-51 of the sum).
        include_ties: return also everything that is as near as the k-th neighbour.
        by: `codes`, or `features`: by 1 - cosine of `Codes.features` with an error of about 2e-8, on the CPU, without
            mask or weights.
        rescore: `logits` or `features`: fetch `oversample` times k rows by the distance above, and keep the k of them
            with the least 1 - cosine of these vectors; both distances are in the result. Goes with k.
        oversample: 1 or more; `codelab.oversampling_curve` says how much is enough.
        threads: default: the cores this process may use.
        device: `cpu`, or a torch device such as `cuda`: the same neighbours at the same distances.

    Returns:
        SearchResult with `distances` and `indices` `[Q, k]`, or flat with `offsets` for `radius` and `include_ties`.

    Raises:
        UsageError: k > N, both k and radius, a mask or weights that do not fit B.
        DataError: queries of another width, no logits for `asymmetric`, no logits or features to rescore by.

    Example:
        >>> codes = Codes.from_bits([[0, 0, 0], [0, 0, 1], [1, 1, 1], [1, 0, 0]])
        >>> found = search(codes, codes[[0]], k=2)
        >>> found.distances.tolist(), found.indices.tolist()  # rows 1 and 3 tie: the lower row first
        ([[0, 1]], [[0, 1]])
        >>> search(codes, codes[[0]], k=2, include_ties=True)[0][1].tolist()
        [0, 1, 3]
        >>> search(codes, codes[[0]], radius=0)[0][1].tolist()
        [0]
        >>> surer = Codes.from_logits([[1.0, 2.0], [1.0, 3.0], [-1.0, 9.0]])
        >>> found = search(surer, surer[[0]], k=2, rescore="logits", oversample=1.5)
        >>> found.indices.tolist(), found.distances.tolist(), found.rescored.round(2).tolist()
        ([[0, 1]], [[0, 0]], [[0.0, 0.01]])
    """
    check_codes("codes", codes)
    n = len(codes)
    if k is not None and radius is not None:
        raise UsageError("search: give k or radius, not both")
    places = 10 if k is None else check_whole("k", k, 0)
    if radius is None:
        if places < 1 or places > n:
            raise UsageError(f"k={places}: the database has {n} codes, expected 1 to {n}")
    elif include_ties:
        raise UsageError("include_ties: goes with k; a radius has no last place")
    elif not check_real("radius", radius) >= 0:
        raise UsageError(f"radius={radius}: expected 0 or more")
    many = places
    if rescore is not None:
        if radius is not None or include_ties or by != "codes":
            raise UsageError("rescore: goes with k, without radius, include_ties and by")
        many = fetched(places, n, oversample)
        check_rescore(codes, queries, rescore)
    if by == "features":
        if mask is not None or weights is not None or asymmetric or device != "cpu":
            raise UsageError("by='features': goes without mask, weights, asymmetric and device")
        how = _by_features(codes, queries, threads)
    elif by == "codes":
        how = _by_codes(codes, queries, mask, weights, asymmetric, threads, device)
    else:
        raise UsageError(f"by={by!r}: expected 'codes' or 'features'")
    offsets = second = None
    if radius is not None:
        distances, indices, offsets = how.within(how.limits(radius))
    else:
        distances, indices = how.nearest(many)
        if include_ties:
            distances, indices, offsets = how.within(distances[:, -1])
    distances = how.lengths(distances, offsets)
    if rescore is not None and isinstance(queries, Codes):
        distances, indices, second = rescored(codes, queries, distances, indices, places, rescore)
    return SearchResult(
        source=FeatureSource.of(codes) if by == "features" else Source.of(codes),
        distances=distances,
        indices=indices,
        offsets=offsets,
        n=n,
        queries=how.queries,
        bits=how.bits,
        k=places if radius is None else None,
        radius=radius,
        distance=how.distance,
        rescored=second,
        rescored_by=rescore or "",
        fetched=None if rescore is None else many,
    )


@dataclass(frozen=True)
class _Engine:
    """The two kinds of search, ready for the queries: `nearest(k)` and `within(limit [Q])`.

    Weighted distances are whole numbers: each query's distance times 2^shift, with an error of at most `slack`.
    """

    nearest: Callable[[int], Any]
    within: Callable[[np.ndarray], Any]
    queries: int
    distance: str
    bits: int | None
    shift: np.ndarray | None = None
    slack: np.ndarray | None = None

    def limits(self, radius: float) -> np.ndarray:
        """The radius of each query in the numbers `within` compares."""
        if self.shift is None:
            return np.full(self.queries, float(radius))
        with np.errstate(over="ignore"):
            return np.ldexp(float(radius), self.shift) + self.slack

    def lengths(self, found: np.ndarray, offsets: np.ndarray | None) -> np.ndarray:
        """Distances in the units of the caller: int32 for Hamming, float64 otherwise."""
        if self.shift is None:
            return found.astype(np.int32, copy=False) if self.distance == "Hamming" else found
        shift = self.shift[:, None] if offsets is None else np.repeat(self.shift, np.diff(offsets))
        return np.ldexp(found, -shift)


def _by_codes(
    codes: Codes,
    queries: Codes | np.ndarray,
    mask: np.ndarray | Sequence[int] | None,
    weights: np.ndarray | None,
    asymmetric: bool,
    threads: int | None,
    device: str,
) -> _Engine:
    packed, logits = _queries(codes, queries, asymmetric)
    keep = bit_mask(mask, codes.bits)
    cost = None if weights is None else _weights(weights, codes.bits)
    plain = logits is None and cost is None
    costs = None if plain else bit_costs(codes.bits, packed, logits, keep, cost)
    if device == "cpu":
        nearest, within = _on_cpu(codes, packed, keep, costs, threads)
    else:
        try:
            from codelab.neighbours.gpu import on_device
        except ImportError:
            raise UsageError(f"device={device!r}: needs torch, found none (pip install 'codelab[models]')") from None
        nearest, within = on_device(codes, packed, keep, costs, device)
    if costs is None:
        return _Engine(nearest, within, len(packed), "Hamming", int(keep.sum()))
    name = "weighted Hamming" if logits is None else "asymmetric Hamming"
    return _Engine(nearest, within, len(costs.ones), name, int(keep.sum()), costs.shift, costs.slack)


def _by_features(codes: Codes, queries: Codes | np.ndarray, threads: int | None) -> _Engine:
    from codelab.neighbours import weighted

    mine, theirs = queries.features if isinstance(queries, Codes) else np.asarray(queries), codes.features
    if mine is None or theirs is None:
        name = "database" if theirs is None else "queries"
        raise DataError(f"{name}: by='features' needs features, and these codes have none")
    width = theirs.shape[1]
    if mine.ndim != 2 or mine.shape[1] != width or mine.dtype.kind not in "fiu":
        raise DataError(f"queries: expected features [Q, {width}], found {mine.dtype} {list(mine.shape)}")
    if not np.isfinite(mine).all():
        raise DataError("queries: a feature is NaN or infinite")
    source, q, n = weighted.cosine(mine, theirs), len(mine), len(codes)
    return _Engine(
        lambda k: weighted.nearest(source, q, n, k, threads),
        lambda r: weighted.within(source, q, n, r, threads),
        q,
        "cosine",
        None,
    )


def bit_mask(mask: np.ndarray | Sequence[int] | None, bits: int) -> np.ndarray:
    """A choice of bits as bool `[B]`: None is all of them, otherwise bool `[B]` or bit numbers."""
    if mask is None:
        return np.ones(bits, bool)
    given = np.asarray(mask)
    if given.dtype == bool:
        if given.shape != (bits,):
            raise UsageError(f"mask: expected {bits} values, one a bit, found shape {list(given.shape)}")
        keep = given
    else:
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise UsageError(f"mask: expected bool [{bits}] or bit numbers, found {given.dtype} {list(given.shape)}")
        wrong = given[(given < 0) | (given >= bits)]
        if wrong.size:
            raise UsageError(f"mask: bit {wrong[0]}: this code has bits 0 to {bits - 1}")
        if len(given) == bits > 1 and set(np.unique(given)) <= {0, 1}:
            raise UsageError(
                f"mask: found {bits} whole numbers 0 and 1, expected them as bool [{bits}], or bit numbers"
            )
        keep = np.zeros(bits, bool)
        keep[given.astype(np.int64)] = True
    if not keep.any():
        raise UsageError("mask: no bit is chosen")
    return keep


def _queries(codes: Codes, queries: Any, asymmetric: bool) -> tuple[np.ndarray, np.ndarray | None]:
    bits = codes.bits
    if isinstance(queries, str):
        check_codes("queries", queries)
    if isinstance(queries, Codes):
        if queries.bits != bits:
            raise DataError(f"queries: found codes of {queries.bits} bits, the database has {bits}")
        if asymmetric and queries.logits is None:
            raise DataError("queries: asymmetric search needs their logits, and they have none")
        return queries.packed, np.asarray(queries.logits, np.float64) if asymmetric else None
    array = np.asarray(queries)
    width = bits if asymmetric else (bits + 7) // 8
    if (
        array.ndim != 2
        or array.shape[1] != width
        or (array.dtype.kind not in "fiu" if asymmetric else array.dtype != np.uint8)
    ):
        raise DataError(
            f"queries: expected {'logits' if asymmetric else 'uint8'} [Q, {width}] for codes of {bits} bits, "
            f"found {array.dtype} {list(array.shape)}"
        )
    if not asymmetric:
        return Codes(array, bits).packed, None
    if not np.isfinite(array).all():
        raise DataError("queries: a logit is NaN or infinite")
    return np.zeros((len(array), 0), np.uint8), array.astype(np.float64)


def _weights(weights: np.ndarray, bits: int) -> np.ndarray:
    cost = np.asarray(weights)
    if cost.shape != (bits,) or cost.dtype.kind not in "fiub":
        raise UsageError(f"weights: expected {bits} numbers, one a bit, found {cost.dtype} {list(cost.shape)}")
    if not (np.isfinite(cost) & (cost >= 0)).all():
        raise UsageError("weights: expected finite numbers of 0 or more")
    return cost.astype(np.float64)


def _on_cpu(
    codes: Codes, packed: np.ndarray, keep: np.ndarray, costs: BitCosts | None, threads: int | None
) -> tuple[Callable[[int], Any], Callable[[np.ndarray], Any]]:
    """The two kinds of search, `nearest(k)` and `within(limit [Q])`, on the CPU."""
    if costs is None:
        from codelab.neighbours.hamming import Scan

        scan = Scan.of(codes, keep=keep, threads=threads)
        return (lambda k: scan.nearest(packed, k)), (
            lambda r: scan.within(packed, np.minimum(r, scan.bits).astype(np.int64))
        )
    from codelab.neighbours import weighted

    source = weighted.costs_by_bit(costs.ones, costs.zeros, codes.packed)
    q, n = len(costs.ones), len(codes)
    return (
        lambda k: weighted.nearest(source, q, n, k, threads),
        lambda r: weighted.within(source, q, n, r, threads),
    )
