"""Claim: 95 % intervals of retrieval hold the truth in about 95 % of samples, also where the queries are the database.

    python benchmarks/retrieval_intervals.py
    python benchmarks/retrieval_intervals.py --measures retrieval_map --samples 1000 --threads 2

The truth is what the interval is about: the expectation of the measure at this number of items, taken over `--truth`
samples of the same population that are drawn apart. Beside it stands the bootstrap over queries (`bootstrap=`), which
holds the database fixed. The two codes that are compared have the same distribution; the test's false positives are
the share of samples with p < 0.05.
"""

import argparse
import time

import numpy as np

from codelab import Codes, compare_retrieval, knn_accuracy, retrieval_map

MEASURES = {"retrieval_map": (retrieval_map, {}), "knn_accuracy": (knn_accuracy, {"k": 10})}
BITS, CLASSES, FLIP, HARD = 32, 20, 0.15, 0.25

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
parser.add_argument("--samples", type=int, default=200, help="samples a cell")
parser.add_argument("--truth", type=int, default=1000, help="samples that give the truth")
parser.add_argument("--n", type=int, default=300, help="items of a sample")
parser.add_argument("--measures", nargs="+", default=list(MEASURES), choices=MEASURES)
parser.add_argument("--worlds", nargs="+", help="only these rows")
parser.add_argument("--threads", type=int, default=1)


def two_codes(generator: np.random.Generator, n: int, weights: np.ndarray, copies: int) -> tuple[Codes, Codes, list]:
    """Two codes of one sample, and the group of each item: the same centre a class, some items harder than others.

    Copies of an item have its label and its code but for 1 bit in 20.
    """
    centres = np.random.default_rng(7).random((len(weights), BITS)) < 0.5
    first = n // copies
    labels = generator.choice(len(weights), first, p=weights)
    flip = FLIP + HARD * generator.random((first, 1))
    groups = np.repeat(np.arange(first), copies)
    both = []
    for _ in range(2):
        bits = (centres[labels] ^ (generator.random((first, BITS)) < flip))[groups]
        if copies > 1:
            bits = bits ^ (generator.random(bits.shape) < 0.05)
        both.append(Codes.from_bits(bits, labels[groups], classes=[str(c) for c in range(len(weights))]))
    return both[0], both[1], groups.tolist()


def coverage(world: dict, name: str, options: argparse.Namespace) -> list[float]:
    """Shares of samples: truth held by the jackknife, by the bootstrap, 0 held by the paired interval, p < 0.05."""
    measure, extra = MEASURES[name]
    n, copies, average = options.n, world["copies"], world["average"]

    def given(groups: list) -> dict:
        return {"average": average, "threads": options.threads, **({"groups": groups} if copies > 1 else {}), **extra}

    def separate(codes: Codes) -> tuple[Codes, ...]:
        """Few queries and the rest as the database, or one set that is both."""
        few = world["queries"]
        return (codes[:few], codes[few:]) if few else (codes,)

    truths = []
    for seed in range(options.truth):
        a, _, groups = two_codes(np.random.default_rng([1, seed]), n, world["weights"], copies)
        truths.append(measure(*separate(a), **given(groups), bootstrap=1).value)
    truth = float(np.mean(truths))
    held = np.zeros(4)
    for seed in range(options.samples):
        a, b, groups = two_codes(np.random.default_rng([2, seed]), n, world["weights"], copies)
        for i, bootstrap in enumerate((None, 1000)):
            low, high = measure(*separate(a), **given(groups), seed=seed, bootstrap=bootstrap).interval
            held[i] += low <= truth <= high
        if not world["queries"]:
            found = compare_retrieval(a, b, measure=name, seed=seed, **given(groups))
            held[2:] += found.low <= 0 <= found.high, found.p_value < 0.05
    shares = held / options.samples
    shares[2:] = shares[2:] if not world["queries"] else np.nan
    return [truth, float(np.std(truths)), *shares]


def main() -> None:
    options = parser.parse_args()
    equal = np.full(CLASSES, 1 / CLASSES)
    zipf = 1 / np.arange(1, CLASSES + 1)
    plain = {"weights": equal, "copies": 1, "average": "query", "queries": 0}
    worlds = {
        "independent": plain,
        "independent, class average": plain | {"average": "class"},
        "5 near copies, groups": plain | {"copies": 5},
        "Zipf classes": plain | {"weights": zipf / zipf.sum()},
        "Zipf classes, class average": plain | {"weights": zipf / zipf.sum(), "average": "class"},
        "60 items, class average": plain | {"average": "class", "n": 60},
        "10 queries, database apart, class average": plain | {"average": "class", "queries": 10},
        "40 queries, database apart": plain | {"queries": 40},
    }
    print(f"{options.samples} samples a row, truth: mean of {options.truth} others, N = {options.n} unless said")
    print(f"{'':58}  truth  spread  jackknife  bootstrap  paired  p < 0.05")
    for name in options.measures:
        for title, world in worlds.items():
            if options.worlds and title not in options.worlds:
                continue
            start = time.perf_counter()
            here = argparse.Namespace(**(vars(options) | {"n": world.get("n", options.n)}))
            truth, spread, jackknife, bootstrap, paired, wrong = coverage(world, name, here)
            print(
                f"{name + ': ' + title:58}  {truth:.3f}   {spread:.3f}      {jackknife:.3f}      {bootstrap:.3f}   "
                f"{paired:.3f}     {wrong:.3f}   ({time.perf_counter() - start:.0f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
