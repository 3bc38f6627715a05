"""Compiled loops over all pairs of query and item: Hamming distances, and what is counted or kept on the way.

Layout: the database is cut into tiles of 512 items, uint64 `[T, W, 512]`, so that one instruction handles word w of
eight items. A block of queries passes over each tile while it is in the cache, four queries at a time; their distances
to an item share one uint64, a lane of 16 bits each. For a query with a limit,

    lane + (2^15 - limit)   has its top bit set exactly if   distance >= limit

so one AND of these sums over a tile tells whether any item of it is nearer than a limit.
"""

# mypy: disallow-untyped-defs=False, disable-error-code="call-arg"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from codelab.kernels._columns import popcount

TILE = 512
CHUNK = 32
LANE = np.uint64(16)
LOW = np.uint64(0xFFFF)
TOP = np.uint64(0x8000800080008000)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


class Part(NamedTuple):
    """Tiles `first` to `last` of a database of n items, of whose words, and of whose bits, only some may count."""

    tiles: np.ndarray
    """uint64 `[T, W, 512]`."""
    first: int
    last: int
    n: int
    words: np.ndarray
    """int64 `[V]`: the words that count."""
    mask: np.ndarray
    """uint64 `[V]`: the bits of these words that count."""
    masked: bool
    """Whether any bit does not count."""


class Owners(NamedTuple):
    """An item is left out of the ranking of queries with the same owner.

    Both are empty where nothing is left out: None would be another type, for which every loop is compiled again.
    """

    items: np.ndarray
    """int32 `[n]`."""
    queries: np.ndarray
    """int32 `[Q]`."""


class Kept(NamedTuple):
    """The items that may be among the k nearest of each query."""

    limit: np.ndarray
    """int64 `[Q]`: the distance of the k-th nearest so far, bits + 1 until there are k; see `near`."""
    near: np.ndarray
    """int64 `[Q]`: how many items were at distance <= limit."""
    seen: np.ndarray
    """int64 `[Q, bits + 2]`: how many there were at each distance."""
    far: np.ndarray
    """uint16 `[Q, room]`, room > k: their distances, in row order."""
    rows: np.ndarray
    """int64 `[Q, room]`: their rows."""
    size: np.ndarray
    """int64 `[Q]`: how many are in the list."""


@njit(inline="always")
def _pack(a, b, c, d):
    return a + (b << np.uint64(16)) + (c << np.uint64(32)) + (d << np.uint64(48))


@njit(inline="always")
def _apart(v0, v1, v2, v3, q0, q1, q2, q3):
    return popcount(v0 ^ q0) + popcount(v1 ^ q1) + popcount(v2 ^ q2) + popcount(v3 ^ q3)


@njit(cache=True, nogil=True)
def _four_words(tile, w, q, first, floor, lanes):
    """Distances over words w to w + 3 of four queries to a tile, set or added to `lanes`; the AND of lanes + floor."""
    x0, x1, x2, x3 = tile[w], tile[w + 1], tile[w + 2], tile[w + 3]
    a0, a1, a2, a3 = q[0, w], q[0, w + 1], q[0, w + 2], q[0, w + 3]
    b0, b1, b2, b3 = q[1, w], q[1, w + 1], q[1, w + 2], q[1, w + 3]
    c0, c1, c2, c3 = q[2, w], q[2, w + 1], q[2, w + 2], q[2, w + 3]
    d0, d1, d2, d3 = q[3, w], q[3, w + 1], q[3, w + 2], q[3, w + 3]
    every = ALL
    for i in range(TILE):
        v0, v1, v2, v3 = x0[i], x1[i], x2[i], x3[i]
        packed = _pack(
            _apart(v0, v1, v2, v3, a0, a1, a2, a3),
            _apart(v0, v1, v2, v3, b0, b1, b2, b3),
            _apart(v0, v1, v2, v3, c0, c1, c2, c3),
            _apart(v0, v1, v2, v3, d0, d1, d2, d3),
        )
        if not first:
            packed += lanes[i]
        lanes[i] = packed
        every &= packed + floor
    return every


@njit(cache=True, nogil=True)
def _one_word(tile, w, q, first, floor, lanes):
    x = tile[w]
    a, b, c, d = q[0, w], q[1, w], q[2, w], q[3, w]
    every = ALL
    for i in range(TILE):
        v = x[i]
        packed = _pack(popcount(v ^ a), popcount(v ^ b), popcount(v ^ c), popcount(v ^ d))
        if not first:
            packed += lanes[i]
        lanes[i] = packed
        every &= packed + floor
    return every


@njit(cache=True, nogil=True)
def measure(tile, q, floor, lanes):
    """Distances of four queries `[4, W]` to a tile `[W, 512]` into `lanes`; the AND of lanes + floor over the tile."""
    width = len(tile)
    every = ALL
    w = 0
    while w < width:
        if width - w >= 4:
            every = _four_words(tile, w, q, w == 0, floor, lanes)
            w += 4
        else:
            every = _one_word(tile, w, q, w == 0, floor, lanes)
            w += 1
    return every


