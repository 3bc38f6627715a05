"""Tests and intervals of the measures that need no label."""

import numpy as np

from codelab.measures.bit_usage import bit_usage
from nominal.scenarios import Sample


def usage(sample: Sample) -> np.ndarray:
    found = bit_usage(sample.codes)
    return ((found.low <= sample.share) & (sample.share <= found.high))[sample.alive]


RATES: dict = {}
COVERAGES = {"usage": usage}
