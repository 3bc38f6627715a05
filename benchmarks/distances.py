"""Claim: distances at 70 % of what the processor's popcount can do; any subset of bits costs at most 15 % more.

    python benchmarks/distances.py

The bound is that of the processor at hand: a tight loop over 8 KB that stay in the first cache, which does nothing but
xor, popcount and add of four words for one query. The same compiler makes it, so that it has the kernel's width of
instructions; no other loop tried here was faster. Short runs of both take turns, so that both have one clock. Rates
are per CPU second, the best of all turns; the bound is printed from its median to its best.
"""

import argparse
import time

import numpy as np
from measure import best_of, load, make_codes, side_by_side
from numba import njit

from codelab import search
from codelab.kernels._scan import _apart, measure
from codelab.neighbours.hamming import TILE, Scan


@njit(nogil=True)
def scan(tiles, queries, lanes):
    """All distances of the queries, each tile's into the same buffer: what every measure is built on."""
    seen = np.uint64(0)
    for t in range(len(tiles)):
        for q in range(0, len(queries), 4):
            seen ^= measure(tiles[t], queries[q : q + 4], np.uint64(0), lanes)
    return seen


@njit(nogil=True)
def counting(tile, query, times, out):
    """Distances of one query to four words of each item: nothing but xor, count and add."""
    q0, q1, q2, q3 = query[0], query[1], query[2], query[3]
    x0, x1, x2, x3 = tile[0], tile[1], tile[2], tile[3]
    for _ in range(times):
        for i in range(len(out)):
            out[i] = _apart(x0[i], x1[i], x2[i], x3[i], q0, q1, q2, q3)
        q0 += np.uint64(1)  # or the compiler would count once


def rates(tiles, words, turns: int = 60, each: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Distances a CPU second of the kernel and of the tight loop, `[turns]` each, in turns of a few milliseconds."""
    lanes, out, times = np.empty(TILE, np.uint64), np.empty(256, np.uint64), 4000
    near = np.arange(4 * len(out), dtype=np.uint64).reshape(4, -1)
    scan(tiles[:1], words, lanes)
    counting(near, words[0], 1, out)
    kernel, tight = [], []
    for turn in range(turns):
        some = tiles[turn * each % (len(tiles) - each) :][:each]
        used = [time.process_time()]
        scan(some, words, lanes)
        used.append(time.process_time())
        counting(near, words[turn], times, out)
        used.append(time.process_time())
        kernel.append(each * TILE * len(words) / (used[1] - used[0]))
        tight.append(len(out) * times / (used[2] - used[1]))
    return np.array(kernel), np.array(tight)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
parser.add_argument("--n", type=int, default=1_000_000)
parser.add_argument("--queries", type=int, default=256)
options = parser.parse_args()

print(load())
codes, queries = make_codes("random", options.n), make_codes("random", options.queries, seed=1)
tiles, words = Scan.of(codes).tiles, queries.packed.view(np.uint64)
pairs = options.n * options.queries

columns = codes.packed[:100_000].view(np.uint64).T.copy()


def numpy_distances():
    """NumPy's popcount, word by word, for 16 queries."""
    for query in words[:16]:
        sum(np.bitwise_count(column ^ word).astype(np.uint16) for column, word in zip(columns, query, strict=True))


kernel, tight = rates(tiles, words)
rate, bound = kernel.max() / 1e9, tight.max() / 1e9
numpy_rate = 16 * columns.shape[1] / best_of(numpy_distances).cpu / 1e9
print(
    f"distances, 256 bits, N = {options.n:,}, {options.queries} queries, 1 thread: {rate:.2f} G/s; "
    f"NumPy bitwise_count {numpy_rate:.2f} G/s ({rate / numpy_rate:.0f}x); "
    f"{rate / bound:.0%} of the bound {np.median(tight) / 1e9:.2f} to {bound:.2f} G/s (goal 70 %)"
)
grades = np.zeros(len(codes), np.int32)
counted = best_of(lambda: Scan.of(codes, threads=1).histograms(queries.packed, grades, grades[: len(queries)] + 1))
fused = pairs / counted.cpu / 1e9
print(f"distance and histogram in one pass, as mAP needs them: {fused:.2f} G/s, {fused / rate:.0%} of it (goal 50 %)")
out = best_of(lambda: Scan.of(codes, threads=1).distances(queries.packed[:64]))
print(f"the same written out as uint16 [64, {options.n:,}]: {64 * options.n / out.cpu / 1e9:.2f} G/s")

generator = np.random.default_rng(0)
for count in (255, 192, 128, 64):
    mask = np.zeros(256, bool)
    mask[generator.permutation(256)[:count]] = True
    times = side_by_side(
        {
            "all": lambda: search(codes, queries, k=10, threads=1),
            "some": lambda m=mask: search(codes, queries, k=10, mask=m, threads=1),
        },
        times=5,
    )
    cost = times["some"].cpu / times["all"].cpu - 1
    print(f"top-10 by any {count} of 256 bits: {cost:+.1%} of the time by all bits (goal: at most +15 %)")
