"""Where in an image a bit looks: what its logit loses when a patch is hidden; gradient x input; attention."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from codelab.core.checks import check_choice, check_seed, check_whole
from codelab.core.errors import UsageError
from codelab.core.formats import number
from codelab.core.result import Result
from codelab.images.attention import weighted_patch_logits

Method = Literal["occlusion", "gradient", "attention"]

PATCHES = 8
"""Patches on each side of the image."""


class Encoder(Protocol):
    """What is needed of `codelab.Encoder`, which has `heatmap` as a method."""

    config: Any
    backbone: Any
    head: Any
    training: bool

    def transform(self, image: Image.Image) -> Tensor: ...

    def encode(self, images: Tensor) -> tuple[np.ndarray, np.ndarray]: ...

    def parameters(self) -> Iterator[torch.nn.Parameter]: ...

    def train(self, mode: bool = True) -> Any: ...

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heatmap(Result):
    """What each of `[P, P]` patches adds to a bit's side, from the top left.

    `values` are in logits, positive where the patch speaks for the value that the bit has: `occlusion`, how much
    nearer the logit comes to the other side when the patch has the image's mean colour; `gradient`, gradient x
    (input - mean colour), summed over the patch; `attention`, for a vision transformer, the logits of its patches
    times the attention they get, which sum to their weighted mean. `approximate` is True for the last two. `flips` is
    how many bits change when a patch is hidden.
    `logit` is that of the whole image; `box` the side of a patch in pixels of the encoder's input.

    The line quotes the logit, the patch that adds most, and whether the map is approximate.
    """

    bit: int
    method: str
    approximate: bool
    values: np.ndarray
    flips: np.ndarray
    logit: float
    box: float

    def headline(self) -> str:
        row, column = np.unravel_index(self.values.argmax(), self.values.shape)
        most = f"most from row {row + 1}, column {column + 1} of {len(self.values)} ({number(self.values.max())})"
        flips = f"hiding a patch flips {number(float(self.flips.mean()), 1)} bits"
        how = f" by {self.method}, approximate" if self.approximate else ""
        return f"bit {self.bit}: logit {number(self.logit)}, {most}{how}; {flips}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeletionCurves(Result):
    """How a bit's logit changes as patches are hidden, or shown, in the order of a heatmap: arrays `[K]`.

    `share` of the patches are hidden (shown). `deletion` is the logit in the direction of the bit's side, the most
    important patches hidden first; `insertion` the same with the most important shown first on the mean colour;
    `random_deletion` and `random_insertion` are means over `draws` random orders. A map that says where the bit looks
    has its deletion below the random one and its insertion above it; `value` is the mean of these two gaps.

    The line quotes the mean gap.
    """

    share: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    random_deletion: np.ndarray
    random_insertion: np.ndarray
    draws: int

    @property
    def value(self) -> float:
        """Mean gap between the order of the map and random orders, in logits."""
        gaps = (self.random_deletion - self.deletion, self.insertion - self.random_insertion)
        return float(np.mean(gaps))

    def headline(self) -> str:
        return f"{number(self.value)} logits between the order of the map and random orders ({self.draws} draws)"


def heatmap(encoder: Encoder, image: Image.Image, bit: int, *, method: Method = "occlusion") -> Heatmap:
    """Where in an image a bit looks.

    Args:
        encoder: the model; its mode stays as it was.
        image: RGB.
        bit: which bit.
        method: `occlusion` hides each patch in turn; `gradient` takes one pass back, and is approximate; so is
            `attention`, for vision transformers alone: `codelab.images.attention.weighted_patch_logits`.

    Raises:
        UsageError: a bit that the encoder does not have, no such method, or `attention` for another network.

    Source: occlusion: Zeiler & Fergus 2014; gradient x input: Shrikumar et al. 2016.

    Example:
        >>> from codelab import Encoder
        >>> from codelab.images.encoder import EncoderConfig
        >>> encoder = Encoder(EncoderConfig(bits=4, image_size=32, width=4, hidden=8)).eval()
        >>> found = heatmap(encoder, Image.new("RGB", (40, 40), "red"), 2)
        >>> found.values.shape, bool(abs(found.values).max() < 1e-5)  # a flat image has nothing to hide
        ((8, 8), True)
    """
    check_choice("method", method, get_args(Method))
    _check_bit(encoder, bit)
    x = encoder.transform(image)
    patches = weighted_patch_logits(encoder, x, bit) if method == "attention" else None
    masks = _masks(x.shape[1])
    whole, hidden = _logits(encoder, x, torch.cat([torch.zeros_like(masks[:1]), masks])).split([1, len(masks)])
    sign = 1.0 if float(whole[0, bit]) > 0 else -1.0
    side = int(len(masks) ** 0.5)
    if patches is not None:
        shares = _shares(len(patches), side)
        values = sign * shares @ patches @ shares.T
    elif method == "occlusion":
        values = sign * (whole[0, bit] - hidden[:, bit])
    else:
        values = sign * _gradient(encoder, x, bit, masks)
    return Heatmap(
        bit=bit,
        method=method,
        approximate=method != "occlusion",
        values=values.reshape(side, side).numpy().astype(np.float64),
        flips=((hidden > 0) != (whole > 0)).sum(1).reshape(side, side).numpy(),
        logit=float(whole[0, bit]),
        box=x.shape[1] / side,
    )


def deletion_curves(
    encoder: Encoder, image: Image.Image, found: Heatmap, *, draws: int = 10, seed: int = 0
) -> DeletionCurves:
    """Whether hiding the patches of a heatmap in its order changes the bit more than hiding random ones.

    Args:
        encoder, image: those the heatmap was made of.
        found: the heatmap.
        draws: random orders.
        seed: of the orders.

    Source: Petsiuk et al. 2018 (deletion and insertion).
    """
    check_whole("draws", draws, 1)
    check_seed(seed)
    x = encoder.transform(image)
    masks = _masks(x.shape[1])
    generator = np.random.default_rng(seed)
    orders = [np.argsort(-found.values.ravel(), kind="stable")]
    orders += [generator.permutation(len(masks)) for _ in range(draws)]
    sign = 1.0 if found.logit > 0 else -1.0
    curves = []
    for order in orders:
        covered = torch.cat([torch.zeros_like(masks[:1]), masks[order.tolist()]]).cumsum(0)
        both = [_logits(encoder, x, cover)[:, found.bit].numpy() * sign for cover in (covered, 1 - covered)]
        curves.append(both)
    mine, others = np.array(curves[0]), np.mean(curves[1:], axis=0)
    return DeletionCurves(
        seed=seed,
        share=np.linspace(0, 1, len(masks) + 1),
        deletion=mine[0],
        insertion=mine[1],
        random_deletion=others[0],
        random_insertion=others[1],
        draws=draws,
    )


def _check_bit(encoder: Encoder, bit: int) -> None:
    if not 0 <= check_whole("bit", bit, 0) < encoder.config.bits:
        raise UsageError(f"bit {bit}: the encoder has bits 0 to {encoder.config.bits - 1}")


def _masks(size: int) -> Tensor:
    """Which pixels each patch has, `[P^2, 1, S, S]`; a small image has fewer patches, of a pixel each."""
    side = min(PATCHES, size)
    place = (torch.arange(size) * side) // size
    number = place[:, None] * side + place
    return (number[None, None] == torch.arange(side**2)[:, None, None, None]).float()


def _shares(given: int, wanted: int) -> Tensor:
    """Which share of each of `given` equal parts of a line lies in each of `wanted` ones, `[wanted, given]`."""
    low, start = torch.arange(given) / given, torch.arange(wanted)[:, None] / wanted
    return ((low + 1 / given).minimum(start + 1 / wanted) - low.maximum(start)).clamp(0) * given


@torch.no_grad()
def _logits(encoder: Encoder, x: Tensor, masks: Tensor) -> Tensor:
    """Logits `[n, B]` of a prepared image `[3, S, S]` with the pixels of each mask at its mean colour."""
    mean = x.mean((1, 2), keepdim=True)
    return torch.from_numpy(encoder.encode(x * (1 - masks) + mean * masks)[1])


def _gradient(encoder: Encoder, x: Tensor, bit: int, masks: Tensor) -> Tensor:
    """Gradient of the logit x (input - mean colour), summed over the pixels of each mask."""
    was_training = encoder.training
    encoder.train(False)
    device = next(encoder.parameters()).device
    given = x[None].to(device).requires_grad_()
    (slope,) = torch.autograd.grad(encoder(given)[1][0, bit], given)
    encoder.train(was_training)
    product = (slope[0].cpu() * (x - x.mean((1, 2), keepdim=True))).sum(0)
    return (product * masks[:, 0]).sum((1, 2))
