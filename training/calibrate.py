"""BatchNorm statistics of images as they will be coded."""

from __future__ import annotations

import torch
from torch import nn

from codelab.encoder import Encoder
from training.crops import View, augment
from training.data import Data


@torch.no_grad()
def calibrate(encoder: Encoder, data: Data, *, most: int = 4096) -> None:
    """Take BatchNorm statistics anew on images as they will be coded: in training they were those of crops."""
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    encoder.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    size = encoder.config.image_size
    whole = View(size=size, scale=(1, 1), ratio=1, flip=0, jitter_p=0, grey_p=0)
    for part in data.sample(most).split(256):
        image = augment(part, whole, torch.full((len(part), 16), 0.5, device=part.device))
        encoder(encoder.normalise(image))
    for norm in norms:
        norm.momentum = 0.1