@njit(cache=True, nogil=True)
def _tile(part, t, copy):
    """Tile t with only the words and bits that count: the tile itself, or a masked copy in `copy` `[V, 512]`."""
    if not part.masked:
        return part.tiles[t]
    for w in range(len(part.words)):
        source, target, keep = part.tiles[t, part.words[w]], copy[w], part.mask[w]
        for i in range(TILE):
            target[i] = source[i] & keep
    return copy


@njit(inline="always")
def _floor(limit, q):
    half = np.uint64(0x8000)
    return _pack(
        half - np.uint64(limit[q]),
        half - np.uint64(limit[q + 1]),
        half - np.uint64(limit[q + 2]),
        half - np.uint64(limit[q + 3]),
    )


@njit(cache=True, nogil=True)
def _far(lanes, start, floor):
    """Whether no lane of a chunk is below its limit."""
    every = ALL
    for i in range(start, start + CHUNK):
        every &= lanes[i] + floor
    return every & TOP == TOP


@njit(cache=True, nogil=True)
def distances(part, queries, out):
    """All distances, uint16 `[Q, n]`; `out` has no rows for queries that only fill a group of four."""
    lanes = np.empty(TILE, np.uint64)
    copy = np.empty((len(part.words), TILE), np.uint64)
    for t in range(part.first, part.last):
        tile = _tile(part, t, copy)
        start, stop = t * TILE, min(part.n, t * TILE + TILE)
        for q in range(0, len(queries), 4):
            measure(tile, queries[q : q + 4], np.uint64(0), lanes)
            for j in range(min(4, len(out) - q)):
                row, shift = out[q + j, start:stop], LANE * np.uint64(j)
                for i in range(len(row)):
                    row[i] = (lanes[i] >> shift) & LOW


@njit(nogil=True)
def _left_out(owners, row, q):
    return len(owners.items) > 0 and owners.items[row] == owners.queries[q]


def _for_each_near(take):
    """A loop that calls the compiled `take(q, row, distance, into)` for every item nearer than its query's limit.

    Items come in row order. The loop takes:
        part: the database.
        queries: uint64 `[Q, V]`, Q a multiple of 4, only the words and bits that count.
        limit: int64 `[Q]`, read again for each item, so `take` may lower it; 0 for a query that only fills a group of
            four.
        owners: `Owners`.
        into: what `take` reads and writes.
    """

    @njit(nogil=True)  # not kept on disk itself, but within the functions that call it
    def loop(part, queries, limit, owners, into):
        lanes = np.empty(TILE, np.uint64)
        copy = np.empty((len(part.words), TILE), np.uint64)
        for t in range(part.first, part.last):
            tile = _tile(part, t, copy)
            for q in range(0, len(queries), 4):
                floor = _floor(limit, q)
                if measure(tile, queries[q : q + 4], floor, lanes) & TOP == TOP:
                    continue
                for start in range(0, TILE, CHUNK):
                    if _far(lanes, start, floor):
                        continue
                    for i in range(start, start + CHUNK):
                        word = lanes[i]
                        if (word + floor) & TOP == TOP:
                            continue
                        row = t * TILE + i
                        if row >= part.n:
                            break
                        for j in range(q, q + 4):
                            d = np.int64(word & LOW)
                            word >>= LANE
                            if d < limit[j] and not _left_out(owners, row, j):
                                take(j, row, d, into)

    return loop


@njit(nogil=True)
def _count(q, row, d, counts):
    counts[q] += 1


_count_each = _for_each_near(_count)


@njit(cache=True, nogil=True)
def count_near(part, queries, limit, owners, counts):
    """How many items are nearer than each query's limit, added to `counts` int64 `[Q]`."""
    _count_each(part, queries, limit, owners, counts)


@njit(nogil=True)
def _list(q, row, d, into):
    place, far, rows = into
    far[place[q]] = d
    rows[place[q]] = row
    place[q] += 1


_list_each = _for_each_near(_list)


@njit(cache=True, nogil=True)
def list_near(part, queries, limit, owners, place, far, rows):
    """List what is nearer than each query's limit in `far` and `rows`, query q from `place[q]` on, in row order."""
    _list_each(part, queries, limit, owners, (place, far, rows))


@njit(nogil=True)
def _count_class(q, row, d, into):
    limit, labels, counts = into
    if d == limit[q] - 1 and labels[row] >= 0:
        counts[q, labels[row]] += 1


_count_class_of_each = _for_each_near(_count_class)


