"""What the benchmarks share: data of three kinds, fair timing, and one line a claim."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from codelab import Codes

KINDS = ("random", "clustered", "collapsed")


@dataclass(frozen=True)
class Timing:
    """Best of several runs, in seconds: on the clock, and of all cores together."""

    wall: float
    cpu: float


def best_of(work: Callable[[], Any], times: int = 3) -> Timing:
    """The fastest of some runs after a first one that compiles, fills caches and is not counted."""
    work()
    wall, cpu = [], []
    for _ in range(times):
        clock, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - clock)
        cpu.append(time.process_time() - used)
    return Timing(min(wall), min(cpu))


def side_by_side(works: dict[str, Callable[[], Any]], times: int = 3) -> dict[str, Timing]:
    """Best runs of several contestants, taking turns so that a busy machine slows all alike."""
    best: dict[str, list[Timing]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(times):
        for name, work in works.items():
            clock, used = time.perf_counter(), time.process_time()
            work()
            best[name].append(Timing(time.perf_counter() - clock, time.process_time() - used))
    return {name: Timing(min(t.wall for t in runs), min(t.cpu for t in runs)) for name, runs in best.items()}


def make_codes(kind: str, n: int, *, bits: int = 256, classes: int = 1000, seed: int = 0) -> Codes:
    """Labelled codes: fair coins; one code a class, 30 % of bits flipped; or one of 50 codes, 1 % of bits flipped."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n).astype(np.int32)
    if kind == "random":
        return Codes(generator.integers(0, 256, (n, bits // 8), dtype=np.uint8), bits, labels)
    centres = np.random.default_rng(1).random((classes if kind == "clustered" else 50, bits)) < 0.5
    flip = 0.3 if kind == "clustered" else 0.01
    packed = np.empty((n, bits // 8), np.uint8)
    for start in range(0, n, 1 << 16):
        rows = slice(start, min(start + (1 << 16), n))
        mine = centres[labels[rows] % len(centres)]
        packed[rows] = np.packbits(mine ^ (generator.random(mine.shape, np.float32) < flip), axis=1)
    return Codes(packed, bits, labels)


def line(
    claim: str, ours: Timing, peer: str, theirs: Timing, *, scale: float = 1.0, goal: float | None = None
) -> None:
    """Print one comparison; `scale` is how much more work the peer's figure stands for than was run."""
    wall, cpu = theirs.wall * scale / ours.wall, theirs.cpu * scale / ours.cpu
    aim = "" if goal is None else f"  goal {goal:g}x"
    estimated = "" if scale == 1 else f" (from 1/{scale:g} of the queries)"
    print(
        f"{claim}: codelab {ours.wall * 1e3:.1f} ms ({ours.cpu * 1e3:.1f} of CPU), "
        f"{peer} {theirs.wall * scale * 1e3:.1f} ms ({theirs.cpu * scale * 1e3:.1f} of CPU){estimated}: "
        f"{wall:.1f}x on the clock, {cpu:.1f}x by CPU time{aim}",
        flush=True,
    )


def load() -> str:
    """How busy the machine is, to judge times by."""
    return f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"
