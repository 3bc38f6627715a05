"""The one place where encoded bytes become a picture: only formats on a short list, as Pillow knows many more.

Pillow opens a file by its content, not by its name, so PostScript named `photo.png` would be run by Ghostscript.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from codelab.core.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Names that Pillow gives the formats that are read; AVIF where Pillow has it."""


def open_picture(data: bytes, *, most_pixels: int | None = None) -> Image.Image:
    """A picture whose head is read and whose pixels are not yet decoded.

    Args:
        data: the encoded bytes.
        most_pixels: width times height, at most. None: Pillow's own limit, `2 * Image.MAX_IMAGE_PIXELS`.

    Raises:
        DataError: the picture has more pixels than that, or none of `FORMATS`; the message names no file.
        Exception: whatever else the decoder raises on a damaged head.
    """
    from PIL import Image, UnidentifiedImageError

    Image.init()
    try:
        picture = Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
    except UnidentifiedImageError:  # its own message names an object in memory
        raise DataError(f"none of {', '.join(FORMATS)}") from None
    if most_pixels is not None and picture.width * picture.height > most_pixels:
        raise DataError(f"{picture.width} x {picture.height} pixels, expected at most {most_pixels:,} in all")
    return picture
