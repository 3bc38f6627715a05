"""What the values of each kind of picture mean: one rule, by which any picture becomes 8-bit RGB.

Black is 0, and white is the largest value that the file's type can hold (1 for fractions), or the one that its tag
SMaxSampleValue names. Nothing is guessed from the values: where they lie outside, the picture is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from codelab.core.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

_PHOTOMETRIC, _BITS, _SAMPLE_FORMAT, _WHITE = 262, 258, 339, 341
"""Tags of a TIFF file: PhotometricInterpretation, BitsPerSample, SampleFormat, SMaxSampleValue."""

_SIGNED, _BLOCK = 2, 1 << 20


def as_rgb(file: Image.Image) -> Image.Image:
    """An opened picture as RGB: turned by its EXIF orientation, transparency laid on white; of several, the first.

    Raises:
        DataError: its values do not say how bright they are.
        Exception: whatever the decoder raises on damaged bytes.
    """
    from PIL import Image, ImageOps

    file.load()
    ImageOps.exif_transpose(file, in_place=True)
    image = file
    if file.mode.startswith("I") or file.mode == "F" or _sample_format(file) == _SIGNED:
        image = Image.fromarray(_grey(file))
    elif file.has_transparency_data:
        file = file.convert("RGBA")
        image = Image.new("RGB", file.size, "white")
        image.paste(file, mask=file.getchannel("A"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey(file: Image.Image) -> np.ndarray:
    """A picture of one channel of more than 8 bits, of signed numbers or of fractions, as uint8 `[height, width]`.

    Whole numbers keep their upper 8 bits, as Pillow reads colours of 16 bits.
    """
    values, white = np.asarray(file), _white(file)
    if file.mode == "I" and _tag(file, _BITS, 0) == 32 and _sample_format(file) != _SIGNED:
        values = values.view(np.uint32)  # Pillow has no mode of its own for them
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= white):  # NaN is neither
        raise DataError(
            f"values from {low:g} to {high:g}, expected 0 to {white:g}, or another white by SMaxSampleValue"
        )
    grey = np.empty(values.shape, np.uint8)
    rows = max(1, _BLOCK // values.shape[1])
    for start in range(0, len(values), rows):
        block = values[start : start + rows]
        if file.mode == "F":
            grey[start : start + rows] = block.astype(np.float64) * (255 / white) + 0.5
        else:
            grey[start : start + rows] = block.astype(np.int64) * 256 // (int(white) + 1)
    if _tag(file, _PHOTOMETRIC, 1) == 0:  # 0 is white; Pillow turns those of 8 bits itself
        grey = 255 - grey
    clear = file.info.get("transparency")  # a PNG of 16 bits can name one value
    if isinstance(clear, int):
        grey[values == clear] = 255
    return grey


def _white(file: Image.Image) -> float:
    """The value that is white.

    Raises:
        DataError: the file does not say.
    """
    named = _tag(file, _WHITE, 0)
    if named:
        return float(named)
    if file.mode == "F":
        return 1.0
    bits = int(_tag(file, _BITS, 16))
    if bits > 16 or _sample_format(file) == _SIGNED:
        kind = f"{'signed ' if _sample_format(file) == _SIGNED else ''}whole numbers of {bits} bits"
        raise DataError(
            f"{kind}, which have no usual white: name it by the tag SMaxSampleValue, or write 8 or 16 bits"
        )
    return float((1 << bits) - 1)


def _sample_format(file: Image.Image) -> int:
    return int(_tag(file, _SAMPLE_FORMAT, 1))


def _tag(file: Image.Image, number: int, default: float) -> Any:
    """A tag of a TIFF file, its first number."""
    value = getattr(file, "tag_v2", {}).get(number, default)
    return value[0] if isinstance(value, tuple) else value
