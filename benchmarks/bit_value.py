"""Claim: the value of 256 bits (1,000 queries, N = 1e5) takes less than two minutes on 2 cores.

    OMP_NUM_THREADS=1 python benchmarks/bit_value.py

The peer is a loop over `retrieval_map` on codes with one bit changed. It is timed on a few bits and scaled: the same
figures are 2 B  evaluations for masked and permuted bits, and B + 1 for each set of bits behind the shares.
"""

import argparse
import time

import numpy as np
from measure import Timing, load, make_codes

from codelab import Codes, bit_value, retrieval_map

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
parser.add_argument("--n", type=int, default=100_000)
parser.add_argument("--bits", type=int, default=256)
parser.add_argument("--queries", type=int, default=1000)
parser.add_argument("--subsets", type=int, default=32)
parser.add_argument("--peer-bits", type=int, default=6)
options = parser.parse_args()

GOAL = 120.0


def timed(work) -> tuple[object, Timing]:
    clock, used = time.perf_counter(), time.process_time()
    found = work()
    return found, Timing(time.perf_counter() - clock, time.process_time() - used)


def masked_by_a_loop(codes: Codes, bits: range) -> np.ndarray:
    """What mAP loses without each of these bits, by as many evaluations; the first gives the mAP of all bits."""
    rows = np.sort(np.random.default_rng(0).choice(len(codes), options.queries, replace=False))
    unit = np.arange(len(codes))

    def value(packed: np.ndarray) -> float:
        database = Codes(packed, codes.bits, codes.labels)
        return retrieval_map(database[rows], database, groups=(unit[rows], unit), bootstrap=1).value

    lost = []
    for b in bits:
        packed = codes.packed.copy()
        packed[:, b // 8] &= ~np.uint8(1 << (7 - b % 8))
        lost.append(value(packed))
    return value(codes.packed) - np.array(lost)


print(load())
codes = make_codes("clustered", options.n, bits=options.bits, classes=100)
bit_value(codes[:2000], queries=8, subsets=2)  # compiles
found, ours = timed(lambda: bit_value(codes, queries=options.queries, subsets=options.subsets, seed=0, progress=True))
some = range(options.peer_bits)
lost, theirs = timed(lambda: masked_by_a_loop(codes, some))
evaluations = 2 * options.bits + options.subsets * (options.bits + 1)
scale = evaluations / (len(some) + 1)
print(f"value of {options.bits} bits, N = {options.n:,}, {options.queries:,} queries, {options.subsets} sets of bits:")
print(
    f"  codelab {ours.wall:.0f} s ({ours.cpu:.0f} s of CPU: {ours.cpu / 2:.0f} s on 2 free cores, goal {GOAL:.0f} s)"
)
print(f"  loop over retrieval_map {theirs.wall * scale:,.0f} s ({theirs.cpu * scale:,.0f} s of CPU), scaled from")
print(f"  {len(some) + 1} of its {evaluations:,} evaluations: {theirs.wall * scale / ours.wall:.0f}x on the clock,")
print(f"  {theirs.cpu * scale / ours.cpu:.0f}x by CPU time")
print(f"  largest difference of `masked` from the loop: {np.abs(found.masked[: len(some)] - lost).max():.1e}")
shares = found.share
print(f"  shares add up to {shares.sum():.4f} of {found.retrieval_map - found.chance:.4f}, each with a standard error")
print(f"  of about {np.median(found.share_error):.5f}; they are {shares.min():.5f} to {shares.max():.5f}")
