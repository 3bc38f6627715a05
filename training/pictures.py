"""Pictures of any shape, kept whole: their pixels one after the other in one row of bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Pictures:
    """n pictures; taking some of them copies no pixels.

    Args:
        values: uint8 (or float in 0..1) `[total]`: the RGB values of each picture, `[height, width, 3]` flattened.
        start: where each picture begins in `values`, int64 `[n]`, on the CPU.
        size: height and width of each, int64 `[n, 2]`, on the CPU.

    Example:
        >>> some = Pictures.of([np.zeros((4, 6, 3), np.uint8), np.ones((5, 3, 3), np.uint8)])
        >>> len(some), len(some.values), list(some[1:].one(0).shape)
        (2, 117, [1, 3, 5, 3])
    """

    values: Tensor
    start: Tensor
    size: Tensor

    @classmethod
    def of(cls, pictures: Sequence[np.ndarray]) -> Pictures:
        """From arrays `[height, width, 3]`."""
        size = torch.tensor([picture.shape[:2] for picture in pictures])
        return cls.laid_out(torch.from_numpy(np.concatenate([picture.ravel() for picture in pictures])), size)

    @classmethod
    def of_one_shape(cls, pixels: Tensor) -> Pictures:
        """From a tensor `[n, 3, height, width]`."""
        size = torch.tensor(pixels.shape[2:]).repeat(len(pixels), 1)
        return cls.laid_out(pixels.permute(0, 2, 3, 1).flatten(), size)

    @classmethod
    def laid_out(cls, values: Tensor, size: Tensor) -> Pictures:
        """Pictures of these sizes that follow each other in `values`."""
        lengths = 3 * size.prod(1)
        return cls(values, lengths.cumsum(0) - lengths, size)

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: Tensor | slice) -> Pictures:
        return replace(self, start=self.start[rows], size=self.size[rows])

    @property
    def device(self) -> torch.device:
        return self.values.device

    def packed(self) -> Pictures:
        """The same pictures, without pixels of others between them."""
        ends = self.start + 3 * self.size.prod(1)
        parts = [self.values[a:b] for a, b in zip(self.start.tolist(), ends.tolist(), strict=True)]
        return self.laid_out(torch.cat(parts), self.size)

    def to(self, device: torch.device) -> Pictures:
        return replace(self, values=to_device(self.values, device))

    def split(self, most: int) -> tuple[Pictures, ...]:
        """In parts of at most so many."""
        return tuple(self[i : i + most] for i in range(0, len(self), most))

    def chunk(self, parts: int) -> tuple[Pictures | Tensor, ...]:
        """In so many parts, as `Tensor.chunk`."""
        return self.split(max(1, math.ceil(len(self) / parts)))

    def one(self, i: int) -> Tensor:
        """Picture i as `[1, 3, height, width]`, channels last; it shares the memory."""
        start, (height, width) = int(self.start[i]), self.size[i].tolist()
        return self.values[start : start + 3 * height * width].view(1, height, width, 3).permute(0, 3, 1, 2)

    def canvas(self, precision: torch.dtype) -> Tensor:
        """All in the upper left of `[n, H, 3, W]`, as large as the largest; beyond a picture any values stand."""
        H, W = self.size.amax(0).tolist()
        start, size = to_device(self.start, self.device), to_device(self.size, self.device)
        y, x = torch.arange(H, device=self.device)[:, None], torch.arange(W, device=self.device)
        place = start[:, None, None] + 3 * (y * size[:, 1, None, None] + x)
        place.clamp_(max=len(self.values) - 3)
        return torch.stack([self.values[place + colour].to(precision) for colour in range(3)], 2)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; the host does not wait for the copy."""
    pinned = tensor.pin_memory() if device.type == "cuda" and tensor.device.type == "cpu" else tensor
    return pinned.to(device, non_blocking=True)


def reduced(image: Image.Image, size: int) -> np.ndarray:
    """The whole image as uint8 `[height, width, 3]`; one of more than size² pixels is reduced to that area.

    Its shape is kept, and it is never enlarged: a crop of a share of the area has as many pixels as a crop of the full
    image, or that share of size².

    Example:
        >>> [reduced(Image.new("RGB", shape), 300).shape for shape in ((400, 900), (200, 100))]
        [(450, 200, 3), (100, 200, 3)]
    """
    scale = math.sqrt(size * size / (image.width * image.height))
    if scale < 1:
        height = min(max(1, round(image.height * scale)), size * size)
        width = min(max(1, round(image.width * scale)), size * size // height)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.array(image)
