"""Claim: ones per class and bit of a million codes take under 50 ms, and pairs of bits beat a matrix product.

python benchmarks/bit_statistics.py
"""

import argparse

import numpy as np
from measure import KINDS, line, load, make_codes, side_by_side
from scipy import sparse

from codelab.kernels.counting import class_counts, column_counts, pair_counts

ROWS = 1 << 15

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
parser.add_argument("--n", type=int, nargs="+", default=[100_000, 1_000_000])
parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
options = parser.parse_args()


def blocks(packed):
    return ((start, np.unpackbits(packed[start : start + ROWS], axis=1)) for start in range(0, len(packed), ROWS))


def numpy_columns(packed):
    return sum(bits.sum(axis=0, dtype=np.int64) for _, bits in blocks(packed))


def scipy_classes(packed, labels, classes):
    out = np.zeros((classes, packed.shape[1] * 8), np.int64)
    for start, bits in blocks(packed):
        part = labels[start : start + len(bits)]
        one_hot = sparse.csr_array((np.ones(len(part), np.int32), (part, np.arange(len(part)))), (classes, len(part)))
        out += one_hot @ bits.astype(np.int32)
    return out


def numpy_pairs(packed):
    out = np.zeros((packed.shape[1] * 8,) * 2, np.int64)
    for _, bits in blocks(packed):
        real = bits.astype(np.float32)
        out += (real.T @ real).astype(np.int64)
    return out


def compare(kind: str, n: int) -> None:
    codes = make_codes(kind, n)
    packed, labels = codes.packed, codes.labels
    for threads in options.threads:
        for what, ours, peer, theirs in (
            ("ones per bit", lambda t=threads: column_counts(packed, 256, threads=t), "NumPy", numpy_columns),
            (
                "ones per class and bit, 1,000 classes (goal at N = 1e6: 50 ms)",
                lambda t=threads: class_counts(packed, 256, labels, 1000, threads=t),
                "SciPy sparse",
                lambda p: scipy_classes(p, labels, 1000),
            ),
            ("pairs of bits", lambda t=threads: pair_counts(packed, 256, threads=t), "NumPy float32", numpy_pairs),
        ):
            assert np.array_equal(ours(), theirs(packed))
            times = side_by_side({"ours": ours, "peer": lambda f=theirs: f(packed)}, times=2)
            line(f"{what}, {kind}, N = {n:,}, {threads} threads", times["ours"], peer, times["peer"])


print(load())
for kind in options.kinds:
    for n in options.n:
        compare(kind, n)
