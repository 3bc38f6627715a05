"""Multi-crop augmentation, batched on the device, with an independent draw for each image.

A crop, its resize with antialiasing, the flip and the blur are all linear and act on rows and columns apart, so all
views of one size of a whole batch are two batched matrix products: `rows @ image @ columns.T`. Colour changes compose
into one 3x4 matrix an image. Every draw is a hash of (seed, epoch, image, view): the result does not depend on
batches, workers or ranks, and a resumed run draws the same. Nothing waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.config import TrainConfig

# In YIQ the first axis is grey; saturation scales the other two, hue turns them.
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_GREY, _COLOUR, _TURNED = (
    tuple(map(tuple, np.linalg.inv(_TO_YIQ) @ np.array(axes) @ _TO_YIQ))
    for axes in (np.diag([1, 0, 0]), np.diag([0, 1, 1]), [[0, 0, 0], [0, 0, -1], [0, 1, 0]])
)
_CACHED = 1 << 21  # numbers a processor works on at once; more leave its cache, and every operation waits for them


class Draws(NamedTuple):
    """The uniform numbers that one view of an image takes, in the order of the last axis of `uniforms`.

    Of `flip`, `jitter`, `grey`, `blur` and `solarise` a number below the probability means yes; the others are how
    much.
    """

    area: Tensor
    aspect: Tensor
    top: Tensor
    left: Tensor
    flip: Tensor
    jitter: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grey: Tensor
    blur: Tensor
    sigma: Tensor
    solarise: Tensor

    @classmethod
    def of(cls, draws: Tensor) -> Draws:
        """The numbers by name, of draws `[..., 16]`; the last two are spare."""
        return cls(*draws.unbind(-1)[: len(cls._fields)])


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
    """One view of each image, float32 `[n, 3, size, size]` in 0..1, by draws `[n, 16]`; see `multi_crop`."""
    return multi_crop(pixels, [view], draws[:, None])[0]


def multi_crop(
    pixels: Tensor, views: Sequence[View], draws: Tensor, *, precision: torch.dtype = torch.float32
) -> Tensor:
    """Views of each image.

    Args:
        pixels: uint8 `[n, 3, S, S]`, or float in 0..1.
        views: V views of one size.
        draws: uniform numbers `[n, V, 16]`, see `uniforms`.
        precision: of the products; with bf16 a value is off by about 0.3 of 255 levels, as if rounded to uint8.

    Returns:
        float32 `[V, n, 3, size, size]` in 0..1.

    Example:
        >>> pair = [View(size=8, scale=(0.4, 1))] * 2
        >>> list(multi_crop(torch.zeros(5, 3, 16, 16), pair, uniforms(0, 0, torch.arange(5), torch.arange(2))).shape)
        [2, 5, 3, 8, 8]
    """
    n, side, V, size = len(pixels), pixels.shape[-1], len(views), views[0].size
    part = max(1, _CACHED // (V * size * 3 * side)) if pixels.device.type == "cpu" else n
    if n > part:
        parts = zip(pixels.split(part), draws.split(part), strict=True)
        return torch.cat([multi_crop(some, views, u, precision=precision) for some, u in parts], 1)
    rows, columns = crop_matrices(side, views, draws, precision)
    # Laid out as [row, colour, column], an image goes through both products, for all views at once, without a copy.
    image = pixels.new_empty((n, side, 3, side), dtype=precision).copy_(pixels.transpose(1, 2))
    image = rows.view(n, V * size, side) @ image.view(n, side, 3 * side)
    image = image.view(n * V, size * 3, side) @ columns.view(n * V, size, side).mT
    image = image.view(n, V, size, 3, size).permute(1, 0, 3, 2, 4)
    image = image.new_empty(image.shape, dtype=torch.float32).copy_(image)
    unit = 1 / 255 if pixels.dtype == torch.uint8 else 1.0
    maps = unit * colour_matrices(image.mean((3, 4)).transpose(0, 1), views, draws).transpose(0, 1)
    image = recolour(image.flatten(0, 1), maps.flatten(0, 1)).clamp_(0, 1).view_as(image)
    for one, view, u in zip(image, views, Draws.of(draws).solarise.unbind(1), strict=True):
        if view.solarise_p:
            top = torch.where(u < view.solarise_p, 1.0, 3.0)[:, None, None, None]
            torch.minimum(one, top - one, out=one)  # 1 - x where that is darker; 3 - x never is
    return image


def crop_matrices(
    side: int, views: Sequence[View], draws: Tensor, precision: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """The matrices `[n, V, size, side]` that crop, resize, blur (rows and columns) and flip (columns)."""
    u, size = Draws.of(draws), views[0].size
    low, high = _each(views, "scale", draws).unbind(-1)
    area = low + (high - low) * u.area
    stretch = torch.exp((2 * u.aspect - 1) * _each(views, "ratio", draws).log() / 2)
    height, width = ((area.sqrt() * s).clamp(max=1) * side for s in (1 / stretch, stretch))
    top, left = u.top * (side - height), u.left * (side - width)
    flipped = u.flip < _each(views, "flip", draws)
    left, width = torch.where(flipped, left + width, left), torch.where(flipped, -width, width)
    longest = side * min(1, max(math.sqrt(view.scale[1] * view.ratio) for view in views))
    rows, columns = (
        resize_matrix(side, size, start, length, longest=longest, precision=precision)
        for start, length in ((top, height), (left, width))
    )
    if any(view.blur_p for view in views):
        low, high = _each(views, "blur_sigma", draws).unbind(-1)
        sigma = torch.where(u.blur < _each(views, "blur_p", draws), low + (high - low) * u.sigma, 0.0)
        blur = blur_matrix(size, sigma).to(precision)
        rows, columns = blur @ rows, blur @ columns
    return rows, columns


def resize_matrix(
    side: int,
    size: int,
    start: Tensor,
    length: Tensor,
    *,
    longest: float | None = None,
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """Bilinear resampling with antialiasing of `length` pixels from `start` of a line of `side` pixels to `size`.

    The filter is a triangle as wide as an output pixel, at least an input pixel, and its weights sum to one over the
    line: the filter of Pillow's `resize(box=...)`. A negative length runs backwards: a mirror.

    Args:
        start, length: `[...]`, in input pixels.
        longest: a bound on the lengths, where one is known.

    Returns:
        `[..., size, side]`.
    """
    step = (length / size)[..., None]
    reach = step.abs().clamp(min=1)
    centre = start[..., None] + (torch.arange(size, device=start.device) + 0.5) * step
    # Few weights of a line are not zero: those alone are computed.
    taps = torch.arange(math.ceil(2 * max(1, (longest or side) / size)) + 1, device=start.device)
    place = (centre - reach + 0.5).floor()[..., None] + taps
    weights = (1 - (place + 0.5 - centre[..., None]).abs() / reach[..., None]).clamp(min=0)
    weights = weights * ((place >= 0) & (place < side))
    weights = weights / weights.sum(-1, keepdim=True)
    matrix = weights.new_zeros((*weights.shape[:-1], side), dtype=precision)
    return matrix.scatter_add_(-1, place.long().clamp_(0, side - 1), weights.to(precision))


def blur_matrix(size: int, sigma: Tensor) -> Tensor:
    """Gaussian blur of a line of `size` pixels, `[..., size, size]`; sigma 0 leaves the line as it is."""
    half = torch.exp(-0.5 * (torch.arange(size, device=sigma.device) / sigma.clamp(min=1e-3)[..., None]) ** 2)
    # products with numbers below the smallest normal float take ten times as long
    half = torch.threshold(half, 1e-6, 0)
    both = torch.cat([half[..., 1:].flip(-1), half], -1)
    weights = both.unfold(-1, size, 1).flip(-2)  # each row is the one above, moved by a place
    return weights / weights.sum(-1, keepdim=True)


def colour_matrices(mean: Tensor, views: Sequence[View], draws: Tensor) -> Tensor:
    """Brightness, contrast, saturation, hue and grey as one affine map `[n, V, 3, 4]` of RGB.

    Args:
        mean: mean RGB `[n, V, 3]` of each view: contrast is a blend with its mean grey.
    """
    u = Draws.of(draws)
    jittered = u.jitter < _each(views, "jitter_p", draws)
    brightness, contrast, saturation, hue = (
        torch.where(jittered, (2 * draw - 1) * strength, 0.0)
        for draw, strength in zip(
            (u.brightness, u.contrast, u.saturation, u.hue), _each(views, "jitter", draws).unbind(-1), strict=True
        )
    )
    grey, colour, turned = (_constant(axes, mean.device) for axes in (_GREY, _COLOUR, _TURNED))
    vivid = torch.where(u.grey < _each(views, "grey_p", draws), 0.0, 1 + saturation)[..., None, None]
    angle = 2 * math.pi * hue[..., None, None]
    mix = grey + vivid * (torch.cos(angle) * colour + torch.sin(angle) * turned)
    shift = -contrast * (1 + brightness) * (mean * grey[0]).sum(-1)  # of grey, which no other change moves
    scale = ((1 + brightness) * (1 + contrast))[..., None, None]
    return torch.cat([scale * mix, shift[..., None, None].expand(*shift.shape, 3, 1)], -1)


def recolour(image: Tensor, maps: Tensor) -> Tensor:
    """Apply affine colour maps `[n, 3, 4]` to images `[n, 3, h, w]`."""
    return torch.baddbmm(maps[..., 3:], maps[..., :3], image.flatten(2)).view_as(image)


def _each(views: Sequence[View], name: str, like: Tensor) -> Tensor:
    """One setting of each view, `[V]` or `[V, k]`, where `like` is."""
    return _constant(tuple(getattr(view, name) for view in views), like.device)


@cache
def _constant(values: tuple[Any, ...], device: torch.device) -> Tensor:
    """Numbers on the device, copied there once: each such copy would wait for it."""
    return torch.tensor(values, dtype=torch.float32, device=device)


_DRAWS = 16  # numbers for each image and view: `Draws` and two to spare
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