@njit(cache=True, nogil=True)
def count_classes(part, queries, limit, owners, labels, counts):
    """Items of each class at exactly limit - 1 from each query, added to `counts` int64 `[Q, C]`."""
    _count_class_of_each(part, queries, limit, owners, (limit, labels, counts))


@njit(nogil=True)
def _keep(q, row, d, into):
    """Add an item; the limit falls as long as k items are nearer."""
    k, kept = into
    limit, near, seen = kept.limit, kept.near, kept.seen
    if kept.size[q] == kept.far.shape[1]:
        _cut_back(q, k, limit[q], kept)
    kept.far[q, kept.size[q]] = d
    kept.rows[q, kept.size[q]] = row
    kept.size[q] += 1
    seen[q, d] += 1
    near[q] += 1
    while near[q] - seen[q, limit[q]] >= k:
        near[q] -= seen[q, limit[q]]
        limit[q] -= 1


_keep_each = _for_each_near(_keep)


@njit(cache=True, nogil=True)
def nearest(part, queries, owners, k, kept):
    """Keep what may be among the k nearest items of each query, in one pass over a part of the database.

    Items arrive in row order, so a later item at the same distance as the k-th so far is never among the k nearest.
    """
    _keep_each(part, queries, kept.limit, owners, (k, kept))


@njit(cache=True, nogil=True)
def _cut_back(q, k, limit, kept):
    """Drop the items that are not among the k nearest; of those at the limit the first rows stay."""
    far, rows = kept.far[q], kept.rows[q]
    room = k - (kept.near[q] - kept.seen[q, limit])
    size = 0
    for at in range(kept.size[q]):
        d = far[at]
        if d < limit or (d == limit and room > 0):
            room -= d == limit
            far[size] = d
            rows[size] = rows[at]
            size += 1
    kept.size[q] = size


@njit(cache=True, nogil=True)
def histograms(part, queries, owners, labels, query_labels, counts):
    """Count the items of each query by grade and distance.

    A lane becomes distance + stride * (grade + (top + 1) if the item is left out), and is then an address in the
    query's table. The grade of an item is how many labels it shares with the query, at most `top`.

    Args:
        part: the database.
        queries: uint64 `[Q, V]`, Q a multiple of 4, only the words and bits that count.
        owners: `Owners`.
        labels, query_labels: int32 `[n]` and `[Q]`, different where there is none; or sets of labels, uint64 `[n, L]`
            and `[Q, L]`.
        counts: uint32 `[Q, 2 (top + 1), stride]`, stride = bits + 1; added to.
    """
    top, stride = counts.shape[1] // 2 - 1, counts.shape[2]
    lanes = np.empty(TILE, np.uint64)
    copy = np.empty((len(part.words), TILE), np.uint64)
    table = counts.reshape(len(counts), -1)
    for t in range(part.first, part.last):
        tile = _tile(part, t, copy)
        start, stop = t * TILE, min(part.n, t * TILE + TILE)
        for q in range(0, len(queries), 4):
            measure(tile, queries[q : q + 4], np.uint64(0), lanes)
            if labels.ndim == 1:  # known when the loop is compiled
                _add_equal(labels[start:stop], query_labels[q : q + 4], stride, lanes)
            else:
                _add_shared(labels[start:stop], query_labels[q : q + 4], top, stride, lanes)
            if len(owners.items):
                _add_equal(owners.items[start:stop], owners.queries[q : q + 4], (top + 1) * stride, lanes)
            h0, h1, h2, h3 = table[q], table[q + 1], table[q + 2], table[q + 3]
            for i in range(stop - start):
                word = lanes[i]
                h0[word & LOW] += np.uint32(1)
                h1[(word >> np.uint64(16)) & LOW] += np.uint32(1)
                h2[(word >> np.uint64(32)) & LOW] += np.uint32(1)
                h3[word >> np.uint64(48)] += np.uint32(1)


@njit(cache=True, nogil=True)
def _add_equal(values, mine, step, lanes):
    """Add `step` to the lane of each query whose value an item has."""
    m0, m1, m2, m3 = mine[0], mine[1], mine[2], mine[3]
    step, nothing = np.uint64(step), np.uint64(0)
    for i in range(len(values)):
        v = values[i]
        lanes[i] += _pack(
            step if v == m0 else nothing,
            step if v == m1 else nothing,
            step if v == m2 else nothing,
            step if v == m3 else nothing,
        )


@njit(cache=True, nogil=True)
def _add_shared(sets, mine, top, stride, lanes):
    """Add `stride` to the lane of each query for each label it shares with an item, at most `top` times."""
    for j in range(4):
        shift = LANE * np.uint64(j)
        for i in range(len(sets)):
            shared = np.uint64(0)
            for w in range(sets.shape[1]):
                shared += popcount(sets[i, w] & mine[j, w])
            lanes[i] += (min(shared, np.uint64(top)) * np.uint64(stride)) << shift
