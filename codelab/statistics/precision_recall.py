"""The area under the precision-recall curve, of many questions at once."""

from __future__ import annotations

import numpy as np


def precision_recall_areas(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Average precision of each column, images of equal scores together; NaN where nothing is true.

    With P_r and R_r the precision and recall among the images of the r highest scores,

        area = sum over r of (R_r - R_{r-1}) P_r

    Args:
        truth: bool `[n, Q]`.
        score: higher means more likely, `[n, Q]`.

    Returns:
        `[Q]`, as scikit-learn's `average_precision_score` gives for each.

    Example:
        >>> truth = np.array([[1, 0], [0, 0], [1, 0]], bool)
        >>> precision_recall_areas(truth, np.array([[3, 1], [2, 1], [1, 1]])).round(3).tolist()
        [0.833, nan]
    """
    order = np.argsort(score, axis=0)[::-1]
    falling = np.take_along_axis(score, order, axis=0)
    found = np.cumsum(np.take_along_axis(truth, order, axis=0), axis=0)
    last = np.ones(score.shape, bool)
    last[:-1] = falling[:-1] != falling[1:]
    before = np.zeros_like(found)  # found at the last image of a higher score
    before[1:] = np.maximum.accumulate(np.where(last, found, 0), axis=0)[:-1]
    precision = found / np.arange(1, len(score) + 1)[:, None]
    with np.errstate(invalid="ignore"):
        return (np.where(last, (found - before) * precision, 0.0)).sum(axis=0) / found[-1]
