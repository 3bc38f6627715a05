"""The teacher on held-out images while training goes on: are its bits alive, what survives a crop, what is near."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from codelab.codes import Codes
from codelab.encoder import Encoder, fit_square
from codelab.entropy import block_entropy
from codelab.errors import CodelabError, UsageError
from codelab.geometry import geometry
from codelab.images import ImageSet
from codelab.retrieval import knn_accuracy, retrieval_map
from codelab.usage import bit_usage, degrees_of_freedom
from training.crops import View, augment, uniforms

T = TypeVar("T")
_BATCH = 256
_NEIGHBOURS = 10


@dataclass(frozen=True)
class HeldOut:
    """Images to evaluate on.

    Args:
        pixels: uint8 `[N, 3, S, S]`, what crops are taken of.
        whole: uint8 `[N, 3, s, s]`, as the encoder codes them.
        labels: int32 `[N]`, -1 = none.
        classes: C names.
        groups: what each image shows; those of one group are near copies. None where nothing is known.
    """

    pixels: Tensor
    whole: Tensor
    labels: np.ndarray
    classes: tuple[str, ...]
    groups: tuple[str, ...] | None


def held_out(images: ImageSet, *, size: int, encoder_size: int, most: int = 5000, group: str | None = None) -> HeldOut:
    """An even sample of at most `most` images, read into memory.

    Raises:
        UsageError: there is no column `group`.
        DataError: an image cannot be read.
    """
    rows = np.linspace(0, len(images) - 1, min(most, len(images))).astype(np.int64)
    images = images.subset(rows)
    if group is not None and group not in images.items.column_names:
        raise UsageError(f"{images.name}: no column {group!r}; found {', '.join(images.items.column_names)}")
    pictures = [images.image(i) for i in range(len(images))]

    def squares(side: int) -> Tensor:
        return torch.from_numpy(
            np.stack([np.asarray(fit_square(p, side, interpolation="bilinear")).transpose(2, 0, 1) for p in pictures])
        )

    groups = None if group is None else tuple(str(v) for v in images.items[group].to_pylist())
    return HeldOut(squares(size), squares(encoder_size), images.labels, images.classes, groups)


@torch.no_grad()
def score(
    encoder: Encoder, held: HeldOut, views: Sequence[View], *, seed: int = 0, epoch: int = 0
) -> dict[str, float | None]:
    """The figures of one evaluation; None where one cannot be measured.

    Args:
        encoder: on any device; it is left in the mode it was in.
        held: N images.
        views: the two views between which `agreement` (share of equal bits) and `kappa` (above chance) are taken.

    Returns:
        `entropy`, `dof`, `block_entropy` (bits), `agreement`, `kappa`, `code_map` and `feature_map` (mAP@ALL, expected
        ties, class-averaged), `code_knn` and `feature_knn` (10-NN), `d_eff`, `r_eff`, `images`.
    """
    features, logits = encoder.encode(held.whole)
    labels: dict[str, Any] = {"labels": held.labels, "classes": held.classes} if held.classes else {}
    items = None if held.groups is None else pa.table({"group": list(held.groups)})
    codes = Codes.from_bits(logits > 0, features=features, items=items, **labels)
    groups = None if held.groups is None else "group"
    ranked: dict[str, Any] = {"groups": groups, "exclude_self": groups is None, "average": "class", "bootstrap": 0}
    a, b = (_view_bits(encoder, held.pixels, view, seed, epoch, v) for v, view in enumerate(views[:2]))
    shape = _figure(lambda: geometry(features))
    return {
        "entropy": _value(lambda: bit_usage(codes)),
        "dof": _value(lambda: degrees_of_freedom(codes)),
        "block_entropy": _value(lambda: block_entropy(codes)),
        "agreement": float((a == b).mean()),
        "kappa": _kappa(a, b),
        "code_map": _value(lambda: retrieval_map(codes, by="codes", **ranked)),
        "feature_map": _value(lambda: retrieval_map(codes, by="features", **ranked)),
        "code_knn": _value(lambda: knn_accuracy(codes, k=_NEIGHBOURS, by="codes", **ranked)),
        "feature_knn": _value(lambda: knn_accuracy(codes, k=_NEIGHBOURS, by="features", **ranked)),
        "d_eff": None if shape is None else float(shape.d_eff),
        "r_eff": None if shape is None else float(shape.r_eff),
        "images": len(held.whole),
    }


def _view_bits(encoder: Encoder, pixels: Tensor, view: View, seed: int, epoch: int, number: int) -> np.ndarray:
    bits = []
    for index in torch.arange(len(pixels)).split(_BATCH):
        crops = augment(pixels[index], view, uniforms(seed, epoch, index, number))
        bits.append(encoder.encode(encoder.normalise(crops))[1] > 0)
    return np.concatenate(bits)


def _kappa(a: np.ndarray, b: np.ndarray) -> float | None:
    """Agreement above what each bit's shares of ones give by chance; None for bits that never change."""
    p, q = a.mean(0), b.mean(0)
    chance = float((p * q + (1 - p) * (1 - q)).mean())
    return (float((a == b).mean()) - chance) / (1 - chance) if chance < 1 else None


def _value(measure: Callable[[], object]) -> float | None:
    result = _figure(measure)
    value = None if result is None else float(result)  # type: ignore[arg-type]
    return value if value is not None and np.isfinite(value) else None


def _figure(measure: Callable[[], T]) -> T | None:
    try:
        return measure()
    except CodelabError:  # too few images, no labels, one class: there is no such figure
        return None
