"""How much more often a bit is 1 in one class than in the others."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.result import Result
from codelab.measures.class_information import need_classes
from codelab.statistics.counts import ClassCounts
from codelab.statistics.nulls import false_discovery, pair_null

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassLogOdds(Result):
    """Arrays `[C, B]`: `log_odds` (natural logarithm of the odds ratio, class against the rest), its 95 % interval
    `low` to `high`, `p` the share of ones in the class, exact `p_value` and, over all entries, `q_value`.

    The line quotes how many pairs of class and bit stand out at q < 0.05.
    """

    log_odds: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    classes: tuple[str, ...]

    def headline(self) -> str:
        found, size = int((self.q_value < 0.05).sum()), self.q_value.size
        return f"{found:,} of {size:,} pairs of class and bit at q < 0.05, {len(self.classes)} classes"

    def to_frame(self) -> pd.DataFrame:
        """One row for each class and bit."""
        import pandas as pd

        shape = self.log_odds.shape
        names = ("log_odds", "low", "high", "p", "p_value", "q_value")
        return pd.DataFrame(
            {
                "class": np.repeat(np.array(self.classes, dtype=object), shape[1]),
                "bit": np.tile(np.arange(shape[1]), shape[0]),
                **{name: getattr(self, name).ravel() for name in names},
            }
        )


def class_log_odds(codes: Codes | ClassCounts, *, confidence: float = 0.95) -> ClassLogOdds:
    """Log odds ratio of every bit in every class against all other items.

    Args:
        codes: labelled codes `[N, B]`, single or multi-label, or their `ClassCounts`.
        confidence: of the intervals.

    Returns:
        See `ClassLogOdds`. Half an item is added to each cell, so an empty cell gives a finite value.

    Raises:
        UsageError: a confidence that is not between 0 and 1.
        DataError: no labels, or one class only.

    Source: Haldane 1956 and Anscombe 1956 for the half; Woolf 1955 for the interval.

    Example:
        >>> labels = np.repeat([0, 1], 100)
        >>> found = class_log_odds(Codes.from_bits(np.stack([labels == 0, labels >= 0], axis=1), labels))
        >>> found.log_odds.round(1).tolist()
        [[10.6, 0.0], [-10.6, 0.0]]
    """
    if not 0 < confidence < 1:
        raise UsageError(f"confidence {confidence}: expected between 0 and 1")
    counts = need_classes("class_log_odds", ClassCounts.of(codes), multilabel=True)
    size, n = counts.class_n[:, None], counts.n
    one = counts.ones
    other = counts.bit_ones - one
    cells = [c + 0.5 for c in (one, size - one, other, (n - size) - other)]
    value = np.log(cells[0]) - np.log(cells[1]) - np.log(cells[2]) + np.log(cells[3])
    # a bit that never changes has odds of its own in no class: the halves alone would make some up
    constant = (counts.bit_ones == 0) | (counts.bit_ones == n)
    value = np.where(constant, 0.0, value)
    half = special.ndtri(0.5 + confidence / 2) * np.sqrt(sum(1 / c for c in cells))
    _, p_value = pair_null(counts.bit_ones[None, :], size, one, n)
    return ClassLogOdds(
        source=counts.source,
        log_odds=value,
        low=value - half,
        high=value + half,
        p=one / size,
        p_value=p_value,
        q_value=false_discovery(p_value),
        classes=counts.classes,
    )
