"""How many threads a network needs: on a small one they wait for each other longer than they compute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from training.config import TrainConfig

SMALL = 8e9
"""Operations of a step's forward pass below which one thread does it: between the demo's 4e9 and the 16e9 of the same
network at 64 pixels, which two threads do faster."""
_SET = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def operations(backbone: nn.Module, config: TrainConfig) -> float:
    """Multiplications and additions of one forward pass over all views of a batch, counted on one view of each size.

    Example:
        >>> from training.network import starting_encoder
        >>> config = TrainConfig(backbone="conv", width=4, image_size=16, local_views=0, batch=64)
        >>> operations(starting_encoder(config).backbone, config) < SMALL
        True
    """
    sizes = {config.image_size: 2} | ({config.local_size: config.local_views} if config.local_views else {})
    if config.local_views and config.local_size == config.image_size:
        sizes = {config.image_size: 2 + config.local_views}
    was_training, parameter = backbone.training, next(backbone.parameters())
    backbone.eval()
    total = 0.0
    with torch.no_grad():
        for size, views in sizes.items():
            with FlopCounterMode(display=False) as counter:
                backbone(torch.zeros(1, 3, size, size, device=parameter.device))
            total += views * counter.get_total_flops()
    backbone.train(was_training)
    return total * config.batch


@contextmanager
def threads_for(backbone: nn.Module, config: TrainConfig) -> Iterator[str]:
    """Set torch's threads while a run goes on, and put them back; yields what was set, in words.

    `config.threads` comes first, then the environment; else a small network gets one thread, and others all there are.
    """
    before = torch.get_num_threads()
    threads, why = before, ""
    if config.threads:
        threads = config.threads
    elif any(os.environ.get(name) for name in _SET):
        why = " (" + next(name for name in _SET if os.environ.get(name)) + ")"
    elif next(backbone.parameters()).device.type == "cpu" and operations(backbone, config) < SMALL:
        threads, why = 1, " (a small network; --threads for more)"
    torch.set_num_threads(threads)
    try:
        yield f"{threads} thread{'s' * (threads != 1)}{why}"
    finally:
        torch.set_num_threads(before)
