"""InfoNCE: a lower bound of the information that the codes of two views of the same images share."""

from __future__ import annotations

import numpy as np
from scipy import special

from codelab.core.codes import Codes
from codelab.kernels.counting import column_counts
from codelab.statistics.clusters import one_of_each
from codelab.statistics.jackknife import PARTS, deal, standard_error

TRIED = 1024
"""Images of the fitted half on which the temperature is chosen."""
REPEATED = 512
"""Held-out images on which the bound is measured again without each part of the fitted half."""


def info_nce(
    a: Codes, b: Codes, fit: np.ndarray, held_out: np.ndarray, items: int, units: np.ndarray | None
) -> tuple[float, float]:
    """The bound in bits, and half the width of its 95 % interval.

    With n held-out images and the critic f fitted on the other half,

        value = mean_i log2(exp(f_ii) / mean_j exp(f_ij)).

    Both halves are samples: the variance is the sum of two jackknives, over parts of the held-out images (which leave
    rows and columns of f) and over parts of the fitted ones.

    Args:
        a, b: codes of the two views, `[N, B]`.
        fit, held_out: rows of the two halves; no two held-out rows are near copies.
        items: most images that are compared with each other.
        units: int `[N]`, the group of each image, or None.

    Source: van den Oord et al. 2018; Poole et al. 2019; jackknife: Efron & Tibshirani 1993, chapter 11.
    """
    unit = np.arange(len(a)) if units is None else units
    counts = _counts(a, b, fit)
    tried = fit[: min(items, TRIED)] if units is None else one_of_each(fit, units)[: min(items, TRIED)]
    raw = _critic(counts, a, b, tried)
    temperatures = 2.0 ** np.arange(-5, 1.5, 0.5)
    best = max(temperatures, key=lambda t: float(_terms(t * raw).mean()))
    scores = best * _critic(counts, a, b, held_out)
    value = float(_terms(scores).mean())
    part, some = deal(unit[fit]), held_out[:REPEATED]
    parts = [fit[part == p] for p in range(part.max() + 1)]
    refitted = [_terms(best * _critic(counts - _counts(a, b, rows), a, b, some)).mean() for rows in parts]
    error = np.hypot(standard_error(_without_parts(scores)), standard_error(np.array(refitted)))
    return value, float(special.stdtrit(min(PARTS, len(parts), len(held_out)) - 1, 0.975) * error)


def _counts(a: Codes, b: Codes, rows: np.ndarray) -> np.ndarray:
    """Images and, per bit, ones of the first view, of the second, and of both: float64 `[4, B]`."""
    x, y = a.packed[rows], b.packed[rows]
    ones = [column_counts(packed, a.bits) for packed in (x, y, x & y)]
    return np.array([np.full(a.bits, len(rows)), *ones], dtype=np.float64)


def _critic(counts: np.ndarray, a: Codes, b: Codes, rows: np.ndarray) -> np.ndarray:
    """Sum over bits of log P(z2 | z1) / P(z2) of each row of `a` with each of `b`, `[n, n]`."""
    n, ones, ones_b, both = counts
    p_one = (ones_b + 0.5) / (n + 1)
    from_one = (both + 0.5) / (ones + 1)
    from_zero = (ones_b - both + 0.5) / (n - ones + 1)
    # of a bit it is one of four numbers, so that of a pair of codes is a product of matrices
    weights = np.stack([np.log(from_zero / p_one), np.log(from_one / p_one)])
    weights_zero = np.stack([np.log((1 - from_zero) / (1 - p_one)), np.log((1 - from_one) / (1 - p_one))])
    x, y = a[rows].to_bits().astype(np.float64), b[rows].to_bits().astype(np.float64)
    one = weights[0] + x * (weights[1] - weights[0])
    zero = weights_zero[0] + x * (weights_zero[1] - weights_zero[0])
    return one @ y.T + zero @ (1 - y).T


def _terms(scores: np.ndarray) -> np.ndarray:
    """The bound's term of each image, in bits: its own pair of views against all."""
    chance = special.logsumexp(scores, axis=1) - np.log(len(scores))
    return (np.diagonal(scores) - chance) / np.log(2)


def _without_parts(scores: np.ndarray) -> np.ndarray:
    """The bound without each part of the images, `[P]`: neither their rows nor their columns."""
    part = deal(np.arange(len(scores)))
    size = np.bincount(part)
    if len(size) < 2:
        return np.full(1, np.nan)
    top = scores.max(axis=1, keepdims=True)
    by_part = np.exp(scores - top) @ np.eye(len(size))[part]
    others = by_part @ (1 - np.eye(len(size)))
    own = (np.diagonal(scores) - top[:, 0])[:, None]
    terms = (own - np.log(others) + np.log(len(scores) - size)) / np.log(2)
    kept = part[:, None] != np.arange(len(size))
    return np.where(kept, terms, 0.0).sum(axis=0) / kept.sum(axis=0)
