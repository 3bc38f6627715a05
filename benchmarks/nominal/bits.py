"""Tests and intervals of the measures that need no label.

Where no closed form gives what an interval shall hold (code length, the bound of a channel), it is the figure's mean
over `MANY` other samples of the same kind. A figure without an interval is NaN and does not count.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache

import numpy as np

from codelab.core.codes import Codes
from codelab.measures.bit_dependence import bit_dependence
from codelab.measures.bit_usage import bit_usage
from codelab.measures.channel import Channel, channel, view_channels
from codelab.measures.code_length import code_length
from codelab.measures.degrees_of_freedom import degrees_of_freedom
from nominal.scenarios import RENEWED, SCENARIOS, Sample, draw, holds, once

MANY = 200


def bits_alone(sample: Sample) -> Hashable:
    """Kinds of data that differ in their classes alone have the same bits."""
    return sample.codes.packed.tobytes(), sample.groups


@once(bits_alone)
def usage(sample: Sample) -> np.ndarray:
    found = bit_usage(sample.codes, groups=sample.groups)
    return holds(found.low, found.high, sample.share)[sample.alive]


@once(bits_alone)
def freedom(sample: Sample) -> np.ndarray:
    """Bits are independent: the mean and the variance of the distance follow from their shares."""
    differs = 2 * sample.share * (1 - sample.share)
    mean, variance = differs.mean(), (differs * (1 - differs)).sum() / len(differs) ** 2
    found = degrees_of_freedom(sample.codes, groups=sample.groups)
    return holds(found.low, found.high, mean * (1 - mean) / variance)


@once(bits_alone)
def length(sample: Sample) -> np.ndarray:
    found = code_length(sample.codes, groups=sample.groups)
    return holds(found.low, found.high, _mean("length", _kind(sample), sample.groups is not None))


@once(bits_alone)
def dependence(sample: Sample) -> np.ndarray:
    bits = np.flatnonzero(sample.alive)
    a, b = np.triu_indices(len(bits), 1)
    return bit_dependence(sample.codes, groups=sample.groups).p_value[bits[a], bits[b]]


@once(bits_alone)
def seen_again(sample: Sample) -> Channel:
    return channel(sample.codes, second_view(sample), groups=sample.groups)


def flip_rate(sample: Sample) -> np.ndarray:
    found = seen_again(sample)
    return holds(found.low, found.high, _flips(sample))[sample.alive]


@once(bits_alone)
def survival(sample: Sample) -> np.ndarray:
    """The other view is that of other images."""
    other = draw(SCENARIOS[_kind(sample)], sample.seed + 1_000_000).codes
    return channel(sample.codes, other, groups=sample.groups).p_value[sample.alive]


def bound(sample: Sample) -> np.ndarray:
    found = seen_again(sample)
    return holds(found.value_low, found.value_high, _mean("bound", _kind(sample), sample.groups is not None))


@once(bits_alone)
def views(sample: Sample) -> np.ndarray:
    found = view_channels(sample.codes, {"again": second_view(sample)}, groups=sample.groups)
    return holds(found.mean_low, found.mean_high, _flips(sample).mean())


def second_view(sample: Sample) -> Codes:
    """The same images, a share `RENEWED` of the bits drawn anew, as in near copies."""
    generator = np.random.default_rng([sample.seed, 12])
    bits = sample.codes.to_bits()
    anew = generator.random(bits.shape) < RENEWED
    return Codes.from_bits(np.where(anew, generator.random(bits.shape) < sample.share, bits))


def _flips(sample: Sample) -> np.ndarray:
    return RENEWED * 2 * sample.share * (1 - sample.share)


def _kind(sample: Sample) -> int:
    """The first scenario with such bits; classes do not matter here."""
    objects, n = len(set(sample.codes.items["object"].to_pylist())), len(sample.codes)
    return next(
        number
        for number, kind in enumerate(SCENARIOS)
        if (kind.objects, kind.objects * kind.copies) == (objects, n) and np.array_equal(_shares(number), sample.share)
    )


@cache
def _shares(kind: int) -> np.ndarray:
    return draw(SCENARIOS[kind], 0).share


@cache
def _mean(what: str, kind: int, grouped: bool) -> float:
    found = []
    for seed in range(MANY):
        sample = draw(SCENARIOS[kind], seed + 2_000_000)
        groups = sample.groups if grouped else None
        if what == "length":
            found.append(code_length(sample.codes, groups=groups).value)
        else:
            found.append(channel(sample.codes, second_view(sample), groups=groups).value)
    return float(np.mean(found))


RATES = {"bit dependence": dependence, "channel p": survival}
COVERAGES = {
    "usage": usage,
    "degrees of freedom": freedom,
    "code length": length,
    "channel flip rate": flip_rate,
    "channel bound": bound,
    "view channels": views,
}
