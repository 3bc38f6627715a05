"""Kinds of data on which tests and intervals are tried: bits, features and labels that are independent."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np

from codelab.core.codes import Codes

BITS = 20
DEAD = 2
"""Bits of `rare` data that never change."""
RENEWED = 0.06
"""Share of the bits that a near copy draws anew: it differs from its object in about 3 % of them."""
FEATURES = 8
BLUR = 0.1
"""Standard deviation of a near copy's features around its object's, which are standard normal."""


@dataclass(frozen=True)
class Scenario:
    """One kind of data: `objects` with `copies` near copies each, the shares of classes, and those of ones."""

    name: str
    objects: int = 300
    copies: int = 1
    classes: tuple[float, ...] = (0.25,) * 4
    share: tuple[float, float] = (0.3, 0.7)
    dead: int = 0


def once(key: Callable[[Sample], Hashable]) -> Callable:
    """Keeps what was measured, by `key`: rows of the table, or kinds of data, that need the same measure it once."""

    def kept(measured: Callable) -> Callable:
        found: dict[Hashable, Any] = {}

        @wraps(measured)
        def row(sample: Sample) -> Any:
            if key(sample) not in found:
                found[key(sample)] = measured(sample)
            return found[key(sample)]

        return row

    return kept


def whole(sample: Sample) -> Hashable:
    """The sample itself."""
    return sample.scenario, sample.groups, sample.seed


def holds(low: np.ndarray | float, high: np.ndarray | float, truth: np.ndarray | float) -> np.ndarray:
    """Whether intervals hold the truth, 1 or 0; NaN where there is no interval."""
    low, high = np.atleast_1d(low), np.atleast_1d(high)
    return np.where(np.isnan(low), np.nan, (low <= truth) & (truth <= high))


ZIPF = tuple(1 / rank / sum(1 / r for r in range(1, 11)) for rank in range(1, 11))

SCENARIOS = (
    Scenario("independent"),
    Scenario("5 near copies", 60, 5),
    Scenario("Zipf classes", classes=ZIPF),
    Scenario("Zipf, copies", 60, 5, classes=ZIPF),
    Scenario("few items", 40),
    Scenario("few, copies", 12, 5, classes=(0.5, 0.5)),
    Scenario("rare bits", share=(0.01, 0.05), dead=DEAD),
    Scenario("rare, copies", 60, 5, share=(0.02, 0.08), dead=DEAD),
    Scenario("classes 95/5", classes=(0.95, 0.05)),
    Scenario("95/5, copies", 60, 5, classes=(0.95, 0.05)),
)


@dataclass(frozen=True, eq=False)
class Sample:
    """Codes `[N, B]` with classes, attributes `kind`, `size` and `object`, features, and what is true of all of them.

    `groups` is the column that names near copies, None where there are none; `share` `[B]` the probability of a one.
    """

    codes: Codes
    features: np.ndarray
    share: np.ndarray
    groups: str | None
    seed: int
    scenario: Scenario

    @property
    def alive(self) -> np.ndarray:
        return (self.share > 0) & (self.share < 1)


def draw(scenario: Scenario, seed: int) -> Sample:
    """A sample in which nothing is related to anything but copies to their object.

    The shares of ones are the same in every sample of a scenario, so that what an interval shall hold is known.
    """
    shares = np.random.default_rng(7).uniform(*scenario.share, BITS)
    shares[: scenario.dead] = 0.0
    generator = np.random.default_rng([seed, 11])
    first, n = scenario.objects, scenario.objects * scenario.copies
    thing = np.repeat(np.arange(first), scenario.copies)
    bits = (generator.random((first, BITS)) < shares)[thing]
    features = generator.normal(size=(first, FEATURES))[thing]
    if scenario.copies > 1:
        anew = generator.random((n, BITS)) < RENEWED
        bits = np.where(anew, generator.random((n, BITS)) < shares, bits)
        features = features + BLUR * generator.normal(size=features.shape)
    labels = _two_or_more(generator, np.array(scenario.classes), first)
    kinds = _two_or_more(generator, np.full(3, 1 / 3), first)
    sizes = _two_or_more(generator, np.full(2, 1 / 2), first)
    codes = Codes.from_bits(
        bits,
        labels[thing],
        classes=[f"class {c}" for c in range(len(scenario.classes))],
        items={
            "object": [f"object {t}" for t in thing],
            "kind": np.array(["cat", "dog", "owl"])[kinds[thing]],
            "size": np.array(["small", "large"])[sizes[thing]],
        },
    )
    return Sample(codes, features, shares, "object" if scenario.copies > 1 else None, seed, scenario)


def _two_or_more(generator: np.random.Generator, shares: np.ndarray, count: int) -> np.ndarray:
    """Labels drawn from these shares; at least two objects of each of two classes."""
    labels = generator.choice(len(shares), count, p=shares)
    labels[:4] = [0, 0, 1, 1]
    return labels
