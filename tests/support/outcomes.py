"""What may come of bytes that call themselves a picture."""

from __future__ import annotations

import re
import time

import numpy as np

from codelab.core.errors import DataError
from codelab.images.cards import picture_uri
from codelab.images.imageset import decode

MOST_PIXELS = 1_000_000
LONGEST = 5.0
"""Seconds of CPU for one small file, at most."""


def decoded(data: bytes) -> str:
    """`pixels`, or `refused`; anything else is an AssertionError, or what was raised."""
    start, refusal, picture = time.process_time(), "", None
    try:
        picture = decode(data, "x", most_pixels=MOST_PIXELS)
    except DataError as error:
        refusal = str(error)
    if picture is None:
        assert re.fullmatch(r"x: .{1,1000}", refusal), repr(refusal)
        assert " at 0x" not in refusal, refusal
    else:
        assert picture.mode == "RGB"
        assert np.asarray(picture).shape == (picture.height, picture.width, 3)
        assert picture.width * picture.height <= MOST_PIXELS
        assert len(picture_uri(data, "x", most_pixels=MOST_PIXELS)) < 200_000
    assert time.process_time() - start < LONGEST, f"took {time.process_time() - start:.0f} seconds"
    return "pixels" if picture is not None else "refused"
