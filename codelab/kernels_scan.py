"""Compiled loops over all pairs of query and item: Hamming distances and what is made of them on the fly.

Layout: the database is cut into tiles of 512 items, uint64 `[T, W, 512]`, so that one instruction handles word w of
eight items. Four queries go over a tile together; their distances to an item share one uint64, 16 bits each. Adding
2^15 - limit to such a lane sets its top bit exactly where distance >= limit: one AND over a tile says whether it
holds anything near enough to look at. A tile is worth its way into the cache only if many queries use it, so a block
of queries passes over each tile before the next is loaded.
"""

# mypy: disallow-untyped-defs=False, disable-error-code="call-arg"

from __future__ import annotations

import numpy as np
from numba import njit

from codelab.kernels_columns import popcount

TILE = 512
CHUNK = 32
LANE = np.uint64(16)
LOW = np.uint64(0xFFFF)
TOP = np.uint64(0x8000800080008000)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


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
def take_tile(tile, chosen, mask, out):
    """A tile with only the chosen words, and of these only the bits of the mask, in `out` `[len(chosen), 512]`."""
    for w in range(len(chosen)):
        source, target, keep = tile[chosen[w]], out[w], mask[w]
        for i in range(TILE):
            target[i] = source[i] & keep


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
def distances(tiles, span, n, chosen, mask, masked, queries, out):
    """All distances, uint16 `[Q, n]`; `out` has no rows for queries that only fill a group of four."""
    lanes = np.empty(TILE, np.uint64)
    copy = np.empty((len(chosen), TILE), np.uint64)
    for t in range(span[0], span[1]):
        tile = tiles[t]
        if masked:
            take_tile(tile, chosen, mask, copy)
            tile = copy
        start, stop = t * TILE, min(n, t * TILE + TILE)
        for q in range(0, len(queries), 4):
            measure(tile, queries[q : q + 4], np.uint64(0), lanes)
            for j in range(min(4, len(out) - q)):
                row, shift = out[q + j, start:stop], LANE * np.uint64(j)
                for i in range(len(row)):
                    row[i] = (lanes[i] >> shift) & LOW


@njit(cache=True, nogil=True)
def nearest(tiles, span, n, chosen, mask, masked, queries, k, owner, query_owner, limit, near, seen, far, rows, size):
    """The k nearest items of each query, in one pass over tiles span[0] to span[1].

    A query keeps every item nearer than `limit`, the distance of its k-th so far; items arrive in row order, so a
    later item at that distance can never be wanted. `seen` counts the kept items by distance and moves the limit;
    the list is cut back to k when it is full.

    Args:
        tiles, n, chosen, mask, masked: the database of n items; with `masked`, only these words and bits of it.
        queries: uint64 `[Q, W]`, Q a multiple of 4, already masked.
        owner, query_owner: int32 `[n]` and `[Q]`, an item is skipped where they are equal; empty: none is.
        limit: int64 `[Q]`, bits + 1; 0 for a query that is only there to fill a group of four.
        near: int64 `[Q]`, zeros: kept items at distance <= limit.
        seen: int64 `[Q, bits + 2]`, zeros.
        far, rows: `[Q, room]`, room > k: distances and rows of kept items.
        size: int64 `[Q]`, zeros: how many are kept.
    """
    lanes = np.empty(TILE, np.uint64)
    copy = np.empty((len(chosen), TILE), np.uint64)
    for t in range(span[0], span[1]):
        tile = tiles[t]
        if masked:
            take_tile(tile, chosen, mask, copy)
            tile = copy
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
                    if row >= n:
                        break
                    for j in range(q, q + 4):
                        d = np.int64(word & LOW)
                        word >>= LANE
                        if d < limit[j] and not (len(owner) and owner[row] == query_owner[j]):
                            _keep(j, d, row, k, limit, near, seen, far, rows, size)


@njit(cache=True, nogil=True)
def _keep(q, d, row, k, limit, near, seen, far, rows, size):
    if size[q] == far.shape[1]:
        _cut_back(q, k, limit, near, seen, far, rows, size)
    far[q, size[q]] = d
    rows[q, size[q]] = row
    size[q] += 1
    seen[q, d] += 1
    near[q] += 1
    while near[q] - seen[q, limit[q]] >= k:
        near[q] -= seen[q, limit[q]]
        limit[q] -= 1


@njit(cache=True, nogil=True)
def _cut_back(q, k, limit, near, seen, far, rows, size):
    """Drop all that cannot be among the k nearest; the first rows at the limit stay, for rows arrive in order."""
    last = limit[q]
    room = k - (near[q] - seen[q, last])
    kept = 0
    for at in range(size[q]):
        d = far[q, at]
        if d < last or (d == last and room > 0):
            room -= d == last
            far[q, kept] = d
            rows[q, kept] = rows[q, at]
            kept += 1
    size[q] = kept


