"""A set of images that are read one at a time, and how one image is decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from codelab.core.attributes import SAME_THING
from codelab.core.errors import DataError, UsageError, first_line
from codelab.images.picture import open_picture

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class ImageSet:
    """Images with their items and labels, read one at a time.

    Args:
        name: the data set as the user named it, for messages and provenance.
        items: one row an image: `id`, `path`, optional `split`, attribute columns.
        labels: int32 `[N]`, -1 = none.
        classes: C names.
        read: the encoded bytes of image i.
        attribution: whom to credit where the images are shown.
        tables: the Parquet files that hold the images, none where each is a file of its own.
        left_out: a line for everything that may be an image and is not read.
    """

    name: str
    items: pa.Table
    labels: np.ndarray
    classes: tuple[str, ...]
    read: Callable[[int], bytes]
    attribution: str = ""
    tables: tuple[Path, ...] = ()
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.items.num_rows

    @property
    def group(self) -> str:
        """The item column whose equal values mark near copies, empty where there is none."""
        return next((name for name in SAME_THING if name in self.items.column_names), "")

    def image(self, i: int) -> Image.Image:
        """Image i as RGB; transparency is laid on white.

        Raises:
            DataError: the file is gone, or its bytes are not a whole image; the message names the image.
        """
        name = str(self.items["path"][i].as_py())
        try:
            data = self.read(i)
        except OSError as error:
            raise DataError(f"{name}: {error.strerror or error}") from None
        return decode(data, name)

    def subset(self, rows: Sequence[int] | np.ndarray) -> ImageSet:
        """The images at these row numbers, in this order."""
        index = np.asarray(rows, dtype=np.int64)
        read = self.read
        return replace(
            self,
            items=self.items.take(pa.array(index)),
            labels=self.labels[index],
            read=lambda i: read(int(index[i])),
        )

    def split(self, name: str) -> ImageSet:
        """The images of one split.

        Raises:
            UsageError: no image has that split.
        """
        column = self.items["split"].to_pylist() if "split" in self.items.column_names else []
        rows = [i for i, value in enumerate(column) if value == name]
        if not rows:
            found = ", ".join(sorted({v for v in column if v})) or "no splits"
            raise UsageError(f"{self.name}: split {name!r} has no image; found {found}")
        return self.subset(rows)


def decode(data: bytes, name: str, *, most_pixels: int | None = None) -> Image.Image:
    """An RGB image from encoded bytes, turned by its EXIF orientation, transparency laid on white.

    Args:
        data: the encoded bytes.
        name: what messages call the image.
        most_pixels: as in `open_picture`.

    Raises:
        DataError: the bytes are not a whole image, whatever the decoder raises, or it has too many pixels.
    """
    from PIL import Image, ImageOps

    try:
        with open_picture(data, most_pixels=most_pixels) as file:
            file.load()
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I;16") or image.mode in ("I", "F"):
                image = _squeeze_range(image)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image)
            return image.convert("RGB")
    except Exception as error:  # decoders raise RuntimeError, TypeError, struct.error and more on damaged bytes
        raise DataError(f"{name}: not a readable image ({first_line(error)})") from None


def _squeeze_range(image: Image.Image) -> Image.Image:
    """16-bit and float pictures scaled to 0..255: Pillow alone would clip them to white."""
    from PIL import Image

    values = np.asarray(image, dtype=np.float64)
    top = 65535.0 if values.max() > 255 else 255.0
    return Image.fromarray(np.clip(values * (255 / top), 0, 255).astype(np.uint8))
