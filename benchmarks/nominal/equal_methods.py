"""Claim: of two equal methods, a scorecard prints "A is better than B" for 5 % of pairs at most.

    python benchmarks/nominal/equal_methods.py [--pairs 200] [--first 0] [--kinds directions noise seeds]
        [--attributes tone] [--images 200]

Kinds of pairs, on images drawn anew for each:

* `directions`: two codes of random directions of the same features, one file each;
* `noise`: the same planted bits, flipped at random in 15 %, independently for the two; one file each, no features;
* `seeds`: as `directions`, three files of each method.

Printed is the share of pairs with a sentence "A is better than B" or "B is better than A" (all valid columns taken
together) with its binomial interval, and for each column the share of pairs whose difference is printed black (5 % for
each cell).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from codelab import scorecard
from codelab.core.codes import Codes
from codelab.features.binariser import binarize
from codelab.scoring.result import Scorecard

BITS, DIMS = 12, 16
FLIPPED = 0.15
FILES = {"directions": 1, "noise": 1, "seeds": 3}


def pair(kind: str, seed: int, n: int) -> list[Codes]:
    """The codes of A, then those of B."""
    rng = np.random.default_rng([seed, 77])
    labels, tone = np.arange(n) % 4, rng.integers(0, 2, n)
    items = {"tone": np.array(["dark", "light"])[tone]}
    features = rng.normal(size=(4, DIMS))[labels] + tone[:, None] * rng.normal(size=DIMS)
    features = features + 1.5 * rng.normal(size=(n, DIMS))
    files = 2 * FILES[kind]
    if kind == "noise":
        clean = features @ rng.normal(size=(DIMS, BITS)) > 0
        flips = rng.random((files, *clean.shape)) < FLIPPED
        return [Codes.from_bits(clean ^ flip, labels, items=items) for flip in flips]
    coders = [
        binarize(features, BITS, method="lsh", seed=10**6 + files * seed + i, progress=False) for i in range(files)
    ]
    return [Codes.from_packed(c.encode(features), BITS, labels, items=items, features=features) for c in coders]


def card(kind: str, seed: int, attributes: Sequence[str], n: int) -> Scorecard:
    """The scorecard of one pair."""
    codes = pair(kind, seed, n)
    names = np.repeat(["A", "B"], FILES[kind]).tolist()
    return scorecard(*codes, names=names, attributes=attributes, seed=seed, progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="seed of the first pair")
    parser.add_argument("--kinds", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--attributes", nargs="*", default=["tone"])
    options = parser.parse_args()
    for kind in options.kinds:
        start = time.process_time()
        better, reliable, measured = 0, Counter[str](), Counter[str]()
        for seed in range(options.first, options.first + options.pairs):
            found = card(kind, seed, options.attributes, options.images)
            better += bool(found.better("A", "B") or found.better("B", "A"))
            apart = found.reliable()[0, 1]
            reliable.update(c.name for c, one in zip(found.columns, apart, strict=True) if one)
            known = ~np.isnan(found.least[0, 1])
            measured.update(c.name for c, one in zip(found.columns, known, strict=True) if one)
            print(f"\r{kind}: {seed - options.first + 1} of {options.pairs}, {better} better", end="", file=sys.stderr)
        low, high = binomtest(better, options.pairs).proportion_ci(method="wilson")
        print(
            f"\n{kind}: {better} of {options.pairs} pairs ({better / options.pairs:.1%}, 95 % interval {low:.1%} to "
            f"{high:.1%}) with a sentence 'is better than'; {time.process_time() - start:.0f} CPU seconds"
        )
        for name, pairs in measured.items():
            print(f"  {reliable[name] / pairs:6.1%} of {pairs} reliable: {name}")


if __name__ == "__main__":
    main()
