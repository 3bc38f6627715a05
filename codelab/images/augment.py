"""Augmented views of images, to measure which bits survive: one change at a time, and all together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from codelab.images.imageset import ImageSet

if TYPE_CHECKING:
    from PIL import Image

    Change = Callable[[Image.Image, np.random.Generator], Image.Image]

ALL = "all"
"""Name of the view with all changes, as in training."""


@dataclass(frozen=True)
class ViewedImages(ImageSet):
    """The images of a set after one augmentation, each with a draw of its own.

    Args:
        change: name of the augmentation, one of `CHANGES` or `all`.
        seed: of the draws; another seed is another view.
    """

    change: str = ALL
    seed: int = 0

    @contextmanager
    def opened(self, i: int) -> Iterator[Image.Image]:
        """Image i after the change; the draw depends on the seed, the change and the row alone."""
        with super().opened(i) as image:
            for number, (name, change) in enumerate(CHANGES.items()):
                draw = np.random.default_rng([self.seed, number, i])
                if self.change == name or (self.change == ALL and draw.random() < SHARE[name]):
                    image = change(image, draw)
            yield image


def view_of(images: ImageSet, change: str = ALL, *, seed: int = 0) -> ViewedImages:
    """One view of a set of images.

    Args:
        images: any set.
        change: `crop`, `flip`, `colour`, `grey`, `blur`, or `all`.
        seed: of the draws.

    Raises:
        KeyError: there is no such change.

    Example:
        >>> from PIL import Image
        >>> CHANGES["flip"](Image.new("RGB", (4, 2)), np.random.default_rng(0)).size
        (4, 2)
    """
    if change != ALL:
        CHANGES[change]
    rest = {field.name: getattr(images, field.name) for field in fields(ImageSet)}
    return ViewedImages(**rest, change=change, seed=seed)


def _crop(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """A crop of 40 to 100 % of the area, aspect 3/4 to 4/3: the global view of BITS (arXiv 2602.09764)."""
    area = draw.uniform(0.4, 1.0) * image.width * image.height
    ratio = np.exp(draw.uniform(np.log(3 / 4), np.log(4 / 3)))
    width = min(image.width, max(1, round(np.sqrt(area * ratio))))
    height = min(image.height, max(1, round(np.sqrt(area / ratio))))
    left, top = draw.integers(image.width - width + 1), draw.integers(image.height - height + 1)
    return image.crop((int(left), int(top), int(left) + width, int(top) + height)).resize(image.size)


def _flip(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.mirror(image)


def _colour(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Brightness and contrast by up to 40 %, saturation 20 %, hue a tenth of the circle, as BITS does."""
    from torchvision.transforms.v2 import functional

    image = functional.adjust_brightness(image, draw.uniform(0.6, 1.4))
    image = functional.adjust_contrast(image, draw.uniform(0.6, 1.4))
    image = functional.adjust_saturation(image, draw.uniform(0.8, 1.2))
    return functional.adjust_hue(image, draw.uniform(-0.1, 0.1))


def _grey(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    return image.convert("L").convert("RGB")


def _blur(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """A Gaussian of 0.1 to 2 pixels at a side of 224, in proportion at other sizes."""
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(draw.uniform(0.1, 2.0) * max(image.size) / 224))


CHANGES: dict[str, Change] = {"crop": _crop, "flip": _flip, "colour": _colour, "grey": _grey, "blur": _blur}
"""The augmentations one by one; `flip` and `grey` are the same each time, the others by a random amount."""

SHARE = {"crop": 1.0, "flip": 0.5, "colour": 0.8, "grey": 0.2, "blur": 0.5}
"""How often each is part of the view `all`: the probabilities of BITS, blur as in its local views."""
