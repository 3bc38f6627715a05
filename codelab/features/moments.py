"""Mean and covariance of features, in one pass that holds one block at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codelab.features.fitting import Advance
from codelab.features.sources import Features


@dataclass(frozen=True)
class Moments:
    """Mean `[d]`, variance `[d]` (exactly 0 where a dimension is constant), covariance `[d, d]` where asked for."""

    mean: np.ndarray
    variance: np.ndarray
    covariance: np.ndarray | None


def moments(features: Features, *, covariance: bool, block: int, advance: Advance) -> Moments:
    """Moments of all rows from float64 sums over blocks, so that the block size changes them by rounding alone.

    Sums are taken about the first row: a mean far from zero then costs no digits, and a constant dimension gives 0.
    """
    d = features.dims
    shift = np.zeros(d)
    total, squares = np.zeros(d), np.zeros(d)
    products = np.zeros((d, d)) if covariance else None
    for start, rows in features.blocks(block):
        if start == 0:
            shift = rows[0].astype(np.float64)
        centred = rows - shift
        total += centred.sum(axis=0)
        squares += np.einsum("nd,nd->d", centred, centred)
        if products is not None:
            products += centred.T @ centred
        advance(len(rows))
    n = features.rows
    mean = total / n
    variance = np.maximum(squares / n - mean**2, 0)
    return Moments(mean + shift, variance, None if products is None else products / n - np.outer(mean, mean))
