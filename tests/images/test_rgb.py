"""Every kind of picture in docs/pictures.md is read as its table says."""

import re

import numpy as np
import pytest
from PIL import Image

from codelab.core.errors import DataError
from codelab.images.imageset import decode
from tests.conftest import ROOT
from tests.support.kinds import KINDS, encoded, tiff

TABLE = dict(re.findall(r"^\| (.+) \| (.+) \|$", (ROOT / "docs/pictures.md").read_text(), re.M))
TABLE.pop("kind")


def test_the_table_has_every_kind():
    assert list(TABLE) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_is_read_as_the_table_says(kind):
    Image.init()
    if kind.startswith("AVIF") and "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    data, outcome = KINDS[kind](), TABLE[kind]
    if re.fullmatch(r"\d+ \d+ \d+", outcome):
        picture = decode(data, "x")
        assert picture.mode == "RGB"
        assert " ".join(map(str, picture.getpixel((0, 0)))) == outcome
    else:
        with pytest.raises(DataError, match=rf"^x: not a readable image \(.*{re.escape(outcome)}"):
            decode(data, "x")


def test_grey_of_16_bits_is_the_upper_byte_of_every_value():
    values = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    picture = decode(encoded(Image.fromarray(values), "PNG"), "x")
    np.testing.assert_array_equal(np.asarray(picture)[..., 0], values >> 8)


def test_one_bad_value_among_many_is_found():
    values = np.full((4, 4, 1), 0.5, np.float32)
    values[3, 3] = np.nan
    with pytest.raises(DataError, match="nan"):
        decode(tiff(0, "<f4", 32, 3, raw=values.tobytes()), "x")
