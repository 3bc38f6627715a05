"""The colours of a batch of views, each image by its own draw: jitter, grey and blur, as torchvision computes them.

Each function changes images `[m, 3, height, width]`, float32 in 0..1, in place. Images that are not chosen are left as
they are: on a CPU nothing is computed for them, and on a GPU, which would have to be waited for, it is of no effect.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import torch
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)
"""Luma of R, G and B, in torchvision's digits."""
ORDERS = tuple(itertools.permutations(range(4)))
"""The orders of a jitter's changes; 0 is brightness, 1 contrast, 2 saturation, 3 hue."""
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)
_BLENDS = tuple(tuple(change for change in order if change != _HUE) for order in ORDERS)
_HUE_PLACES = tuple(order.index(_HUE) for order in ORDERS)


def jitter(image: Tensor, chosen: Tensor, order: Tensor, amounts: Tensor) -> None:
    """Change brightness, contrast, saturation and hue, one after the other; each result is clamped to 0..1.

    Source: torchvision's ColorJitter.

    Args:
        chosen: the images to change, bool `[m]`.
        order: the place in `ORDERS`, int64 `[m]`.
        amounts: `[m, 4]`: brightness, contrast and saturation change by a factor 1 + amount, the hue by a share of a
            turn.
    """
    amounts = torch.where(chosen[:, None], amounts, 0.0)
    blends, hue_place = constant(_BLENDS, image.device).long()[order], constant(_HUE_PLACES, image.device)[order]
    # The hue is the costly one: it is turned once, between those of the other three that come before it and the rest.
    for place in range(3):
        _blend(image, chosen & (place < hue_place), blends[:, place], amounts)
    rows = chosen_rows(amounts[:, _HUE] != 0)
    image[rows] = turn_hue(image[rows], amounts[rows, _HUE])
    for place in range(3):
        _blend(image, chosen & (place >= hue_place), blends[:, place], amounts)


def grey(image: Tensor, chosen: Tensor) -> None:
    """Take all colour from the chosen images."""
    saturation = torch.full((len(image),), _SATURATION, device=image.device)
    _blend(image, chosen, saturation, torch.full((len(image), 3), -1.0, device=image.device))


def _blend(image: Tensor, chosen: Tensor, change: Tensor, amounts: Tensor) -> None:
    """`factor * image + (1 - factor) * other`, clamped, where factor is 1 + amount.

    The other is black for brightness, the mean grey of the image for contrast, and its grey version for saturation.
    """
    rows = chosen_rows(chosen)
    x, change = image[rows].flatten(2), change[rows]
    factor = 1 + torch.where(chosen[rows], amounts[rows].gather(1, change[:, None])[:, 0], 0.0)
    luma = constant(GREY, x.device)
    to_grey = (1 - factor) * (change == _SATURATION)
    maps = factor[:, None, None] * torch.eye(3, device=x.device) + to_grey[:, None, None] * luma
    shift = (1 - factor) * (change == _CONTRAST) * (x.mean(2) @ luma)
    image[rows] = torch.baddbmm(shift[:, None, None], maps, x).clamp_(0, 1).view(-1, *image.shape[1:])


def turn_hue(image: Tensor, turns: Tensor) -> Tensor:
    """Images `[m, 3, height, width]` with the hue of HSV moved by a share of a turn `[m]`.

    With the largest of R, G and B, the chroma (largest minus smallest) and the hue in sixths of a turn from red,

        c = largest - chroma * clip(distance(hue, hue of c) - 1, 0, 1)

    for c in R, G, B, whose own hues are 0, 2 and 4, where the distance is taken around the circle, 0 to 3.
    Source: Smith 1978, the hexcone model.
    """
    red, green, blue = image.unbind(1)
    largest = torch.maximum(torch.maximum(red, green), blue)
    chroma = largest - torch.minimum(torch.minimum(red, green), blue)
    is_red, is_green = largest == red, largest == green
    hue = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green))
    hue /= chroma.clamp(min=1e-12)
    hue += torch.where(is_red, 0.0, torch.where(is_green, 2.0, 4.0))
    hue += 6 * turns[:, None, None]
    hue -= 6 * (hue / 6).round_()  # -3 to 3
    made = torch.empty_like(image)
    torch.addcmul(largest + chroma, hue.abs().clamp_(1, 2), chroma, value=-1, out=made[:, 0])
    rest = largest - 2 * chroma
    for colour, own in ((1, -2.0), (2, 2.0)):
        # Around the circle a distance a of up to 5 is 3 - |a - 3|.
        away = (hue + own).abs_().sub_(3).abs_().clamp_(1, 2)
        torch.addcmul(rest, away, chroma, out=made[:, colour])
    return made


def blur(image: Tensor, chosen: Tensor, sigma: Tensor, precision: torch.dtype = torch.float32) -> None:
    """Blur the chosen square images by a Gaussian of `sigma` pixels `[m]`."""
    rows = chosen_rows(chosen)
    matrix = blur_matrix(image.shape[-1], torch.where(chosen, sigma, 0.0)[rows]).to(precision)[:, None]
    image[rows] = (matrix @ image[rows].to(precision) @ matrix.mT).to(image.dtype)


def blur_matrix(size: int, sigma: Tensor) -> Tensor:
    """Gaussian blur of a line of `size` pixels, `[..., size, size]`; sigma 0 leaves the line as it is."""
    half = torch.exp(-0.5 * (torch.arange(size, device=sigma.device) / sigma.clamp(min=1e-3)[..., None]) ** 2)
    # products with numbers below the smallest normal float take ten times as long
    half = torch.threshold(half, 1e-6, 0)
    both = torch.cat([half[..., 1:].flip(-1), half], -1)
    weights = both.unfold(-1, size, 1).flip(-2)  # each row is the one above, moved by a place
    return weights / weights.sum(-1, keepdim=True)


def chosen_rows(chosen: Tensor) -> Tensor | slice:
    """The rows to work on: the chosen ones on a CPU, all on a GPU."""
    return chosen.nonzero()[:, 0] if chosen.device.type == "cpu" else slice(None)


@cache
def constant(values: tuple[Any, ...], device: torch.device) -> Tensor:
    """Numbers on the device, copied there once: each such copy would wait for it."""
    return torch.tensor(values, dtype=torch.float32, device=device)
