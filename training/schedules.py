"""Schedules: pure functions of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math


def cosine(step: int, steps: int, start: float, end: float) -> float:
    """From `start` at step 0 to `end` at the last step along half a cosine.

    Example:
        >>> [round(cosine(s, 5, 1.0, 0.0), 2) for s in range(5)]
        [1.0, 0.85, 0.5, 0.15, 0.0]
    """
    progress = min(1.0, step / max(1, steps - 1))
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def warmup_cosine(step: int, steps: int, *, warmup: int, peak: float, end: float) -> float:
    """A straight rise to `peak` over the first `warmup` steps, then a cosine to `end`.

    The first step is already above 0, so that no step is wasted.

    Example:
        >>> [round(warmup_cosine(s, 6, warmup=2, peak=1.0, end=0.0), 2) for s in range(6)]
        [0.5, 1.0, 1.0, 0.75, 0.25, 0.0]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return cosine(step - warmup, steps - warmup, peak, end)
