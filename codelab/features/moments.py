"""Mean and covariance of features, in one pass that holds one block at a time, on the CPU or on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from codelab.core.errors import DataError, UsageError
from codelab.features.fitting import Advance
from codelab.features.sources import Features


@dataclass(frozen=True)
class Moments:
    """Mean `[d]`, variance `[d]` (exactly 0 where a dimension is constant), covariance `[d, d]` or None."""

    mean: np.ndarray
    variance: np.ndarray
    covariance: np.ndarray | None


def block_moments(blocks: Iterable[np.ndarray], *, covariance: bool, device: str = "cpu") -> Moments:
    """Moments of all rows of blocks `[n, d]`, from float64 sums: the blocks' size changes them by rounding alone.

        s = x_1,    m = mean(x - s),    mean = s + m,    covariance = mean((x - s) (x - s)^T) - m m^T

    Sums are taken about the first row s: a mean far from zero then costs no digits, and a constant dimension gives 0.

    Args:
        blocks: one or more rows in all.
        covariance: whether it is wanted beside the variance.
        device: `cpu`, or where torch does the sums.

    Raises:
        UsageError: torch has no such device.
        DataError: no row.

    Source: Chan, Golub & LeVeque 1983, eq. 1.6 (shifted data).

    Example:
        >>> found = block_moments([np.array([[1.0, 5.0]]), np.array([[3.0, 5.0]])], covariance=False)
        >>> found.mean.tolist(), found.variance.tolist()
        ([2.0, 5.0], [1.0, 0.0])
    """
    place = _placer(device)
    n, shift, total, products = 0, None, 0.0, 0.0  # type: int, Any, Any, Any
    for rows in blocks:
        x = place(rows)
        shift = x[0] if shift is None else shift
        x = x - shift
        total = total + x.sum(0)
        products = products + (x.T @ x if covariance else (x * x).sum(0))
        n += len(rows)
    if shift is None:
        raise DataError("moments: no row")
    first, mean, second = (np.asarray(v if device == "cpu" else v.cpu()) for v in (shift, total / n, products / n))
    if not covariance:
        return Moments(first + mean, np.maximum(second - mean**2, 0), None)
    second = second - np.outer(mean, mean)
    return Moments(first + mean, np.maximum(np.diagonal(second), 0), second)


def moments(features: Features, *, covariance: bool, block: int, advance: Advance) -> Moments:
    """`block_moments` of all rows of features, checked to be finite.

    Raises:
        DataError: a value is NaN or infinite.
    """

    def read() -> Iterator[np.ndarray]:
        for _, rows in features.blocks(block):
            yield rows
            advance(len(rows))

    return block_moments(read(), covariance=covariance)


def _placer(device: str) -> Any:
    """What turns rows into float64 on the device: an array, or a tensor there."""
    if device == "cpu":
        return lambda rows: np.asarray(rows, dtype=np.float64)
    import torch

    try:
        torch.empty(0, device=device, dtype=torch.float64)
    except (RuntimeError, AssertionError, TypeError):
        if not device.startswith("cuda") or torch.cuda.is_available():
            raise UsageError(f"device {device!r}: expected 'cpu', or 'cuda' where there is one") from None
        raise UsageError(f"device {device!r}: torch finds no CUDA device here, expected 'cpu'") from None
    return lambda rows: torch.from_numpy(rows).to(device, torch.float64)
