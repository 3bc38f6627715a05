"""Time and memory of the information measures at a million codes, beside a loop over scikit-learn.

    python benchmarks/information_counts.py [--items 1000000] [--bits 256] [--classes 1000] [--permutations 200]

Prints one line a measure: wall seconds, CPU seconds of all threads (what counts on a machine that is busy), and the
most memory so far above what the codes themselves take.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from codelab.core.codes import Codes
from codelab.measures.bit_dependence import bit_dependence
from codelab.measures.bit_reuse import bit_reuse
from codelab.measures.bit_usage import bit_usage
from codelab.measures.block_entropy import block_entropy
from codelab.measures.class_information import class_information
from codelab.measures.class_log_odds import class_log_odds
from codelab.measures.code_length import code_length, total_correlation
from codelab.measures.collisions import collisions
from codelab.measures.degrees_of_freedom import degrees_of_freedom
from codelab.measures.joint_information import joint_information
from codelab.statistics.counts import ClassCounts, ClassPairCounts, PairCounts


def drawn(items: int, bits: int, classes: int) -> Codes:
    """Class prototypes with a quarter of the bits flipped, made a piece at a time to keep the peak low."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, classes, items).astype(np.int32)
    prototypes = generator.integers(0, 256, (classes, bits // 8), dtype=np.uint8)
    packed = np.empty((items, bits // 8), dtype=np.uint8)
    for start in range(0, items, 1 << 16):
        rows = slice(start, start + (1 << 16))
        shape = packed[rows].shape
        flips = generator.integers(0, 256, shape, dtype=np.uint8) & generator.integers(0, 256, shape, dtype=np.uint8)
        packed[rows] = prototypes[labels[rows]] ^ flips
    return Codes(packed, bits, labels=labels, classes=tuple(str(c) for c in range(classes)))


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    for name, default in (("items", 1_000_000), ("bits", 256), ("classes", 1000), ("permutations", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    codes = drawn(options.items, options.bits, options.classes)
    base, spent = peak(), np.zeros(2)

    def timed(name: str, work: Callable[[], Any], *, counted: bool = True) -> Any:
        nonlocal spent
        start, cpu = time.perf_counter(), time.process_time()
        result = work()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        if counted:
            spent += np.array([seconds, cpu])
        print(f"{name:34s} {seconds:8.2f} s {cpu:8.2f} s CPU   +{peak() - base:.2f} GB", flush=True)
        return result

    print(f"N = {options.items:,}, B = {options.bits}, C = {options.classes:,}, load {os.getloadavg()[0]:.1f}")
    small = drawn(4000, options.bits, 10)  # compiles what is compiled, once for a machine
    for warm_up in (bit_usage, degrees_of_freedom, class_log_odds, bit_dependence, collisions, total_correlation):
        warm_up(small)
    block_entropy(small)
    timed("SHA-256 of the codes", lambda: codes.sha256)
    pairs = timed("counts of pairs", lambda: PairCounts.of(codes))
    classes = timed("counts by class", lambda: ClassCounts.of(codes))
    within = timed("counts of pairs by class", lambda: ClassPairCounts.of(codes))
    timed("bit_usage", lambda: bit_usage(codes))
    for blocks in ("contiguous", "random", "dependent"):
        timed(f"block_entropy, {blocks}", lambda blocks=blocks: block_entropy(codes, blocks=blocks, pairs=pairs))
    timed("degrees_of_freedom", lambda: degrees_of_freedom(pairs))
    timed("code_length, Chow-Liu", lambda: code_length(pairs))
    timed("total_correlation", lambda: total_correlation(codes, pairs=pairs))
    timed("collisions", lambda: collisions(codes))
    timed("class_information, 1 permutation", lambda: class_information(classes, permutations=1))
    timed("class_log_odds", lambda: class_log_odds(classes))
    timed("bit_dependence", lambda: bit_dependence(pairs, within=within))
    timed("joint_information, 4 bits", lambda: joint_information(codes, 4, permutations=1))
    timed("bit_reuse", lambda: bit_reuse(classes))
    print(f"{'all of these':34s} {spent[0]:8.2f} s {spent[1]:8.2f} s CPU")
    name = f"class_information, {options.permutations} permutations"
    timed(name, lambda: class_information(classes, permutations=options.permutations), counted=False)

    from sklearn.metrics import mutual_info_score

    some = 4
    bits = codes.to_bits()[:, :some]
    start = time.perf_counter()
    theirs = [mutual_info_score(codes.labels, bits[:, b]) / np.log(2) for b in range(some)]
    loop = (time.perf_counter() - start) / some * codes.bits
    start = time.perf_counter()
    ours = class_information(codes, permutations=1).plugin
    seconds = time.perf_counter() - start
    assert np.allclose(ours[:some], theirs)
    print(f"loop over mutual_info_score: {loop:.1f} s for {codes.bits} bits (from {some}); here {seconds:.2f} s with")
    print(f"the exact chance mean and the counting: {loop / seconds:.0f} times faster")


if __name__ == "__main__":
    main()
