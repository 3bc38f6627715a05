"""Correlation of yes/no columns."""

from __future__ import annotations

import numpy as np

EXACT = 1 << 24
"""Items up to which float32 counts them without rounding."""


def phi_of_counts(both: np.ndarray, a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """Correlation of two columns with `a` and `b` ones of n, `both` of them together; the arguments broadcast.

        phi = (n n_ab - n_a n_b) / sqrt(n_a (n - n_a) n_b (n - n_b)),    0 where a column never changes

    Example:
        >>> phi_of_counts(np.array([30, 15]), np.array(30), np.array([30, 15]), 300).round(2).tolist()
        [1.0, 0.69]
    """
    both, a, b = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (both, a, b)))
    spread = np.sqrt(a * (n - a) * b * (n - b))
    return np.divide(n * both - a * b, spread, out=np.zeros(both.shape), where=spread > 0)


def phi(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`phi_of_counts` of every column of `a` with every column of `b`, `[A, B]`.

    Args:
        a, b: bool `[N, A]` and `[N, B]`.

    Example:
        >>> bits = np.array([[0, 1], [1, 0], [1, 0], [0, 0]], bool)
        >>> phi(bits, bits).round(3).tolist()
        [[1.0, -0.577], [-0.577, 1.0]]
    """
    kind = np.float32 if len(a) <= EXACT else np.float64
    return phi_of_counts(a.T.astype(kind) @ b.astype(kind), a.sum(axis=0)[:, None], b.sum(axis=0), len(a))


def paired_phi(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`phi_of_counts` of each column of `a` with the same column of `b`, `[B]`.

    Example:
        >>> paired_phi(np.array([[0, 1], [1, 1]], bool), np.array([[1, 1], [0, 0]], bool)).tolist()
        [-1.0, 0.0]
    """
    return phi_of_counts((a & b).sum(axis=0), a.sum(axis=0), b.sum(axis=0), len(a))
