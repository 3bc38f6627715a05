"""False positives and power of the tests, on codes whose truth is known.

    python benchmarks/information_power.py [--sets 200]

False positives: share of p-values below 0.05 over that many sets of 20 pure noise bits. Power: share of bits found at
q < 0.05 among 20, half of which carry a known amount of information.
"""

from __future__ import annotations

import argparse

import numpy as np

from codelab.core.codes import Codes
from codelab.measures.class_information import attribute_information, class_information
from codelab.measures.contrast_consistency import contrast_consistency
from codelab.statistics.estimators import binary_entropy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--sets", type=int, default=200)
    sets = parser.parse_args().sets
    print(f"{sets} null sets of 20 bits, 200 permutations; share of p-values below 0.05 (and below 0.01)")
    for per_class, classes, share in (
        (5, 4, 0.5),
        (5, 20, 0.5),
        (5, 100, 0.5),
        (5, 100, 0.1),
        (50, 10, 0.5),
        (50, 2, 0.3),
    ):
        labels = np.repeat(np.arange(classes), per_class)
        p = np.concatenate([class_information(noise(labels, share, s), seed=s).p_value for s in range(sets)])
        print(f"  {per_class:3d} images x {classes:3d} classes, p = {share}: {rates(p)}", flush=True)
    kind = np.repeat(np.arange(4), 40)
    p = []
    for s in range(sets):
        generator = np.random.default_rng(s)
        sex = (generator.random(160) < np.array([0.1, 0.4, 0.6, 0.9])[kind]).astype(str)
        bits = generator.random((160, 20)) < np.array([0.8, 0.6, 0.4, 0.2])[kind][:, None]
        codes = Codes.from_bits(bits, kind, items={"sex": sex})
        p.append(attribute_information(codes, "sex", given="class", permutations=100, seed=s).p_value)
    print(f"  given a class that explains both: {rates(np.concatenate(p))}", flush=True)
    for per_class, classes in ((5, 20), (50, 5)):
        labels, p = np.repeat(np.arange(classes), per_class), []
        for s in range(sets):
            features = np.random.default_rng([s, 1]).normal(size=(len(labels), 8)) * [3, 2, 1, 1, 1, 1, 1, 1]
            found = contrast_consistency(noise(labels, 0.5, s), features, permutations=100, resamples=1, seed=s)
            p.append(found.p_value)
        print(
            f"  contrast consistency, {per_class} images x {classes} classes: {rates(np.concatenate(p))}", flush=True
        )

    print("power at q < 0.05 of a bit that agrees with half of the classes with probability 1 - e")
    for per_class in (5, 20, 100):
        for flip in (0.45, 0.4, 0.3):
            labels = np.repeat(np.arange(20), per_class)
            hits = []
            for s in range(max(sets // 10, 5)):
                bits = noise(labels, 0.5, s).to_bits()
                draws = np.random.default_rng([s, 2]).random((len(labels), 10)) < flip
                bits[:, :10] = (labels % 2 == 1)[:, None] ^ draws
                found = class_information(Codes.from_bits(bits, labels), seed=s)
                hits.append((found.q_value[:10] < 0.05).mean())
            carried = 1 - float(binary_entropy(np.array(flip)))
            print(
                f"  {per_class:3d} images x 20 classes, e = {flip} ({carried:.4f} bit): {np.mean(hits):.2f}",
                flush=True,
            )


def noise(labels: np.ndarray, share: float, seed: int) -> Codes:
    return Codes.from_bits(np.random.default_rng(seed).random((len(labels), 20)) < share, labels)


def rates(p: np.ndarray) -> str:
    return f"{(p < 0.05).mean():.4f} ({(p < 0.01).mean():.4f})"


if __name__ == "__main__":
    main()