@njit(cache=True, nogil=True)
def in_order(far, rows, size, bits, k, distances, indices):
    """Each query's kept items by (distance, row), the first k of them; a counting sort keeps the row order.

    Places that stay empty keep what `distances` and `indices` `[Q, k]` held.
    """
    place = np.empty(bits + 2, np.int64)
    for q in range(len(distances)):
        place[:] = 0
        for at in range(size[q]):
            place[far[q, at] + 1] += 1
        for d in range(bits + 1):
            place[d + 1] += place[d]
        for at in range(size[q]):
            d = far[q, at]
            if place[d] < k:
                distances[q, place[d]] = d
                indices[q, place[d]] = rows[q, at]
            place[d] += 1


COUNT, LIST, VOTE = 0, 1, 2


@njit(cache=True, nogil=True)
def within(
    tiles, span, n, chosen, mask, masked, queries, owner, query_owner, limit, action, size, far, rows, labels, votes
):
    """Visit every item nearer than its query's limit.

    Args:
        tiles, span, n, chosen, mask, masked, queries, owner, query_owner, limit: as for `nearest`; limits stay.
        action: COUNT them in `size`; LIST them in row order in `far` and `rows`, where query q writes from size[q] on;
            or VOTE: at exactly limit - 1, count the item's class in `votes` `[Q, C]`.
    """
    lanes = np.empty(TILE, np.uint64)
    copy = np.empty((len(chosen), TILE), np.uint64)
    for t in range(span[0], span[1]):
        tile = tiles[t]
        if masked:
            take_tile(tile, chosen, mask, copy)
            tile = copy
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
                    if row >= n:
                        break
                    for j in range(q, q + 4):
                        d = np.int64(word & LOW)
                        word >>= LANE
                        if d >= limit[j] or (len(owner) and owner[row] == query_owner[j]):
                            continue
                        if action == VOTE:
                            if d == limit[j] - 1 and labels[row] >= 0:
                                votes[j, labels[row]] += 1
                            continue
                        if action == LIST:
                            far[size[j]] = d
                            rows[size[j]] = row
                        size[j] += 1


@njit(cache=True, nogil=True)
def sort_lists(far, rows, offsets, bits):
    """Bring each query's part of `far` and `rows` from row order into (distance, row) order."""
    place = np.empty(bits + 2, np.int64)
    for q in range(len(offsets) - 1):
        start, stop = offsets[q], offsets[q + 1]
        old_far, old_rows = far[start:stop].copy(), rows[start:stop].copy()
        place[:] = 0
        for d in old_far:
            place[d + 1] += 1
        for d in range(bits + 1):
            place[d + 1] += place[d]
        for at in range(stop - start):
            d = old_far[at]
            far[start + place[d]] = d
            rows[start + place[d]] = old_rows[at]
            place[d] += 1


@njit(cache=True, nogil=True)
def histograms(
    tiles,
    span,
    n,
    chosen,
    mask,
    masked,
    queries,
    owner,
    query_owner,
    labels,
    query_labels,
    sets,
    query_sets,
    top,
    counts,
):
    """Count the items of each query by grade and distance.

    A lane becomes distance + stride * (grade + (top + 1) if the item is left out), and is then an address in the
    query's table. Grade: labels shared, at most `top`.

    Args:
        tiles, span, n, chosen, mask, masked, queries, owner, query_owner: as for `nearest`.
        labels, query_labels: int32 `[n]` and `[Q]`, negative for none; not read where there are sets.
        sets, query_sets: uint64 `[n, L]` and `[Q, L]`, sets of labels; empty where items have one label.
        top: the highest grade.
        counts: uint32 `[Q, 2 (top + 1), stride]`, stride = bits + 1; added to.
    """
    stride = counts.shape[2]
    lanes = np.empty(TILE, np.uint64)
    copy = np.empty((len(chosen), TILE), np.uint64)
    table = counts.reshape(len(counts), -1)
    for t in range(span[0], span[1]):
        tile = tiles[t]
        if masked:
            take_tile(tile, chosen, mask, copy)
            tile = copy
        start, stop = t * TILE, min(n, t * TILE + TILE)
        for q in range(0, len(queries), 4):
            measure(tile, queries[q : q + 4], np.uint64(0), lanes)
            if len(sets):
                _add_shared(sets[start:stop], query_sets[q : q + 4], top, stride, lanes)
            else:
                _add_equal(labels[start:stop], query_labels[q : q + 4], stride, lanes)
            if len(owner):
                _add_equal(owner[start:stop], query_owner[q : q + 4], (top + 1) * stride, lanes)
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


@njit(cache=True, nogil=True)
def add_up(packed, tables, out):
    """Distances that are sums of one table entry a byte: weighted and asymmetric Hamming.

    Args:
        packed: uint8 `[n, V]`.
        tables: float32 `[Q, V, 256]`.
        out: float32 `[Q, n]`; summed in float64 in the order of the bytes, so equal codes get equal distances.
    """
    for q in range(len(tables)):
        table, row = tables[q], out[q]
        for i in range(len(packed)):
            total = 0.0
            for byte in range(packed.shape[1]):
                total += table[byte, packed[i, byte]]
            row[i] = total
