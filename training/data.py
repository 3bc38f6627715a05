"""Training data: every image decoded and resized once, into one uint8 tensor in memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from codelab.encoder import fit_square
from codelab.errors import DataError, UsageError
from codelab.images import ImageSet
from codelab.progress import counter
from training.config import TrainConfig


def load_pixels(images: ImageSet, config: TrainConfig, *, show: bool = True) -> Tensor:
    """All images as uint8 `[N, 3, S, S]`, S the `store_size`: the central square, resized with antialiasing.

    Raises:
        UsageError: they would take more than the config allows.
        DataError: there are fewer images than a batch, or one cannot be read.
    """
    if len(images) < config.batch:
        raise DataError(f"{images.name}: {len(images)} images, fewer than a batch of {config.batch}; lower batch")
    size = config.store_size
    need = len(images) * 3 * size * size / 1e9
    if need > config.memory_gb:
        raise UsageError(
            f"{images.name}: {len(images)} images at {size} pixels take {need:.1f} GB, more than memory_gb "
            f"{config.memory_gb:g}; lower store_size or raise memory_gb"
        )
    pixels = np.empty((len(images), 3, size, size), dtype=np.uint8)
    with counter("reading images", len(images), show=show) as advance:
        for i in range(len(images)):
            pixels[i] = np.asarray(fit_square(images.image(i), size, interpolation="bilinear")).transpose(2, 0, 1)
            advance(1)
    return torch.from_numpy(pixels)


def batches(n: int, batch: int, seed: int, epoch: int) -> Tensor:
    """The image numbers of each step of an epoch, int64 `[steps, batch]`: a new order each epoch, the rest left out.

    Example:
        >>> list(batches(10, 4, 0, 0).shape)
        [2, 4]
    """
    order = np.random.default_rng([seed, epoch]).permutation(n)
    steps = n // batch
    return torch.from_numpy(order[: steps * batch].reshape(steps, batch))
