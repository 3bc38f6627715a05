"""Claim: exact top-k search is at least 3x (k = 10) and 2x (k = 100) as fast as FAISS, and far faster than usearch.

python benchmarks/search_top_k.py            # N = 1e5 and 1e6, 1 and 2 threads, three kinds of codes
python benchmarks/search_top_k.py --n 1000000 --queries 200 --threads 1 --kinds random
"""

import argparse

import faiss
import numpy as np
from measure import KINDS, line, load, make_codes, side_by_side
from usearch.index import MetricKind
from usearch.index import search as peer_search

from codelab import search

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
parser.add_argument("--n", type=int, nargs="+", default=[100_000, 1_000_000])
parser.add_argument("--queries", type=int, default=256)
parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
options = parser.parse_args()


def compare(kind: str, n: int) -> None:
    both = make_codes(kind, n + options.queries)
    codes, queries = both[:n], both[n:]
    index = faiss.IndexBinaryFlat(256)
    index.add(codes.packed)
    for threads in options.threads:
        faiss.omp_set_num_threads(threads)
        for k, goal in ((10, 3.0), (100, 2.0)):
            times = side_by_side(
                {
                    "ours": lambda k=k, t=threads: search(codes, queries, k=k, threads=t),
                    "faiss": lambda k=k: index.search(queries.packed, k),
                }
            )
            same = np.array_equal(search(codes, queries, k=k).distances, index.search(queries.packed, k)[0])
            what = f"top-{k}, {kind}, N = {n:,}, {options.queries} queries, {threads} threads, equal {same}"
            line(what, times["ours"], "FAISS IndexBinaryFlat", times["faiss"], goal=goal if n >= 1e6 else None)
    few = queries[:16]
    times = side_by_side(
        {
            "ours": lambda: search(codes, few, k=10, threads=1),
            "usearch": lambda: peer_search(codes.packed, few.packed, 10, MetricKind.Hamming, exact=True, threads=1),
        },
        times=1,
    )
    line(f"top-10, {kind}, N = {n:,}, 16 queries, 1 thread", times["ours"], "usearch exact", times["usearch"])


print(load())
for kind in options.kinds:
    for n in options.n:
        compare(kind, n)
