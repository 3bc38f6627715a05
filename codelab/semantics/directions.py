"""Random directions of the features: what any code of them gives, and the control of every measure of meaning."""

from __future__ import annotations

import numpy as np

from codelab.features.binariser import binarize


def random_directions(features: np.ndarray, bits: int, seed: int) -> np.ndarray:
    """Signs of the centred features along random directions: bool `[N, bits]`.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(100, 4))
        >>> random_directions(features, 3, seed=1).shape
        (100, 3)
    """
    return binarize(features, bits, method="lsh", seed=seed, progress=False).logits(features) > 0
