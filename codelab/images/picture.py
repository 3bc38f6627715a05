"""The one place where encoded bytes are opened as a picture: of a format on a short list, and not too large.

Pillow opens a file by its content, not by its name, so PostScript named `photo.png` would be run by Ghostscript.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING

from codelab.core.errors import DataError, first_line

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Names that Pillow gives the formats that are read; AVIF where Pillow has it."""

MOST_PIXELS = 100_000_000
"""Width times height of a picture, at most, unless the caller says otherwise; decoded it takes 0.4 to 1.6 GB."""

THUMBNAIL_PIXELS = 4_000_000
"""Width times height of a picture kept in a codes file, at most; ours have 96 x 96."""

THUMBNAIL_BYTES = 4_000_000
"""Encoded bytes of such a picture, at most."""

MOST_SCANS = 64
"""Scans of a JPEG, at most: each goes over the whole picture. A progressive one has 10; few bytes make many."""

MOST_PROFILES = 8
"""Colour profiles of a PNG, at most: it may have one, and each of a kilobyte can unfold to a megabyte."""

IN_FLIGHT = 100_000_000
"""Pixels of all pictures that threads decode at one time, at most; a larger picture is decoded alone."""


class TooManyPixelsError(DataError):
    """A picture whose head promises more pixels than the limit."""


def open_picture(data: bytes, *, most_pixels: int = MOST_PIXELS) -> Image.Image:
    """A picture whose head is read and whose pixels are not yet decoded.

    `Image.open` has a limit of its own, a global with a warning below it; so the formats are called here as it does.

    Args:
        data: the encoded bytes.
        most_pixels: width times height, at most; Pillow's own limit is raised to it where it is lower.

    Raises:
        TooManyPixelsError: the picture has more pixels than that; the message names no file.
        DataError: it has none of `FORMATS`, or a head that its format does not allow.
        Exception: whatever else the decoder raises on a damaged head.
    """
    from PIL import Image, _imaging

    Image.init()
    if _imaging.get_block_size() < _BLOCK:
        _imaging.set_block_size(_BLOCK)
    if Image.MAX_IMAGE_PIXELS is not None and most_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = most_pixels
    reason = f"none of {', '.join(FORMATS)}"
    for name in (name for name in FORMATS if name in Image.OPEN):
        factory, accepts = Image.OPEN[name]
        try:
            if accepts is not None and accepts(data[:16]) is not True:  # a text says what Pillow lacks
                continue
            if name == "JPEG" and data.count(_SCAN) > MOST_SCANS and _scans(data) > MOST_SCANS:
                raise DataError(f"more than {MOST_SCANS} scans")
            if name == "PNG" and data.count(b"iCCP") > MOST_PROFILES:
                raise DataError(f"more than {MOST_PROFILES} colour profiles")
            picture = factory(io.BytesIO(data), "")
            width, height = decoded_size(picture)
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            reason = f"{name}: {first_line(error)}"
            continue
        except Image.DecompressionBombError:  # raised before the head is known
            raise TooManyPixelsError(f"too many pixels, expected at most {most_pixels:,} in all") from None
        if width * height > most_pixels:
            raise TooManyPixelsError(f"{width} x {height} pixels, expected at most {most_pixels:,} in all")
        return picture
    raise DataError(reason)


def decoded_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height of what is decoded: of a TIFF whole tiles, which may be larger than the picture."""
    tags = getattr(picture, "tag_v2", {})
    return max(picture.width, tags.get(_TILE_WIDTH, 0)), max(picture.height, tags.get(_TILE_LENGTH, 0))


_BLOCK = 1 << 26
"""Bytes of Pillow's blocks of pixels: blocks of more than 32 MB go back to the system, smaller ones would stay with
each thread that has decoded a large picture."""

_TILE_WIDTH, _TILE_LENGTH = 322, 323
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends the pixels of a scan: within them 0xff is followed by 0 or by the number of a restart."""


def _scans(data: bytes) -> int:
    """How many scans a JPEG has, up to one more than `MOST_SCANS`; what lies beside its pixels does not count."""
    scans, place = 0, 2
    while scans <= MOST_SCANS and (marker := _MARKER.search(data, place)) and marker[0] != _END:
        scans += marker[0] == _SCAN
        place = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return scans


_turn = Condition()
_decoding = 0


@contextmanager
def in_flight(pixels: int) -> Iterator[None]:
    """Wait until so many pixels fit beside those in flight, and hold them while the `with` lasts; it is not nested."""
    global _decoding
    with _turn:
        _turn.wait_for(lambda: _decoding == 0 or _decoding + pixels <= IN_FLIGHT)
        _decoding += pixels
    try:
        yield
    finally:
        with _turn:
            _decoding -= pixels
            _turn.notify_all()
