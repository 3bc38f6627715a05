"""The nearest others of rows, from a search that may have found the rows themselves."""

from __future__ import annotations

import numpy as np


def without_self(found: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Neighbours `[Q, k]` of `rows` `[Q]` without the row itself, from the k + 1 found, `[Q, k + 1]`.

    Where a row is not among its own neighbours, behind others at the same place, the last one is left out.

    Example:
        >>> without_self(np.array([[5, 2, 7], [1, 3, 4]]), np.array([2, 9])).tolist()
        [[5, 7], [1, 3]]
    """
    own = found == rows[:, None]
    own[~own.any(axis=1), -1] = True
    return found[~own].reshape(len(rows), found.shape[1] - 1)
