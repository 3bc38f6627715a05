"""Claim: the same call on a GPU gives the same neighbours, and how much sooner.

python benchmarks/search_gpu.py --device cuda
"""

import argparse

import numpy as np
from measure import KINDS, line, load, make_codes, side_by_side

from codelab import search

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
parser.add_argument("--n", type=int, nargs="+", default=[1_000_000])
parser.add_argument("--queries", type=int, default=10_000)
parser.add_argument("--bits", type=int, nargs="+", default=[256, 1024])
parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
parser.add_argument("--device", default="cuda")
options = parser.parse_args()


def compare(kind: str, n: int, bits: int) -> None:
    both = make_codes(kind, n + options.queries, bits=bits)
    codes, queries = both[:n], both[n:]
    for k in (10, 100):
        works = {
            "device": lambda k=k: search(codes, queries, k=k, device=options.device),
            "here": lambda k=k: search(codes, queries, k=k),
        }
        times = side_by_side(works, times=2)
        one, other = (work() for work in works.values())
        same = np.array_equal(one.indices, other.indices) and np.array_equal(one.distances, other.distances)
        what = (
            f"top-{k} on {options.device}, {kind}, {bits} bits, N = {n:,}, {options.queries:,} queries, equal {same}"
        )
        line(what, times["device"], "codelab on the processor", times["here"])


print(load())
for kind in options.kinds:
    for n in options.n:
        for bits in options.bits:
            compare(kind, n, bits)
