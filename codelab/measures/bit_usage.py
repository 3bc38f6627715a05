"""Is each bit used, and how many independent bits are there?"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from codelab.core.checks import need_items
from codelab.core.codes import Codes
from codelab.core.formats import number
from codelab.core.result import Drawn, PerBit
from codelab.statistics.counts import BitCounts
from codelab.statistics.estimators import binary_entropy
from codelab.statistics.intervals import wilson_interval

RARE = 0.05
"""A bit whose rarer value has a share below this is `rare`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitUsage(Drawn, PerBit):
    """Per bit, arrays `[B]`: `p` the share of ones, its 95 % interval `low` to `high`, `entropy` in bits, `state`.

    The line quotes how many bits are active, rare and dead, and the mean entropy.
    """

    FIGURE: ClassVar = "bit_usage"

    p: np.ndarray
    low: np.ndarray
    high: np.ndarray
    entropy: np.ndarray
    state: np.ndarray

    COLUMNS = ("p", "low", "high", "entropy", "state")

    def headline(self) -> str:
        counts = ", ".join(f"{int((self.state == name).sum())} {name}" for name in ("active", "rare", "dead"))
        return f"{counts}; mean entropy {number(self.value)} bit"

    @property
    def value(self) -> float:
        """Mean entropy of a bit."""
        return float(self.entropy.mean())


def bit_usage(codes: Codes | BitCounts) -> BitUsage:
    """How often each bit is 1, and whether it is in use.

    Args:
        codes: codes `[N, B]`, or their `BitCounts`.

    Returns:
        `p`, the Wilson interval `low` to `high` of it, `entropy` in bits, and `state`: `dead` where all items agree,
        `rare` where the rarer value has a share below 0.05, else `active`.

    Raises:
        DataError: there are no codes.

    Source: Wilson 1927 for the interval.

    Example:
        >>> usage = bit_usage(Codes.from_bits([[1, 0], [0, 0], [1, 0], [0, 0]]))
        >>> usage.p.tolist(), usage.entropy.tolist(), usage.state.tolist()
        ([0.5, 0.0], [1.0, 0.0], ['active', 'dead'])
    """
    counts = BitCounts.of(codes)
    n = need_items("bit_usage", counts.n)
    p = counts.ones / n
    low, high = wilson_interval(counts.ones, n)
    rarer = np.minimum(p, 1 - p)
    state = np.where(rarer == 0, "dead", np.where(rarer < RARE, "rare", "active"))
    return BitUsage(source=counts.source, p=p, low=low, high=high, entropy=binary_entropy(p), state=state)
