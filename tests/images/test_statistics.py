"""Statistics of pictures: known pictures have known values, an export keeps them, and no attribute is made of them."""

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from codelab import Codes, Encoder, align_attributes, load
from codelab.core.codes import STATISTIC
from codelab.images.encoder import EncoderConfig
from codelab.images.export import encode_images, export
from codelab.images.sources import open_images
from codelab.images.statistics import NAMES, image_statistics


def of(image):
    return {name.removeprefix(STATISTIC): value for name, value in image_statistics(image).items()}


@given(st.tuples(*[st.integers(0, 255)] * 3), st.integers(1, 300), st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_a_flat_picture(colour, width, height):
    found = of(Image.new("RGB", (width, height), colour))
    red, green, blue = (c / 255 for c in colour)
    assert found["brightness"] == pytest.approx(0.299 * red + 0.587 * green + 0.114 * blue)
    assert found["contrast"] == pytest.approx(0, abs=1e-9)
    assert found["edges"] == found["foreground"] == 0
    assert found["aspect"] == width / height
    hue, saturation, _ = colorsys.rgb_to_hsv(red, green, blue)
    assert found["saturation"] == pytest.approx(saturation, abs=0.01)
    if saturation > 0.2 and max(colour) > 100:
        apart = abs(found["hue"] - hue)
        assert min(apart, 1 - apart) < 0.02


def test_a_square_on_white():
    image = Image.new("RGB", (64, 64), "white")
    image.paste((0, 0, 0), (16, 16, 48, 48))
    found = of(image)
    assert found["foreground"] == 0.25
    assert found["brightness"] == pytest.approx(0.75)
    assert found["contrast"] == pytest.approx(np.sqrt(0.75 * 0.25))
    assert found["edges"] == pytest.approx(4 * 32 / 64**2, abs=0.001)
    assert np.isnan(found["hue"])


def test_reds_on_both_sides_of_zero_are_red():
    image = Image.new("RGB", (2, 1))
    image.putpixel((0, 0), (255, 0, 20))
    image.putpixel((1, 0), (255, 20, 0))
    hue = of(image)["hue"]
    assert min(hue, 1 - hue) < 0.01


def test_an_export_keeps_them(picture_folder, tmp_path):
    encoder = Encoder(EncoderConfig(bits=8, image_size=16, width=4, hidden=8))
    images = open_images(picture_folder)
    export(encoder, images, tmp_path / "c.parquet", statistics=True, progress=False)
    codes = load(tmp_path / "c.parquet")
    assert set(NAMES) <= set(codes.items.column_names)
    assert not set(NAMES) & set(codes.attributes)
    assert codes.items["image.brightness"][0].as_py() == pytest.approx(
        image_statistics(images.image(0))["image.brightness"], abs=1e-6
    )
    again = encode_images(encoder, images, statistics=True, progress=False)
    assert again.items["image.contrast"].to_pylist() == codes.items["image.contrast"].to_pylist()


def test_bits_are_compared_with_them():
    rng = np.random.default_rng(0)
    bright = rng.random(300)
    codes = Codes.from_bits(bright[:, None] > 0.5, items={"image.brightness": bright})
    found = align_attributes(codes)
    assert found.target[0].startswith("brightness above 0.5")
    assert found.phi[0] > 0.9
