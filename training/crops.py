"""Multi-crop augmentation in batches, with an independent draw for each image: torchvision's, drawn by a hash.

A view is, in this order, RandomResizedCrop (bicubic, antialiased), RandomHorizontalFlip, ColorJitter, RandomGrayscale,
Gaussian blur and solarisation. Boxes and colours are those of torchvision for the same draws. Every draw is a hash of
(seed, epoch, image, view): the result does not depend on batches, workers or ranks, and a resumed run draws the same.
Nothing waits for a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from training.colours import blur, constant, grey, jitter
from training.config import TrainConfig
from training.pictures import Pictures, to_device

_CACHED = 1 << 19  # numbers a processor works on at once; more leave its cache, and every operation waits for them
_TRIES = 10  # shapes that RandomResizedCrop draws before it takes the central crop


class Draws(NamedTuple):
    """The uniform numbers that one view of an image takes, in the order of the last axis of `uniforms`.

    Of `flip`, `jitter`, `grey`, `blur` and `solarise` a number below the probability means yes; the others are how
    much. `area` and `aspect` have ten numbers each: a shape that does not fit into the image is drawn again.
    """

    top: Tensor
    left: Tensor
    flip: Tensor
    jitter: Tensor
    order: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grey: Tensor
    blur: Tensor
    sigma: Tensor
    solarise: Tensor
    area: Tensor
    aspect: Tensor

    @classmethod
    def of(cls, draws: Tensor) -> Draws:
        """The numbers by name, of draws `[..., DRAWS]`."""
        single = len(cls._fields) - 2
        return cls(*draws[..., :single].unbind(-1), *draws[..., single:].split(_TRIES, -1))


DRAWS = len(Draws._fields) - 2 + 2 * _TRIES
"""How many numbers a view of an image takes."""


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


def augment(pixels: Pictures | Tensor, view: View, draws: Tensor) -> Tensor:
    """One view of each image, float32 `[n, 3, size, size]` in 0..1, by draws `[n, DRAWS]`; see `multi_crop`."""
    return multi_crop(pixels, [view], draws[:, None])[0]


def multi_crop(
    pixels: Pictures | Tensor, views: Sequence[View], draws: Tensor, *, precision: torch.dtype = torch.float32
) -> Tensor:
    """Views of each image.

    Args:
        pixels: n images, or a tensor `[n, 3, height, width]` of images of one shape, uint8 or float in 0..1.
        views: V views of one size.
        draws: uniform numbers `[n, V, DRAWS]`, see `uniforms`.
        precision: of the products on a GPU; with bf16 a value is off by about 0.3 of 255 levels, as if rounded to
            uint8.

    Returns:
        float32 `[V, n, 3, size, size]` in 0..1.

    Example:
        >>> pair = [View(size=8, scale=(0.4, 1))] * 2
        >>> list(multi_crop(torch.zeros(5, 3, 16, 16), pair, uniforms(0, 0, torch.arange(5), torch.arange(2))).shape)
        [2, 5, 3, 8, 8]
    """
    pictures = pixels if isinstance(pixels, Pictures) else Pictures.of_one_shape(pixels)
    n, V, size = len(pictures), len(views), views[0].size
    part = max(1, _CACHED // (V * 3 * size * size)) if pictures.device.type == "cpu" else n
    if part >= n:
        return _views(pictures, views, draws.transpose(0, 1), precision)
    made = torch.empty((V, n, 3, size, size), device=pictures.device)
    for start in range(0, n, part):
        some = slice(start, start + part)
        made[:, some] = _views(pictures[some], views, draws[some].transpose(0, 1), precision)
    return made


def _views(pictures: Pictures, views: Sequence[View], draws: Tensor, precision: torch.dtype) -> Tensor:
    """As `multi_crop`, of draws `[V, n, DRAWS]`."""
    u, size = Draws.of(draws), views[0].size
    boxes = crop_boxes(to_device(pictures.size, draws.device), views, u)
    flipped = u.flip < _each(views, "flip", draws)
    cut = cut_one_by_one if pictures.device.type == "cpu" else cut_together
    image = cut(pictures, boxes, flipped, size, precision)
    rows = image.flatten(0, 1)

    jittered = (u.jitter < _each(views, "jitter_p", draws)).flatten()
    strength = _each(views, "jitter", draws)
    amounts = torch.stack([u.brightness, u.contrast, u.saturation, u.hue], -1).mul(2).sub(1) * strength
    jitter(rows, jittered, (24 * u.order).long().flatten(), amounts.flatten(0, 1))
    grey(rows, (u.grey < _each(views, "grey_p", draws)).flatten())
    if any(view.blur_p for view in views):
        low, high = _each(views, "blur_sigma", draws).unbind(-1)
        blurred = (u.blur < _each(views, "blur_p", draws)).flatten()
        blur(rows, blurred, (low + (high - low) * u.sigma).flatten(), precision)
    for one, view, drawn in zip(image, views, u.solarise, strict=True):
        if view.solarise_p:
            top = torch.where(drawn < view.solarise_p, 1.0, 3.0)[:, None, None, None]
            torch.minimum(one, top - one, out=one)  # 1 - x where that is darker; 3 - x never is
    return image


def crop_boxes(size: Tensor, views: Sequence[View], u: Draws) -> Tensor:
    """Top, left, height and width of the crops, int64 `[V, n, 4]`.

    The first of ten shapes that fits into the image is taken, at a uniform place; where none fits, the central crop of
    the nearest shape that does. Source: torchvision's RandomResizedCrop.

    Args:
        size: height and width of the images, `[n, 2]`.
    """
    height, width = size.double().unbind(1)
    low, high = _each(views, "scale", u.area).double()[:, :, None].unbind(-1)
    ratio = _each(views, "ratio", u.area).double()
    area = (height * width)[:, None] * (low + (high - low) * u.area)
    aspect = torch.exp((2 * u.aspect - 1) * ratio.log()[..., None])
    heights, widths = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    fits = (heights > 0) & (heights <= height[:, None]) & (widths > 0) & (widths <= width[:, None])
    first, any_fits = fits.byte().argmax(-1, keepdim=True), fits.any(-1)
    h = torch.where(any_fits, heights.gather(-1, first)[..., 0], torch.minimum(height, (width * ratio).round()))
    w = torch.where(any_fits, widths.gather(-1, first)[..., 0], torch.minimum(width, (height * ratio).round()))
    top = torch.where(any_fits, u.top * (height - h + 1), (height - h) / 2).floor()
    left = torch.where(any_fits, u.left * (width - w + 1), (width - w) / 2).floor()
    return torch.stack([top, left, h, w], -1).long()


def cut_one_by_one(
    pictures: Pictures, boxes: Tensor, flipped: Tensor, size: int, precision: torch.dtype = torch.float32
) -> Tensor:
    """The crops `[V, n, 3, size, size]`, each resized by torch: on a CPU the fastest, at the size of its box."""
    V, n = boxes.shape[:2]
    made = torch.empty((V, n, 3, size, size), dtype=pictures.values.dtype)
    for i, of_image in enumerate(boxes.transpose(0, 1).tolist()):
        image = pictures.one(i)
        for v, (top, left, height, width) in enumerate(of_image):
            crop = image[:, :, top : top + height, left : left + width]
            made[v, i] = functional.interpolate(crop, size=(size, size), mode="bicubic", antialias=True)[0]
    made[flipped] = made[flipped].flip(-1)
    return made.float().mul_(_unit(pictures)).clamp_(0, 1)


def cut_together(
    pictures: Pictures, boxes: Tensor, flipped: Tensor, size: int, precision: torch.dtype = torch.float32
) -> Tensor:
    """The crops `[V, n, 3, size, size]` of all images in two batched products, `rows @ image @ columns.T`.

    A crop, its resize and the flip are linear and act on rows and columns apart. Without rounding between the two
    products and after them, values differ from those of `uint8` arithmetic by 0.3 levels in the mean.
    """
    image = pictures.canvas(precision)  # [row, colour, column]: both products go through it without a copy
    (n, H, _, W), V = image.shape, len(boxes)
    top, left, height, width = boxes.transpose(0, 1).unbind(-1)
    mirrored = flipped.T
    left, width = torch.where(mirrored, left + width, left), torch.where(mirrored, -width, width)
    rows = resize_matrix(H, size, top, height).to(precision).view(n, V * size, H)
    columns = resize_matrix(W, size, left, width).to(precision).view(n * V, size, W)
    image = (rows @ image.view(n, H, 3 * W)).view(n * V, size * 3, W) @ columns.mT
    image = image.view(n, V, size, 3, size).permute(1, 0, 3, 2, 4)
    made = image.new_empty(image.shape, dtype=torch.float32).copy_(image)
    return made.mul_(_unit(pictures)).clamp_(0, 1)


def resize_matrix(side: int, size: int, start: Tensor, length: Tensor) -> Tensor:
    """Bicubic resampling with antialiasing of `length` pixels from `start` of a line of `side` pixels to `size`.

    The filter is Keys' cubic with a = -1/2, as wide as two output pixels to either side, at least two input pixels.
    Its weights sum to one over the crop, beyond which nothing is looked at: the filter of torch's `interpolate` and
    of Pillow. A negative length runs backwards: a mirror.

    Args:
        start, length: int64 `[...]`, in input pixels.

    Returns:
        `[..., size, side]`.
    """
    step = (length / size)[..., None]
    stretch = step.abs().clamp(min=1)
    centre = start[..., None] + (torch.arange(size, device=start.device) + 0.5) * step
    # Few weights of a line are not zero: those alone are computed.
    taps = torch.arange(math.ceil(4 * max(1, side / size)) + 1, device=start.device)
    place = (centre - 2 * stretch + 0.5).floor()[..., None] + taps
    x = (place + 0.5 - centre[..., None]).abs() / stretch[..., None]
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    first, end = torch.minimum(start, start + length), torch.maximum(start, start + length)
    inside = (place >= first[..., None, None]) & (place < end[..., None, None])
    weights = torch.where(x < 1, near, far) * ((x < 2) & inside)
    weights = weights / weights.sum(-1, keepdim=True)
    matrix = weights.new_zeros((*weights.shape[:-1], side))
    return matrix.scatter_add_(-1, place.long().clamp_(0, side - 1), weights)


def _unit(pictures: Pictures) -> float:
    return 1.0 if pictures.values.is_floating_point() else 1 / 255


def _each(views: Sequence[View], name: str, like: Tensor) -> Tensor:
    """One setting of each view, `[V, 1]` or `[V, 1, k]`, where `like` is."""
    return constant(tuple(getattr(view, name) for view in views), like.device)[:, None]


_GOLDEN = -0x61C8864680B583EB  # 2^64 over the golden ratio, as int64


def uniforms(seed: int, epoch: int, index: Tensor, view: int | Tensor, count: int = DRAWS) -> Tensor:
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
