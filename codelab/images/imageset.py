"""A set of images that are read one at a time, and how one image is decoded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from codelab.core.attributes import SAME_THING
from codelab.core.errors import DataError, UsageError, first_line
from codelab.images.picture import MOST_PIXELS, TooManyPixelsError, decoded_size, in_flight, open_picture
from codelab.images.rgb import as_rgb

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
        most_pixels: width times height of an image, at most; checked before its pixels are decoded.
    """

    name: str
    items: pa.Table
    labels: np.ndarray
    classes: tuple[str, ...]
    read: Callable[[int], bytes]
    attribution: str = ""
    tables: tuple[Path, ...] = ()
    left_out: tuple[str, ...] = ()
    most_pixels: int = MOST_PIXELS

    def __len__(self) -> int:
        return self.items.num_rows

    @property
    def group(self) -> str:
        """The item column whose equal values mark near copies, empty where there is none."""
        return next((name for name in SAME_THING if name in self.items.column_names), "")

    @contextmanager
    def opened(self, i: int) -> Iterator[Image.Image]:
        """Image i while the `with` lasts: threads that decode large images wait for each other (`in_flight`).

        Raises:
            DataError: as `image`.
        """
        name = str(self.items["path"][i].as_py())
        try:
            data = self.read(i)
        except OSError as error:
            raise DataError(f"{name}: {error.strerror or error}") from None
        with ExitStack() as held:
            try:
                image = held.enter_context(_decoding(data, name, most_pixels=self.most_pixels))
            except TooManyPixelsError as error:
                raise DataError(f"{error}; most_pixels (--most-pixels) raises the limit") from None
            held.callback(image.close)  # before the next is decoded
            yield image

    def image(self, i: int) -> Image.Image:
        """Image i as RGB; `docs/pictures.md` says how each kind is read.

        Raises:
            DataError: the file is gone, its bytes are not a whole image, or it has too many pixels; the message names
                the image.
        """
        with self.opened(i) as image:
            return image.copy()

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


def decode(data: bytes, name: str, *, most_pixels: int = MOST_PIXELS, shown: int = 0) -> Image.Image:
    """An RGB image from encoded bytes, turned by its EXIF orientation, transparency laid on white.

    Args:
        data: the encoded bytes.
        name: what messages call the image.
        most_pixels: as in `open_picture`.
        shown: a JPEG may be decoded smaller, with sides of this many pixels or more; 0: as it is.

    Raises:
        DataError: the bytes are not a whole image, whatever the decoder raises, or it has too many pixels.
    """
    with _decoding(data, name, most_pixels=most_pixels, shown=shown) as image:
        return image


@contextmanager
def _decoding(data: bytes, name: str, *, most_pixels: int, shown: int = 0) -> Iterator[Image.Image]:
    """As `decode`, with the pixels counted as in flight while the `with` lasts."""
    with ExitStack() as held:
        try:
            file = held.enter_context(open_picture(data, most_pixels=most_pixels))
            held.enter_context(in_flight(math.prod(decoded_size(file))))
            if shown:
                file.draft(None, (shown, shown))
            image = as_rgb(file)
        except TooManyPixelsError as error:
            raise TooManyPixelsError(f"{name}: {error}") from None
        except Exception as error:  # decoders raise RuntimeError, TypeError, struct.error and more on damaged bytes
            raise DataError(f"{name}: not a readable image ({first_line(error)})") from None
        yield image
