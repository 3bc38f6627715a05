"""Random directions of the features: what any code of them gives, and the control of every measure of meaning."""

from __future__ import annotations

import numpy as np

from codelab.features.binariser import binarize


def random_directions(features: np.ndarray, bits: int, seed: int, *, shares: np.ndarray | None = None) -> np.ndarray:
    """Signs of the centred features along random directions: bool `[N, bits]`.

    Args:
        features: `[N, d]`.
        bits: how many directions.
        seed: of the draw.
        shares: share of ones of each, `[bits]`: the threshold is moved from 0 to that quantile.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(100, 4))
        >>> random_directions(features, 3, seed=1).shape
        (100, 3)
    """
    found = binarize(features, bits, method="lsh", seed=seed, progress=False).logits(features)
    if shares is None:
        return found > 0
    ranks = found.argsort(axis=0, kind="stable").argsort(axis=0)
    return ranks >= len(found) - np.round(shares * len(found))
