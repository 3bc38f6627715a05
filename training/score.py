"""The teacher on held-out images while training goes on: are its bits alive, what survives a crop, what is near."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from codelab.core.arrays import even_rows
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.features.geometry import geometry
from codelab.images.encoder import Encoder, fit_square
from codelab.images.imageset import ImageSet
from codelab.measures.bit_usage import bit_usage
from codelab.measures.block_entropy import block_entropy
from codelab.measures.degrees_of_freedom import degrees_of_freedom
from codelab.retrieval.measures import knn_accuracy, retrieval_map
from training.config import TrainConfig
from training.crops import View, augment, uniforms
from training.data import threads
from training.pictures import Pictures, reduced, to_device

T = TypeVar("T")
_BATCH = 256
_NEIGHBOURS = 10


@dataclass(frozen=True)
class HeldOut:
    """Images to evaluate on.

    Args:
        pixels: what crops are taken of.
        whole: uint8 `[N, 3, s, s]`, as the encoder codes them.
        labels: int32 `[N]`, -1 = none.
        classes: C names.
        groups: what each image shows; those of one group are near copies. None where nothing is known.
        unreadable: the images that were left out, with the reason.
    """

    pixels: Pictures
    whole: Tensor
    labels: np.ndarray
    classes: tuple[str, ...]
    groups: tuple[str, ...] | None
    unreadable: dict[str, str]


def read_held(images: ImageSet, config: TrainConfig) -> HeldOut:
    """An even sample of the images held out, read into memory.

    Args:
        images: those of `training.parts`.
        config: that of `training.parts`, which names their group.

    Raises:
        DataError: an image cannot be read and `skip_bad` is not set, or none can.
    """
    images = images.subset(even_rows(len(images), config.evaluate_images))
    group = config.evaluate_group

    def read(i: int) -> tuple[np.ndarray, np.ndarray] | str:
        try:
            with images.opened(i) as image:
                whole = np.array(fit_square(image, config.image_size)).transpose(2, 0, 1)
                return reduced(image, config.store_size), whole
        except DataError as error:
            if config.skip_bad:
                return str(error)
            raise DataError(f"{error}; --skip-bad (skip_bad) leaves such images out") from None

    with ThreadPoolExecutor(threads(config)) as pool:
        pairs = dict(enumerate(pool.map(read, range(len(images)))))
    found = {i: pair for i, pair in pairs.items() if not isinstance(pair, str)}
    if not found:
        raise DataError(f"{images.name}: none of the {len(images)} images to evaluate on can be read")
    paths = images.items["path"]
    unreadable = {str(paths[i].as_py()): reason for i, reason in pairs.items() if isinstance(reason, str)}
    images = images.subset(list(found))
    pixels, whole = zip(*found.values(), strict=True)
    groups = tuple(str(v) for v in images.items[group].to_pylist()) if group else None
    squares = torch.from_numpy(np.stack(whole))
    return HeldOut(Pictures.of(pixels), squares, images.labels, images.classes, groups, unreadable)


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
    ranked: dict[str, Any] = {"groups": groups, "exclude_self": groups is None, "average": "class"}
    ranked["bootstrap"] = 1  # the interval is not shown
    voted = ranked | {"k": min(_NEIGHBOURS, len(codes) - 1)}
    a, b = (_view_bits(encoder, held.pixels, view, seed, epoch, v) for v, view in enumerate(views[:2]))
    shape = _figure(lambda: geometry(features))
    return {
        "entropy": _value(lambda: bit_usage(codes)),
        "dof": _value(lambda: degrees_of_freedom(codes)),
        "block_entropy": _value(lambda: block_entropy(codes, width=min(8, codes.bits))),
        "agreement": float((a == b).mean()),
        "kappa": _kappa(a, b),
        "code_map": _value(lambda: retrieval_map(codes, by="codes", **ranked)),
        "feature_map": _value(lambda: retrieval_map(codes, by="features", **ranked)),
        "code_knn": _value(lambda: knn_accuracy(codes, by="codes", **voted)),
        "feature_knn": _value(lambda: knn_accuracy(codes, by="features", **voted)),
        "d_eff": None if shape is None else float(shape.d_eff),
        "r_eff": None if shape is None else float(shape.r_eff),
        "images": len(held.whole),
    }


def score_line(figures: dict[str, float | None]) -> str:
    """The mAP and k-NN accuracy of an evaluation as a person reads them; without labels there is neither.

    Example:
        >>> score_line({"code_map": 0.302, "feature_map": 0.306, "code_knn": 0.465, "feature_knn": None, "images": 9})
        'code mAP 0.302, feature mAP 0.306, code 10-NN 0.465 on 9 images'
        >>> score_line({"code_map": None, "images": 1716})
        'no code mAP without labels on 1,716 images'
    """
    names = {"code_map": "code mAP", "feature_map": "feature mAP"}
    names |= {f"{by}_knn": f"{by} {_NEIGHBOURS}-NN" for by in ("code", "feature")}
    found = [f"{words} {value:.3f}" for name, words in names.items() if (value := figures.get(name)) is not None]
    return f"{', '.join(found) or 'no code mAP without labels'} on {figures['images']:,} images"


def _view_bits(encoder: Encoder, pixels: Pictures, view: View, seed: int, epoch: int, number: int) -> np.ndarray:
    bits, device = [], next(encoder.parameters()).device
    for index in torch.arange(len(pixels)).split(_BATCH):
        draws = uniforms(seed, epoch, to_device(index, device), number)
        crops = augment(pixels[index].packed().to(device), view, draws)
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few images, at each evaluation: their number stands beside
            return measure()
    except DataError:  # too few images, no labels: there is no such figure
        return None
