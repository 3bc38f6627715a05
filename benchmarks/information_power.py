"""Claim: tests at nominal 5 % find something in 3 to 7 % of samples without effect; 95 % intervals cover 92 to 98 %.

    python benchmarks/information_power.py                  # the table: 200 samples a cell
    python benchmarks/information_power.py --only usage --samples 50
    python benchmarks/information_power.py --power          # share of bits found that carry a known information

Rows are tests (share of p-values below .05) and intervals (share that hold the truth), columns are kinds of data: see
`benchmarks/nominal/scenarios.py`. Where images are near copies, the column that names them is passed as `groups`; with
`--ignore-groups` it is not, which shows what an analysis without it would say. `refused`: the measure says in one line
that the data do not allow a figure; `no interval`: it has none in most samples (NaN); `*`: outside the band.
"""

from __future__ import annotations

import argparse
import dataclasses
import warnings

import numpy as np
from nominal import bits, contrasts, labels, meaning, several
from nominal.scenarios import SCENARIOS, Scenario, draw

from codelab.core.codes import Codes
from codelab.core.errors import CodelabError
from codelab.measures.class_information import class_information
from codelab.statistics.estimators import binary_entropy

RATES = labels.RATES | bits.RATES | contrasts.RATES | several.RATES | meaning.RATES
COVERAGES = labels.COVERAGES | bits.COVERAGES | contrasts.COVERAGES | several.COVERAGES
"""Name -> a function of a `Sample` to p-values, or to whether each interval holds the truth; any shape."""
BANDS = {"rate": (0.03, 0.07), "coverage": (0.92, 0.98)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--samples", type=int, default=200, help="samples a cell")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--scenarios", default="", help="columns whose name contains this")
    parser.add_argument("--ignore-groups", action="store_true")
    parser.add_argument("--power", action="store_true", help="the table of power alone")
    options = parser.parse_args()
    if options.power:
        power(options.samples)
        return
    chosen = [s for s in SCENARIOS if options.scenarios in s.name]
    print(f"{options.samples} samples a cell; wanted: rates .03 to .07, coverages .92 to .98")
    print(f"{'':34s}" + "".join(f"{s.name:>15s}" for s in chosen))
    for kind, rows in (("rate", RATES), ("coverage", COVERAGES)):
        for name in rows:
            if options.only in name:
                print(f"{kind + ': ' + name:34s}", end="")
                for scenario in chosen:
                    print(f"{cell(kind, rows[name], scenario, options):>15s}", end="", flush=True)
                print()


def cell(kind: str, row, scenario: Scenario, options: argparse.Namespace) -> str:
    """The figure of one row and one kind of data, with a star outside its band."""
    found = []
    for seed in range(options.samples):
        sample = draw(scenario, seed)
        if options.ignore_groups:
            sample = dataclasses.replace(sample, groups=None)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(np.atleast_1d(row(sample)).ravel())
        except CodelabError:
            return "refused"
    values = np.concatenate(found)
    given = ~np.isnan(values)
    if given.mean() < 0.5:
        return "no interval"
    values = values[given]
    if kind == "rate":
        values = values < 0.05
    low, high = BANDS[kind]
    share = float(values.mean())
    return f"{share:.3f}" + (" " if low <= share <= high else "*")


def power(samples: int) -> None:
    """Share of bits found at q < .05 among 20, half of which agree with half of the classes with probability 1 - e."""
    print("power at q < 0.05 of a bit that agrees with half of the classes with probability 1 - e")
    for per_class in (5, 20, 100):
        for flip in (0.45, 0.4, 0.3):
            classes = np.repeat(np.arange(20), per_class)
            hits = []
            for seed in range(max(samples // 10, 5)):
                generator = np.random.default_rng(seed)
                planted = generator.random((len(classes), 20)) < 0.5
                planted[:, :10] = (classes % 2 == 1)[:, None] ^ (generator.random((len(classes), 10)) < flip)
                found = class_information(Codes.from_bits(planted, classes), seed=seed)
                hits.append((found.q_value[:10] < 0.05).mean())
            carried = 1 - float(binary_entropy(np.array(flip)))
            print(
                f"  {per_class:3d} images x 20 classes, e = {flip} ({carried:.4f} bit): {np.mean(hits):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
