"""Correlation of yes/no columns."""

from __future__ import annotations

import numpy as np

EXACT = 1 << 24
"""Items up to which float32 counts them without rounding."""


def phi(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of every column of `a` with every column of `b`, `[A, B]`; 0 where one of them never changes.

        phi = (n n_ab - n_a n_b) / sqrt(n_a (n - n_a) n_b (n - n_b))

    Args:
        a, b: bool `[N, A]` and `[N, B]`.

    Example:
        >>> bits = np.array([[0, 1], [1, 0], [1, 0], [0, 0]], bool)
        >>> phi(bits, bits).round(3).tolist()
        [[1.0, -0.577], [-0.577, 1.0]]
    """
    n = len(a)
    kind = np.float32 if n <= EXACT else np.float64
    both = (a.T.astype(kind) @ b.astype(kind)).astype(np.float64)
    ones_a, ones_b = (columns.sum(axis=0, dtype=np.float64) for columns in (a, b))
    spread = np.sqrt(np.outer(ones_a * (n - ones_a), ones_b * (n - ones_b)))
    return np.divide(n * both - np.outer(ones_a, ones_b), spread, out=np.zeros_like(both), where=spread > 0)


def paired_phi(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of each column of `a` with the same column of `b`, `[B]`; 0 where one of them never changes.

    Example:
        >>> paired_phi(np.array([[0, 1], [1, 1]], bool), np.array([[1, 1], [0, 0]], bool)).tolist()
        [-1.0, 0.0]
    """
    n = len(a)
    both, ones_a, ones_b = (columns.sum(axis=0, dtype=np.float64) for columns in (a & b, a, b))
    spread = np.sqrt(ones_a * (n - ones_a) * ones_b * (n - ones_b))
    return np.divide(n * both - ones_a * ones_b, spread, out=np.zeros(a.shape[1]), where=spread > 0)
