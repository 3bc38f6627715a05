"""Claim: whatever bytes call themselves a picture, they are pixels, or one line that says why not, and soon.

python benchmarks/fire/pictures.py --minutes 10

Valid pictures of every kind (`tests/support/kinds.py`) are changed by chance and decoded in another process, which
may die or hang; what it was about to decode is known. Cases that break the claim go to `tests/images/found/`, where a
test of the suite decodes them again.
"""

import argparse
import hashlib
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.kinds import KINDS, photographs  # noqa: E402
from tests.support.mutated import mutated  # noqa: E402
from tests.support.outcomes import decoded  # noqa: E402

FOUND = ROOT / "tests/images/found"
CASES = 2000
"""Cases of a process."""
LONGEST = 60.0
"""Seconds without a word after which a process counts as hanging."""


def starts() -> list[bytes]:
    return [*(make() for make in KINDS.values()), *photographs() * 3]


def case(seed: int, seeds: list[bytes]) -> bytes:
    """The same number, the same case."""
    rng = np.random.default_rng(seed)
    return mutated(seeds[int(rng.integers(len(seeds)))], seeds, rng)


def work(first: int) -> None:
    """Decode the cases from this number on; each is named before it is tried, and what it came to after."""
    warnings.simplefilter("ignore")  # what Pillow says of damaged tags
    seeds = starts()
    for number in range(first, first + CASES):
        print(number, end=" ", flush=True)
        try:
            print(decoded(case(number, seeds)), flush=True)
        except BaseException as error:
            print("BROKEN", " ".join(f"{type(error).__name__}: {error}".split()), flush=True)


def keep(number: int, why: str) -> None:
    data = case(number, starts())
    path = FOUND / f"{hashlib.sha256(data).hexdigest()[:12]}.bin"
    path.write_bytes(data)
    print(f"  case {number}: {why}; kept as {path.relative_to(ROOT)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        return work(options.work)
    FOUND.mkdir(exist_ok=True)
    outcomes: Counter[str] = Counter()
    end, number = time.monotonic() + 60 * options.minutes, options.first
    while time.monotonic() < end:
        command = [sys.executable, __file__, "--work", str(number)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST + CASES * 0.1)
            lines, died = done.stdout.splitlines(), f"died with {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired as late:
            lines, died = (late.stdout or b"").decode().splitlines(), "hangs"
        for line in lines:
            which, _, outcome = line.partition(" ")
            if outcome:
                outcomes[outcome.split()[0]] += 1
            if outcome.startswith("BROKEN"):
                keep(int(which), outcome)
        number += CASES
        if died:
            number = int(lines[-1].split()[0]) + 1 if lines else number
            outcomes["BROKEN"] += 1
            keep(number - 1, died)
    print(f"{sum(outcomes.values()):,} pictures: " + ", ".join(f"{n:,} {what}" for what, n in outcomes.most_common()))
    sys.exit(bool(outcomes["BROKEN"]))


if __name__ == "__main__":
    main()
