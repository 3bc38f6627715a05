"""Time and memory of the whole analysis at a million codes of 1,000 classes, section by section.

    python benchmarks/analyze.py [--items 1000000] [--bits 256] [--classes 1000] [--attributes 1] [--times 3]

Prints one line a section: wall seconds, CPU seconds of all threads (what counts on a machine that is busy), and the
most memory that the process held meanwhile; with several runs the best, and the median of the CPU seconds. The codes
are class prototypes with a quarter of the bits flipped. An attribute has four values; of the first, a class leans to
one of them; others are chance. The first call compiles, on a small set, and is not counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.information_counts import drawn
from codelab import Codes, analyze
from codelab.core.result import Result

PAGE = os.sysconf("SC_PAGE_SIZE")


class Meter:
    """What each section took: wall seconds, CPU seconds and the most memory in GB, under its name."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[float, float, float]] = {}
        self.most, self.last, self.running = 0, (time.perf_counter(), time.process_time()), True
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while self.running:
            self.most = max(self.most, resident())
            time.sleep(0.005)

    def __call__(self, name: str, result: Result) -> None:
        now = (time.perf_counter(), time.process_time())
        self.rows[name] = (now[0] - self.last[0], now[1] - self.last[1], self.most / 1e9)
        self.last, self.most = now, 0

    def stop(self) -> dict[str, tuple[float, float, float]]:
        self.running = False
        self.thread.join()
        return self.rows


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def with_attributes(codes: Codes, attributes: int) -> Codes:
    generator = np.random.default_rng(1)
    items = codes.items
    for number in range(attributes):
        chance = generator.integers(0, 4, len(codes))
        leaning = np.where(generator.random(len(codes)) < 0.4, codes.labels % 4, chance) if number == 0 else chance
        items = items.append_column(f"attribute{number}", pa.array(np.array(list("abcd"))[leaning]))
    return dataclasses.replace(codes, items=items)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    for name, default in (("items", 1_000_000), ("bits", 256), ("classes", 1000), ("attributes", 1), ("times", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    analyze(with_attributes(drawn(3000, options.bits, 10), options.attributes))
    codes = with_attributes(drawn(options.items, options.bits, options.classes), options.attributes)
    load = os.getloadavg()[0]
    print(f"N = {options.items:,}, B = {options.bits}, C = {options.classes:,}, {options.attributes} attributes")
    print(f"{os.cpu_count()} cores, load average {load:.1f}, {resident() / 1e9:.2f} GB before the analysis")
    runs = []
    for _ in range(options.times):
        meter = Meter()
        analyze(codes, each=meter)
        runs.append(meter.stop())
    print(f"{'section':34s} {'wall':>8s} {'CPU':>8s} {'median':>8s} {'peak':>8s}")
    for name in [*runs[0], "all"]:
        wall, cpu, most = zip(*([run[name] for run in runs] if name != "all" else map(whole, runs)), strict=True)
        print(f"{name:34s} {min(wall):6.2f} s {min(cpu):6.2f} s {statistics.median(cpu):6.2f} s {max(most):5.2f} GB")


def whole(run: dict[str, tuple[float, float, float]]) -> tuple[float, float, float]:
    """The sums of the times, and the most memory of any section."""
    wall, cpu, most = zip(*run.values(), strict=True)
    return sum(wall), sum(cpu), max(most)


if __name__ == "__main__":
    main()
