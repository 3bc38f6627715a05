"""Heatmaps against hiding each patch by hand, on a bit that is known to look in one corner, and on other weights."""

import numpy as np
import pytest
import torch
from PIL import Image

from codelab import Encoder, UsageError
from codelab.images.encoder import EncoderConfig
from codelab.images.heatmap import deletion_curves

CONFIG = EncoderConfig(bits=6, image_size=32, width=4, hidden=8, mean=(0.5,) * 3, std=(0.5,) * 3)


class Corner(torch.nn.Module):
    """Features: the mean of the lower right corner, and of the whole image."""

    num_features = 2

    def forward(self, images):
        return torch.stack([images[:, :, 24:, 24:].mean((1, 2, 3)), images.mean((1, 2, 3))], 1)


def of_corner():
    """An encoder whose bit 0 is 1 where the corner is bright, and nothing else."""
    encoder = Encoder(CONFIG).eval()
    encoder.backbone = Corner()
    encoder.head = torch.nn.Linear(2, 6)
    with torch.no_grad():
        encoder.head.weight.zero_()
        encoder.head.bias.zero_()
        encoder.head.weight[0, 0] = 10
    return encoder


def picture(seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
    pixels[24:, 24:] = 240
    return Image.fromarray(pixels)


@pytest.mark.parametrize("method", ["occlusion", "gradient"])
def test_a_bit_of_one_corner_looks_there(method):
    found = of_corner().heatmap(picture(), 0, method=method)
    there = np.zeros((8, 8), bool)
    there[6:, 6:] = True
    assert (found.values[there] > 0.1).all()
    assert np.abs(found.values[~there]).max() < 1e-4
    assert (found.box, found.logit > 0) == (4.0, True)


def test_occlusion_is_hiding_each_patch():
    encoder, image = Encoder(CONFIG, seed=3).eval(), picture(1)
    x = encoder.transform(image)
    whole = encoder.encode(x[None])[1][0]
    for bit in (0, 4):
        found = encoder.heatmap(image, bit)
        for row, column in ((0, 0), (3, 5), (7, 7)):
            hidden = x.clone()
            hidden[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = x.mean((1, 2), keepdim=True)
            logits = encoder.encode(hidden[None])[1][0]
            lost = np.sign(whole[bit]) * (whole[bit] - logits[bit])
            assert found.values[row, column] == pytest.approx(lost, abs=1e-5)
            assert found.flips[row, column] == ((logits > 0) != (whole > 0)).sum()


def test_other_weights_give_another_map():
    """A map that survives random weights shows the image, not the model (Adebayo et al. 2018)."""
    image = picture(2)
    for method in ("occlusion", "gradient"):
        maps = [Encoder(CONFIG, seed=s).eval().heatmap(image, 1, method=method).values.ravel() for s in range(4)]
        apart = np.corrcoef(maps)[np.triu_indices(4, 1)]
        assert np.abs(apart).max() < 0.95


def test_its_order_beats_random_orders():
    corner = of_corner()
    found = deletion_curves(corner, picture(), corner.heatmap(picture(), 0))
    assert found.value > 0.5
    assert found.deletion[4] < found.deletion[0] / 2
    assert found.insertion[4] > found.random_insertion[4]
    assert (found.share[0], found.share[-1], len(found.deletion)) == (0, 1, 65)
    assert found.deletion[-1] == pytest.approx(found.insertion[0], abs=1e-4)
    gaps = []
    for seed in range(6):
        encoder, image = Encoder(CONFIG, seed=seed).eval(), picture(seed)
        gaps.append(deletion_curves(encoder, image, encoder.heatmap(image, 2), draws=4).value)
    assert np.mean(gaps) > 0


def test_the_mode_stays_and_wrong_calls_are_one_line():
    encoder = Encoder(CONFIG).train()
    assert encoder.heatmap(picture(), 0, method="gradient").values.shape == (8, 8)
    assert encoder.training
    assert all(parameter.grad is None for parameter in encoder.parameters())
    with pytest.raises(UsageError, match="bit 6: the encoder has bits 0 to 5"):
        encoder.heatmap(picture(), 6)
    with pytest.raises(UsageError, match="method='magic': expected occlusion, gradient"):
        encoder.heatmap(picture(), 0, method="magic")
    assert "hiding a patch flips" in repr(encoder.heatmap(picture(), 0))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("cat.png", "image: found str, expected a PIL image of mode RGB"),
        (np.zeros((32, 32, 3), np.uint8), "image: found ndarray"),
        (Image.new("RGBA", (9, 9)), r"image: found RGBA \[9, 9\]"),
        (Image.new("L", (9, 9)), r"image: found L \[9, 9\]"),
        (Image.new("RGB", (0, 9)), r"image: found RGB \[0, 9\]"),
    ],
)
def test_what_is_no_rgb_image_is_one_line(image, words):
    encoder = Encoder(EncoderConfig(bits=4, image_size=32, width=4, hidden=8)).eval()
    with pytest.raises(UsageError, match=words):
        encoder.heatmap(image, 0)
