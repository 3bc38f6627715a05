"""Views of real drawings through a small encoder, and the channel measured on them."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from codelab.encoder import Encoder, EncoderConfig
from codelab.errors import DataError, UsageError
from codelab.images import ImageSet
from codelab.views import AUGMENTATIONS, measure_views, view_codes


@pytest.fixture(scope="module")
def images():
    from sklearn.datasets import load_digits

    digits, labels = load_digits(return_X_y=True)
    pictures = []
    for flat in digits[:120]:
        file = io.BytesIO()
        tile = Image.fromarray((flat.reshape(8, 8) * 15).astype(np.uint8)).resize((32, 32)).convert("RGB")
        Image.merge("RGB", (tile.getchannel(0), tile.getchannel(1).point(lambda v: 255 - v), tile.getchannel(2))).save(
            file, "PNG"
        )
        pictures.append(file.getvalue())
    names = [str(i) for i in range(120)]
    items = pa.table({"id": names, "path": names})
    classes = tuple(str(c) for c in range(10))
    return ImageSet("digits", items, labels[:120].astype(np.int32), classes, pictures.__getitem__)


@pytest.fixture(scope="module")
def encoder():
    return Encoder(EncoderConfig(bits=24, image_size=32, width=8, hidden=32))


def test_plain_views_are_the_images_and_each_kind_changes_them(images, encoder):
    first, second = view_codes(encoder, images, views=2, augmentation="plain")
    assert first.sha256 == second.sha256
    for kind in AUGMENTATIONS:
        (seen,) = view_codes(encoder, images.subset(range(20)), views=1, augmentation=kind)
        assert not np.array_equal(seen.logits, first.logits[:20]), kind
        assert seen.items["id"].to_pylist() == [str(i) for i in range(20)]


def test_a_view_depends_on_the_image_and_the_seed_alone(images, encoder):
    whole = view_codes(encoder, images, views=2, features=True)
    part = view_codes(encoder, images.subset(range(10)), views=2)
    assert np.allclose(whole[1].logits[:10], part[1].logits, atol=1e-2)
    assert whole[0].features.shape == (120, encoder.features)
    assert not np.array_equal(whole[0].logits, whole[1].logits)
    other = view_codes(encoder, images, views=1, seed=1)
    assert not np.array_equal(whole[0].logits, other[0].logits)


def test_the_channel_of_an_encoder(images, encoder):
    together, apart = measure_views(encoder, images, views=3, items=100)
    assert together.n == 100
    assert len(together.to_frame()) == 24
    assert together.value_low <= together.value <= together.ceiling
    table = apart.to_frame()
    assert table["view"].tolist() == list(AUGMENTATIONS)
    assert (table["flip_rate"] >= 0).all()
    assert table["flip_rate"].max() < 0.5
    again, _ = measure_views(encoder, images, views=3, items=100)
    assert np.array_equal(together.flip_rate, again.flip_rate)


def test_bad_views_are_refused(images, encoder):
    with pytest.raises(UsageError, match="'zoom': expected one of all, plain, crop"):
        view_codes(encoder, images, augmentation="zoom")
    with pytest.raises(UsageError, match="views 1: expected at least 2"):
        measure_views(encoder, images, views=1)
    with pytest.raises(DataError, match="found 3 codes, expected at least 8"):
        measure_views(encoder, images.subset(range(3)))
