"""Clipping of gradients without waiting for the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def clip_gradients(parameters: Sequence[nn.Parameter], limit: float, *, by: str) -> Tensor:
    """Scale gradients whose norm is above `limit`, each tensor apart or all together; the device is not waited for.

    Returns:
        1 where a gradient is not finite, else 0.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients))
    together = norms.norm()
    if limit > 0:
        norms = together.expand_as(norms) if by == "global" else norms
        torch._foreach_mul_(gradients, (limit / (norms + 1e-6)).clamp(max=1).unbind())
    return (~together.isfinite()).float()
