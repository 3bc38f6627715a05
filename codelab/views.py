"""Random views of images, and the codes an encoder gives them: what the channel is measured on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from codelab.channel import Channel, ViewChannels, channel_of_views, view_channels
from codelab.codes import Codes
from codelab.errors import UsageError

if TYPE_CHECKING:
    from codelab.encoder import Encoder
    from codelab.images import ImageSet

BATCH = 256
PLAIN = "plain"
ALL = "all"


def crop(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """A part of 40 to 100 % of the area, 3:4 to 4:3, brought back to the size of the image."""
    width, height = image.size
    area = generator.uniform(0.4, 1.0) * width * height
    ratio = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
    w = min(width, max(1, round(float(np.sqrt(area * ratio)))))
    h = min(height, max(1, round(float(np.sqrt(area / ratio)))))
    left, top = int(generator.integers(0, width - w + 1)), int(generator.integers(0, height - h + 1))
    return image.resize(image.size, Image.Resampling.BICUBIC, box=(left, top, left + w, top + h))


def flip(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Left and right exchanged."""
    return ImageOps.mirror(image)


def colour(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Brightness and contrast by 0.6 to 1.4, saturation by 0.8 to 1.2, hue by up to a tenth of the circle."""
    for enhance, spread in ((ImageEnhance.Brightness, 0.4), (ImageEnhance.Contrast, 0.4), (ImageEnhance.Color, 0.2)):
        image = enhance(image).enhance(float(generator.uniform(1 - spread, 1 + spread)))
    hue, saturation, value = image.convert("HSV").split()
    turn = int(generator.integers(-25, 26))
    hue = hue.point([(level + turn) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def grey(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """No colour."""
    return ImageOps.grayscale(image).convert("RGB")


def blur(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Gaussian blur of 0.1 to 2 pixels at 224 pixels, in proportion at other sizes."""
    sigma = generator.uniform(0.1, 2.0) * max(image.size) / 224
    return image.filter(ImageFilter.GaussianBlur(float(sigma)))


AUGMENTATIONS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "crop": crop,
    "flip": flip,
    "colour": colour,
    "grey": grey,
    "blur": blur,
}
"""Kinds of views by name; `all` draws each as training does, `plain` is the image as it is."""

CHANCES = {"crop": 1.0, "flip": 0.5, "colour": 0.8, "grey": 0.2, "blur": 0.5}
"""How often each has a part in a view of kind `all` (METHOD, section 3)."""


def view_codes(
    encoder: Encoder,
    images: ImageSet,
    *,
    views: int = 2,
    augmentation: str = ALL,
    features: bool = False,
    seed: int = 0,
) -> list[Codes]:
    """Codes of random views of the same images.

    Args:
        encoder: image -> logits.
        images: N images.
        views: K, how many views of each.
        augmentation: `all`, `plain`, or one of `AUGMENTATIONS`.
        features: also keep the features of the backbone.
        seed: of the views; each image has draws of its own, whatever images are beside it.

    Returns:
        K Codes, row by row the same images.

    Raises:
        UsageError: no view, or an augmentation that is not known.
        DataError: an image that cannot be read.

    Source: augmentations of SimDINO and DINO, METHOD section 3.
    """
    import torch

    kinds = [ALL, PLAIN, *AUGMENTATIONS]
    if augmentation not in kinds:
        raise UsageError(f"augmentation {augmentation!r}: expected one of {', '.join(kinds)}")
    if views < 1:
        raise UsageError(f"views {views}: expected at least 1")
    logits: list[list[np.ndarray]] = [[] for _ in range(views)]
    hidden: list[list[np.ndarray]] = [[] for _ in range(views)]
    for start in range(0, len(images), BATCH):
        batch = [images.image(i) for i in range(start, min(start + BATCH, len(images)))]
        for k in range(views):
            seen = [
                encoder.transform(_view(image, augmentation, np.random.default_rng([seed, k, start + i])))
                for i, image in enumerate(batch)
            ]
            found, values = encoder.encode(torch.stack(seen))
            hidden[k].append(found)
            logits[k].append(values)
    return [
        Codes.from_logits(
            np.concatenate(logits[k]) if logits[k] else np.empty((0, encoder.config.bits), np.float32),
            labels=images.labels,
            classes=images.classes,
            items=images.items,
            features=np.concatenate(hidden[k]) if features and hidden[k] else None,
        )
        for k in range(views)
    ]


def measure_views(
    encoder: Encoder, images: ImageSet, *, views: int = 2, items: int = 2000, seed: int = 0
) -> tuple[Channel, ViewChannels]:
    """The channel of an encoder: between random views of the same images, and by augmentation from the plain images.

    Args:
        encoder: image -> logits.
        images: the images; a sample of at most `items`, drawn by `seed`, is looked at.
        views: K >= 2 random views of each image.
        items: most images.
        seed: of the sample and the views.

    Returns:
        `Channel` over all pairs of the K views, and `ViewChannels` with one row for each of `AUGMENTATIONS`.

    Raises:
        UsageError: fewer than 2 views.
        DataError: fewer than 8 images, or one that cannot be read.
    """
    if views < 2:
        raise UsageError(f"views {views}: expected at least 2")
    rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:items])
    sample = images.subset(rows)
    together = channel_of_views(view_codes(encoder, sample, views=views, seed=seed), seed=seed)
    (plain,) = view_codes(encoder, sample, views=1, augmentation=PLAIN, seed=seed)
    apart = {name: view_codes(encoder, sample, views=1, augmentation=name, seed=seed)[0] for name in AUGMENTATIONS}
    return together, view_channels(plain, apart)


def _view(image: Image.Image, augmentation: str, generator: np.random.Generator) -> Image.Image:
    if augmentation == PLAIN:
        return image
    if augmentation != ALL:
        return AUGMENTATIONS[augmentation](image, generator)
    for name, chance in CHANCES.items():
        if generator.random() < chance:
            image = AUGMENTATIONS[name](image, generator)
    return image
