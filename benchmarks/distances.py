"""Claim: distances at 70 % of what the processor's popcount can do; any subset of bits costs at most 15 % more.

    python benchmarks/distances.py

The bound is that of the processor at hand,

    bound = clock x simple operations a cycle x words an operation / operations a word / 4 words of 256 bits

Clock and operations a cycle (the ports) are measured: a chain of dependent steps, and independent xor and add in
registers. The width is from /proc/cpuinfo. With avx512_vpopcntdq a word takes 3 operations (xor, popcount, add) of 512
bits; with avx2 it takes 9 of 256 bits, as a popcount is 7 (two masks, a shift, two look-ups, an add, a sum of bytes).
Look-ups have fewer ports, so the bound is on the high side. Rates are per CPU second, the best of many short runs.
"""

import argparse
import time
from pathlib import Path

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


@njit(nogil=True)
def simple(words, a, times):
    """Sixteen independent xor and add a word: how many a cycle is how many ports there are."""
    for _ in range(times):
        for i in range(len(words)):
            x = words[i]
            x = ((((x ^ a) + a) ^ a) + a) ^ a
            x = ((((x + a) ^ a) + a) ^ a) + a
            x = (((((x ^ a) + a) ^ a) + a) ^ a) + a
            words[i] = x


def width() -> int:
    """Bits of the instructions that a popcount is made of here."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split()
    except (OSError, IndexError):
        return 64
    return 512 if "avx512_vpopcntdq" in flags else 256 if "avx2" in flags else 64


def best_rate(work, amount: float, times: int = 200) -> float:
    """`amount` a CPU second, the best of some runs."""
    rates = []
    for _ in range(times):
        used = time.process_time()
        work()
        rates.append(amount / (time.process_time() - used))
    return max(rates)


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
hertz = best_rate(lambda: spin(1_000_000), 3 * 1e6)
near = np.arange(1024, dtype=np.uint64)  # 8 KB stay in the first cache
simple(near, np.uint64(3), 1)
lanes_wide, operations = width() // 64, 9 if width() == 256 else 3
ports = best_rate(lambda: simple(near, np.uint64(3), 1_000), 16 * 1_000 * len(near)) / lanes_wide / hertz
bound = hertz * ports * lanes_wide / operations / words.shape[1]
print(
    f"this processor: {hertz / 1e9:.2f} GHz, {ports:.2f} simple operations a cycle of {width()} bits, "
    f"{operations} of them a word: bound {bound / 1e9:.2f} G distances/s"
)
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
    f"NumPy bitwise_count {numpy_rate:.2f} G/s ({rate / numpy_rate:.0f}x); "
    f"{rate * 1e9 / bound:.0%} of the bound (goal 70 %)"
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
