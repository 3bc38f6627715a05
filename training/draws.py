"""Chance as a function of (seed, epoch, image, view): the same for any batch, worker, rank and restart."""

from __future__ import annotations

import torch
from torch import Tensor

_DRAWS = 16  # random numbers an image and view takes, with some to spare
_GOLDEN = -0x61C8864680B583EB  # 2^64 over the golden ratio, as int64


def uniforms(seed: int, epoch: int, index: Tensor, view: int | Tensor, count: int = _DRAWS) -> Tensor:
    """Uniform numbers in 0..1 `[n, count]`, or for views `[V]` `[n, V, count]`, a pure function of their arguments.

    Integers are mixed as splitmix64 does, on the device and the same on each.

    Args:
        index: int64 `[n]`, the number of each image in the data set.

    Example:
        >>> both = uniforms(0, 0, torch.arange(3), torch.tensor([4, 7]))
        >>> torch.equal(both[:, 1], uniforms(0, 0, torch.arange(3), 7))
        True
    """
    state = index[:, None] * count + torch.arange(count, device=index.device)
    if isinstance(view, Tensor):
        state, view = state[:, None], view[:, None]
    for key in (view, epoch, seed):
        step = _GOLDEN * (key + 1)
        state = _mix(state + (step if isinstance(step, Tensor) else _wrap(step)))
    return (_mix(state) >> 40 & 0xFFFFFF).double().div(1 << 24).float()


def _mix(x: Tensor) -> Tensor:
    x = (x ^ (x >> 30 & 0x3FFFFFFFF)) * _wrap(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> 27 & 0x1FFFFFFFFF)) * _wrap(0x94D049BB133111EB)
    return x ^ (x >> 31 & 0x1FFFFFFFF)


def _wrap(value: int) -> int:
    """An unsigned 64-bit number as the int64 with the same bits, which is what torch multiplies."""
    value %= 1 << 64
    return value - (1 << 64) if value >= 1 << 63 else value
