"""What training-free binarisers learn from features: moments, medians, principal directions, rotations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from codelab.core.errors import DataError
from codelab.features.sources import Features

Advance = Callable[[int], None]
"""Is called with the number of rows just read, for a progress bar."""

_CHUNK = 4096
"""Rows of ITQ at a time: what they are turned into stays in the cache."""


def lower_medians(features: Features, columns: np.ndarray, *, block: int, advance: Advance) -> np.ndarray:
    """The exact lower median of each of `columns`: the value at place ceil(N / 2) of N, float32 `[len(columns)]`.

    A float32 sorts as its bits do once they are made monotone, so the median's bits are found 11, 11 and 10 at a
    time from counts: three passes, memory that does not depend on N, and the same result for any block size.

    Example:
        >>> from codelab.features.sources import open_features
        >>> values = open_features(np.array([[3.0], [-1.0], [2.0], [5.0]]))
        >>> lower_medians(values, np.array([0]), block=2, advance=lambda rows: None).tolist()
        [2.0]
    """
    found = np.zeros(len(columns), dtype=np.uint32)
    place = np.full(len(columns), (features.rows - 1) // 2)
    for shift, width in ((21, 11), (10, 11), (0, 10)):
        counts = np.zeros((len(columns), 1 << width), dtype=np.int64)
        for _, rows in features.blocks(block):
            keys = _ordered(np.ascontiguousarray(rows[:, columns].T))
            for column, key in enumerate(keys):
                if shift < 21:
                    key = key[key >> np.uint32(shift + width) == found[column]]
                digits = (key >> np.uint32(shift)) & np.uint32((1 << width) - 1)
                counts[column] += np.bincount(digits, minlength=1 << width)
            advance(len(rows))
        upto = counts.cumsum(axis=1)
        digit = (upto <= place[:, None]).sum(axis=1)
        place -= np.where(digit > 0, np.take_along_axis(upto, np.maximum(digit - 1, 0)[:, None], axis=1)[:, 0], 0)
        found = (found << np.uint32(width)) | digit.astype(np.uint32)
    return np.where(found >> 31, found & np.uint32(0x7FFFFFFF), ~found).astype(np.uint32).view(np.float32)


def _ordered(values: np.ndarray) -> np.ndarray:
    """uint32 keys that sort as the float32 values do."""
    raw = (values + np.float32(0)).view(np.uint32)  # + 0: -0.0 and 0.0 are one value
    return np.where(raw >> 31, ~raw, raw | np.uint32(0x80000000))


def principal_directions(covariance: np.ndarray, bits: int, *, name: str, rows: int) -> np.ndarray:
    """The `bits` leading eigenvectors of a covariance, `[d, bits]`, each with its largest entry positive.

    Raises:
        DataError: the features vary along fewer directions (fewer dimensions, or too few rows).
    """
    from scipy.linalg import eigh

    values, vectors = eigh(covariance)
    rank = int((values > 1e-12 * values[-1]).sum())
    if rank < bits:
        raise DataError(
            f"{name}: {rows} rows of {len(covariance)} dimensions vary along {rank} directions, "
            f"expected at least one for each of {bits} bits"
        )
    leading = vectors[:, ::-1][:, :bits]
    largest = np.abs(leading).argmax(axis=0)
    return leading * np.sign(leading[largest, np.arange(bits)])


def random_rotation(size: int, seed: int) -> np.ndarray:
    """A uniformly random orthogonal matrix `[size, size]`.

    Source: Mezzadri 2007: the Q of a Gaussian matrix, its columns signed so that R has a positive diagonal.

    Example:
        >>> R = random_rotation(3, seed=0)
        >>> bool(np.allclose(R.T @ R, np.eye(3)))
        True
    """
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    return q * np.sign(np.diag(r))


def itq_rotation(projected: np.ndarray, rotation: np.ndarray, *, iterations: int) -> tuple[np.ndarray, list[float]]:
    """Turn principal components so that their signs lose least: iterative quantisation.

    Alternates B = sign(V R) with the orthogonal R nearest to turning V into B (Procrustes, by SVD); each half step
    can only lower the quantisation loss ||B - V R||^2.

    Args:
        projected: V `[m, B]`, centred principal components.
        rotation: R `[B, B]` to start from.
        iterations: how often to alternate.

    Returns:
        R, and the loss of the start and after each iteration, as a mean over entries with V scaled to mean square 1:
        0 where V R is all of one size, 2 - 2 sqrt(2 / pi) = 0.404 for Gaussian components.

    Source: Gong & Lazebnik 2011, Eqs. 2 and 3.
    """
    scale = np.sqrt(np.mean(np.square(projected, dtype=np.float64)))
    V = (projected / scale).astype(np.float32)
    R, losses = rotation, []
    for step in range(iterations + 1):
        turn, moment = R.astype(np.float32), np.zeros(R.shape)
        for start in range(0, len(V), _CHUNK):
            part = V[start : start + _CHUNK]
            turned = part @ turn
            moment += part.T @ np.copysign(np.float32(1), turned, out=turned)
        losses.append(float(2 - 2 * np.sum(R * moment) / V.size))  # sum |V R| = trace(R' V' B)
        if step < iterations:
            left, _, right = np.linalg.svd(moment)
            R = left @ right
    return R, losses
