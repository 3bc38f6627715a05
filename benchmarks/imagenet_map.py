"""Claim: mAP@ALL of 50,000 queries against 1.28 million codes of 256 bits takes under 60 s and 1 GB on 2 cores.

python benchmarks/imagenet_map.py
python benchmarks/imagenet_map.py --kind collapsed
"""

import argparse
import resource
import time

from measure import KINDS, load, make_codes

from codelab import retrieval_map

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
parser.add_argument("--n", type=int, default=1_281_167)
parser.add_argument("--queries", type=int, default=50_000)
parser.add_argument("--kind", default="clustered", choices=KINDS)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()

print(load())
database, queries = make_codes(options.kind, options.n), make_codes(options.kind, options.queries, seed=9)
retrieval_map(queries[:100], database[:1000])  # compile
clock, used = time.perf_counter(), time.process_time()
result = retrieval_map(queries, database, threads=options.threads, bootstrap=1000)
wall, cpu = time.perf_counter() - clock, time.process_time() - used
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(result)
print(
    f"{options.queries:,} x {options.n:,}, {options.kind}, {options.threads} threads: {wall:.1f} s on the clock, "
    f"{cpu:.1f} s of CPU (goal: 60 s), peak memory of the whole process {peak:.2f} GB (goal: 1 GB)"
)
