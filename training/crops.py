"""Multi-crop augmentation, batched on the device, with an independent draw for each image.

A crop, its resize with antialiasing, the flip and the blur are all linear and act on rows and columns apart, so one
view of a whole batch is two batched matrix products: `rows @ image @ columns.T`. Colour changes compose into one 3x4
matrix an image. Every draw is a hash of (seed, epoch, image, view): the result does not depend on batches, workers or
ranks, and a resumed run draws the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from training.config import TrainConfig

_LUMA = (0.299, 0.587, 0.114)
# Rotation of hue is linear in YIQ.
_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
_DRAWS = 16  # random numbers an image and view takes, with some to spare


@dataclass(frozen=True, kw_only=True)
class View:
    """How one view is drawn.

    Args:
        size: side of the view in pixels.
        scale: smallest and largest share of the image's area.
        ratio: largest aspect ratio of the crop (its inverse is the smallest).
        flip: probability of a horizontal flip.
        jitter: strength of brightness, contrast, saturation and hue.
        jitter_p, grey_p, blur_p, solarise_p: probability of each.
        blur_sigma: smallest and largest sigma of the blur, in pixels of the view.
    """

    size: int
    scale: tuple[float, float]
    ratio: float = 4 / 3
    flip: float = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)
    jitter_p: float = 0.8
    grey_p: float = 0.2
    blur_p: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarise_p: float = 0.0


def views(config: TrainConfig) -> list[View]:
    """The two global views of a config, and its local ones."""
    common: dict[str, Any] = {name: getattr(config, name) for name in ("flip", "jitter", "jitter_p", "blur_sigma")}
    common["grey_p"] = config.grey
    wide = View(size=config.image_size, scale=config.global_scale, blur_p=config.blur[0], **common)
    local = View(size=config.local_size, scale=config.local_scale, blur_p=config.blur[2], **common)
    return [wide, replace(wide, blur_p=config.blur[1], solarise_p=config.solarise), *[local] * config.local_views]


def augment(pixels: Tensor, view: View, draws: Tensor) -> Tensor:
    """One view of each image.

    Args:
        pixels: uint8 `[n, 3, S, S]`, or float in 0..1.
        view: how it is drawn.
        draws: uniform numbers `[n, 16]`, see `uniforms`.

    Returns:
        float32 `[n, 3, view.size, view.size]` in 0..1.
    """
    u = draws.unbind(1)
    rows, columns = crop_matrices(pixels.shape[-1], view, draws)
    image = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
    image = rows[:, None] @ image @ columns[:, None].mT
    image = recolour(image, colour_matrices(image.mean((2, 3)), view, draws)).clamp_(0, 1)
    if view.solarise_p:
        solar = (u[13] < view.solarise_p)[:, None, None, None]
        image = torch.where(solar & (image >= 0.5), 1 - image, image)
    return image


def crop_matrices(side: int, view: View, draws: Tensor) -> tuple[Tensor, Tensor]:
    """The matrices `[n, size, side]` that crop, resize, blur (rows and columns) and flip (columns)."""
    u = draws.unbind(1)
    area = view.scale[0] + (view.scale[1] - view.scale[0]) * u[0]
    stretch = torch.exp((2 * u[1] - 1) * math.log(view.ratio) / 2)
    height, width = ((area.sqrt() * s).clamp(max=1) * side for s in (1 / stretch, stretch))
    rows = resize_matrix(side, view.size, u[2] * (side - height), height)
    columns = resize_matrix(side, view.size, u[3] * (side - width), width)
    columns = torch.where((u[4] < view.flip)[:, None, None], columns.flip(1), columns)
    if view.blur_p:
        low, high = view.blur_sigma
        sigma = torch.where(u[11] < view.blur_p, low + (high - low) * u[12], 0.0)
        blur = blur_matrix(view.size, sigma)
        rows, columns = blur @ rows, blur @ columns
    return rows, columns


def resize_matrix(side: int, size: int, start: Tensor, length: Tensor) -> Tensor:
    """Bilinear resampling with antialiasing of `[start, start + length)` of a line of `side` pixels to `size`.

    The filter is a triangle as wide as an output pixel, at least an input pixel, and its weights sum to one over the
    line: the filter of Pillow's `resize(box=...)`.

    Args:
        start, length: `[n]`, in input pixels.

    Returns:
        `[n, size, side]`.
    """
    step = (length / size)[:, None, None]
    device = start.device
    centre = start[:, None, None] + (torch.arange(size, device=device).view(1, -1, 1) + 0.5) * step
    distance = (torch.arange(side, device=device).view(1, 1, -1) + 0.5 - centre).abs()
    weights = (1 - distance / step.clamp(min=1)).clamp(min=0)
    return weights / weights.sum(2, keepdim=True)


def blur_matrix(size: int, sigma: Tensor) -> Tensor:
    """Gaussian blur of a line of `size` pixels, `[n, size, size]`; sigma 0 leaves the line as it is."""
    place = torch.arange(size, device=sigma.device, dtype=torch.float32)
    distance = place[:, None] - place[None, :]
    weights = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3)[:, None, None]) ** 2)
    return weights / weights.sum(2, keepdim=True)


def colour_matrices(mean: Tensor, view: View, draws: Tensor) -> Tensor:
    """Brightness, contrast, saturation, hue and grey as one affine map `[n, 3, 4]` of RGB.

    Args:
        mean: mean RGB `[n, 3]` of each image: contrast is a blend with its mean grey.
    """
    u = draws.unbind(1)
    n, device = len(mean), mean.device
    jittered = u[5] < view.jitter_p
    brightness, contrast, saturation, hue = (
        torch.where(jittered, (2 * u[6 + i] - 1) * strength, 0.0) for i, strength in enumerate(view.jitter)
    )
    luma = torch.tensor(_LUMA, device=device)
    eye = torch.eye(3, device=device)
    grey = luma.expand(3, 3)

    matrix = (1 + brightness)[:, None, None] * eye
    shift = -contrast[:, None] * (mean @ luma * (1 + brightness))[:, None].expand(n, 3)
    matrix = (1 + contrast)[:, None, None] * matrix
    for step in (_saturate(saturation, eye, grey), _turn_hue(hue)):
        matrix, shift = step @ matrix, (step @ shift[:, :, None])[:, :, 0]
    turn_grey = (u[10] < view.grey_p)[:, None, None]
    step = torch.where(turn_grey, grey, eye)
    return torch.cat([step @ matrix, step @ shift[:, :, None]], 2)


def _saturate(amount: Tensor, eye: Tensor, grey: Tensor) -> Tensor:
    return grey + (1 + amount)[:, None, None] * (eye - grey)


def _turn_hue(amount: Tensor) -> Tensor:
    """Rotation of the colour plane by `amount` turns."""
    to_yiq = torch.tensor(_TO_YIQ, device=amount.device)
    cos, sin = torch.cos(2 * math.pi * amount), torch.sin(2 * math.pi * amount)
    zero, one = torch.zeros_like(amount), torch.ones_like(amount)
    turn = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], 1).view(-1, 3, 3)
    return torch.linalg.inv(to_yiq) @ turn @ to_yiq


def recolour(image: Tensor, maps: Tensor) -> Tensor:
    """Apply affine colour maps `[n, 3, 4]` to images `[n, 3, h, w]`."""
    out = maps[:, :, :3] @ image.flatten(2) + maps[:, :, 3:]
    return out.view_as(image)


def uniforms(seed: int, epoch: int, index: Tensor, view: int, count: int = _DRAWS) -> Tensor:
    """Uniform numbers in 0..1 `[n, count]`, a pure function of their arguments.

    Integers are mixed as splitmix64 does, on the device and the same on each.

    Args:
        index: int64 `[n]`, the number of each image in the data set.
    """
    slots = torch.arange(count, device=index.device)
    state = index * count
    state = state[:, None] + slots
    for key in (view, epoch, seed):
        state = _mix(state + _wrap(0x9E3779B97F4A7C15 * (key + 1)))
    return (_mix(state) >> 40 & 0xFFFFFF).double().div(1 << 24).float()


def _mix(x: Tensor) -> Tensor:
    x = (x ^ (x >> 30 & 0x3FFFFFFFF)) * _wrap(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> 27 & 0x1FFFFFFFFF)) * _wrap(0x94D049BB133111EB)
    return x ^ (x >> 31 & 0x1FFFFFFFF)


def _wrap(value: int) -> int:
    """An unsigned 64-bit number as the int64 with the same bits, which is what torch multiplies."""
    value %= 1 << 64
    return value - (1 << 64) if value >= 1 << 63 else value
