"""Lassos: which points of a map lie inside a polygon, and a polygon with fewer corners."""

from __future__ import annotations

import numpy as np

from codelab.core.errors import UsageError

CORNERS = 24
"""Corners that a lasso keeps: few enough for an address, enough for any shape drawn by hand."""


def inside_polygon(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Which points lie inside a polygon, bool `[N]`, by the even-odd rule.

    Args:
        points: `[N, 2]`.
        corners: `[K, 2]`, in order; the last is joined to the first.

    Raises:
        UsageError: fewer than 3 corners, or one that is not finite.

    Source: crossing number: Shimrat 1962.

    Example:
        >>> inside_polygon(np.array([[0.5, 0.5], [2, 0.5]]), np.array([[0, 0], [1, 0], [1, 1], [0, 1]])).tolist()
        [True, False]
    """
    corners = np.asarray(corners, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise UsageError(f"lasso: found corners of shape {list(corners.shape)}, expected 3 or more finite pairs")
    x, y = np.asarray(points, dtype=np.float64).T
    found = np.zeros(len(x), dtype=bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > y) != (y2 > y)
        found ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return found


def simplified(corners: np.ndarray, most: int = CORNERS) -> np.ndarray:
    """A polygon of at most `most` corners: the corner whose triangle with its neighbours is smallest goes first.

    Source: Visvalingam & Whyatt 1993.

    Example:
        >>> simplified(np.array([[0, 0], [0.5, 0.01], [1, 0], [1, 1], [0, 1]]), 4).tolist()
        [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    """
    kept = np.asarray(corners, dtype=np.float64)
    while len(kept) > max(most, 3):
        before, after = np.roll(kept, 1, axis=0), np.roll(kept, -1, axis=0)
        one, two = kept - before, after - before
        area = np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])
        kept = np.delete(kept, int(area.argmin()), axis=0)
    return kept
