"""Stochastic depth whose draws are given: a result then depends on images, not on parts, processes or restarts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.draws import uniforms

_STREAM = 1000
"""Draws of depth are keyed by view + this, apart from those of the crops."""


class DropPath(nn.Module):
    """Leaves a residual branch out for the rows whose draw is below p, and scales up the others.

    Source: Huang et al. 2016, arXiv 1603.09382.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.draws: Tensor | None = None
        """Uniform numbers, one for each row and some to spare."""

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.draws is None:
            return branch
        kept = (self.draws[: len(branch)] >= self.p).to(branch.dtype) / (1 - self.p)
        return branch * kept.view(-1, *[1] * (branch.ndim - 1))


def take_over(backbone: nn.Module) -> list[DropPath]:
    """Put `DropPath` in the place of timm's, in their order."""
    from timm.layers.drop import DropPath as TimmDropPath

    paths = []
    for parent in list(backbone.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, TimmDropPath):
                paths.append(DropPath(float(child.drop_prob)))
                setattr(parent, name, paths[-1])
    return paths


def draw(paths: list[DropPath], seed: int, epoch: int, index: Tensor, views: int) -> None:
    """Give each path the draws of the images `index`, one block of rows a view.

    The wide and the local views are two passes; both take the first rows, so the activations can be computed again
    in the backward pass with the draws they had.
    """
    if paths:
        streams = torch.arange(_STREAM, _STREAM + views, device=index.device)
        draws = uniforms(seed, epoch, index, streams, count=len(paths)).transpose(0, 1).flatten(0, 1)
        for path, column in zip(paths, draws.unbind(1), strict=True):
            path.draws = column
