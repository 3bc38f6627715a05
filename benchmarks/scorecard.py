"""Time and memory of a scorecard: 100,000 codes of 256 bits, 3 attributes, all controls.

    python benchmarks/scorecard.py [--images 100000] [--bits 256]

Prints seconds of the clock, CPU seconds, also of each measure, and peak memory.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import defaultdict
from unittest import mock

import numpy as np

import codelab
from codelab.core.codes import Codes
from codelab.scoring.columns import Measure


def planted(n: int, bits: int, seed: int = 0) -> Codes:
    """Codes whose bits are signs of features that hold a class and three attributes, and noise."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, n)
    attributes = [generator.integers(0, values, n) for values in (2, 3, 5)]
    features = generator.normal(size=(n, bits)).astype(np.float32)
    for values in (labels, *attributes):
        features += generator.normal(size=(int(values.max()) + 1, bits)).astype(np.float32)[values]
    directions = generator.normal(size=(bits, bits)).astype(np.float32)
    items = {name: values.astype(str) for name, values in zip("abc", attributes, strict=True)}
    return Codes.from_bits(features @ directions > 0, labels, items=items, features=features)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--bits", type=int, default=256)
    options = parser.parse_args()
    codes = planted(options.images, options.bits)
    seconds: dict[str, float] = defaultdict(float)
    measured = Measure.measured

    def timed(self: Measure, *given: object) -> object:
        start = time.process_time()
        found = measured(self, *given)  # type: ignore[arg-type]
        seconds[self.name] += time.process_time() - start
        return found

    clock, cpu = time.perf_counter(), time.process_time()
    with mock.patch.object(Measure, "measured", timed):
        card = codelab.scorecard(codes, names=["planted"])
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows = sum(row.codes for row in card.rows)
    print(f"{len(codes):,} x {codes.bits} bits, {len(card.rows)} rows of {rows} codes, {len(card.columns)} columns")
    print(f"{clock:.0f} s, {cpu:.0f} CPU seconds, {memory:.2f} GB at most")
    for name, spent in sorted(seconds.items(), key=lambda pair: -pair[1]):
        print(f"{spent:8.1f} CPU s  {name}")
    print(f"{cpu - sum(seconds.values()):8.1f} CPU s  making the rows, and the rest")


if __name__ == "__main__":
    main()
