"""Claim: distances at 70 % of what the processor's popcount can do; any subset of bits costs at most 15 % more.

    python benchmarks/distances.py

The bound is 8 codes in six cycles (12 512-bit operations, two a cycle: xor, popcount and add of four words), at the
clock rate measured in the same run; on a machine without 512-bit popcount the bound does not apply.
"""

import argparse
import time

import numpy as np
from measure import best_of, load, make_codes, side_by_side
from numba import njit

from codelab import search
from codelab.kernels._scan import measure
from codelab.neighbours.hamming import TILE, Scan


@njit(nogil=True)
def scan(tiles, queries, lanes):
    """All distances of the queries, each tile's into the same buffer: what every measure is built on."""
    seen = np.uint64(0)
    for t in range(len(tiles)):
        for q in range(0, len(queries), 4):
            seen ^= measure(tiles[t], queries[q : q + 4], np.uint64(0), lanes)
    return seen


@njit
def spin(n):
    """A chain of dependent shifts and adds: three cycles a step on any processor of today."""
    x = np.uint64(1)
    for _ in range(n):
        x = (x ^ (x << np.uint64(1))) + np.uint64(1)
    return x


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
parser.add_argument("--n", type=int, default=1_000_000)
parser.add_argument("--queries", type=int, default=256)
options = parser.parse_args()

print(load())
codes, queries = make_codes("random", options.n), make_codes("random", options.queries, seed=1)
tiles = Scan.of(codes).tiles
words, lanes = queries.packed.view(np.uint64), np.empty(TILE, np.uint64)
pairs = options.n * options.queries

spin(10)
rates = []
for _ in range(7):
    used = time.process_time()
    spin(100_000_000)
    rates.append(3 * 1e8 / (time.process_time() - used))
hertz = max(rates)
bound = 8 / 6 * hertz
columns = codes.packed[:100_000].view(np.uint64).T.copy()


def numpy_distances():
    """NumPy's popcount, word by word, for 16 queries."""
    for query in words[:16]:
        sum(np.bitwise_count(column ^ word).astype(np.uint16) for column, word in zip(columns, query, strict=True))


times = side_by_side(
    {
        "ours": lambda: scan(tiles, words, lanes),
        "numpy": numpy_distances,
    },
    times=5,
)
rate, numpy_rate = pairs / times["ours"].cpu / 1e9, 16 * columns.shape[1] / times["numpy"].cpu / 1e9
print(
    f"distances, 256 bits, N = {options.n:,}, {options.queries} queries, 1 thread: {rate:.2f} G/s; "
    f"NumPy bitwise_count {numpy_rate:.2f} G/s ({rate / numpy_rate:.0f}x); {rate / 5.3:.0%} of 5.3 G/s, "
    f"{rate * 1e9 / bound:.0%} of the bound at the {hertz / 1e9:.2f} GHz of this run (goal 70 %)"
)
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
