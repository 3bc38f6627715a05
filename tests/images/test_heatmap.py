"""Heatmaps against hiding each patch by hand, on a bit that is known to look in one corner, and on other weights."""

import numpy as np
import pytest
import torch
from PIL import Image

from codelab import Encoder, UsageError
from codelab.images.attention import weighted_patch_logits
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
    for method in ("occlusion", "gradient", "attention"):
        if method == "attention":
            encoders = [Encoder.from_timm("test_vit", bits=6, seed=s).eval() for s in range(4)]
        else:
            encoders = [Encoder(CONFIG, seed=s).eval() for s in range(4)]
        maps = [encoder.heatmap(image, 1, method=method).values.ravel() for encoder in encoders]
        apart = np.corrcoef(maps)[np.triu_indices(4, 1)]
        assert np.abs(apart).max() < 0.95


def transformer():
    """A vision transformer whose blocks change nothing: the token of a patch is its brightness, and bit 0 reads it."""
    encoder = Encoder.from_timm("test_vit", bits=6).eval()
    backbone = encoder.backbone
    with torch.no_grad():
        for block in backbone.blocks:
            for layer in (block.attn.proj, block.mlp.fc2):
                layer.weight.zero_()
                layer.bias.zero_()
        backbone.pos_embed.zero_()
        backbone.cls_token.zero_()
        backbone.patch_embed.proj.weight.zero_()
        backbone.patch_embed.proj.bias.zero_()
        backbone.patch_embed.proj.weight[0] = 1 / backbone.patch_embed.proj.weight[0].numel()
        backbone.norm = backbone.blocks[-1].norm1 = torch.nn.Identity()
        encoder.head = torch.nn.Linear(backbone.num_features, 6)
        encoder.head.weight.zero_()
        encoder.head.bias.zero_()
        encoder.head.weight[0, 0] = 10
    return encoder


def bright_corner():
    pixels = np.full((160, 160, 3), 100, np.uint8)
    pixels[80:, 80:] = 240
    return Image.fromarray(pixels)


def test_attention_finds_the_corner_that_a_transformer_reads():
    encoder, image = transformer(), bright_corner()
    with torch.no_grad():  # the class token attends to all tokens alike
        encoder.backbone.blocks[-1].attn.qkv.weight.zero_()
        encoder.backbone.blocks[-1].attn.qkv.bias.zero_()
    found = encoder.heatmap(image, 0, method="attention")
    x = encoder.transform(image)
    there = np.zeros((8, 8), bool)
    there[4:, 4:] = True
    sign = 1 if found.logit > 0 else -1
    assert found.approximate
    assert "by attention, approximate" in repr(found)
    assert found.values[there] == pytest.approx(np.full(16, sign * 10 * float(x[:, 80:, 80:].mean()) / 64), abs=2e-3)
    assert found.values[~there] == pytest.approx(np.full(48, sign * 10 * float(x[:, :80, :80].mean()) / 64), abs=2e-3)


def test_attention_is_what_the_last_block_computes():
    """Against the weights that timm itself computes, where its fused kernel is off."""
    encoder, image, seen = Encoder.from_timm("test_vit", bits=6, seed=5).eval(), bright_corner(), []
    attention = encoder.backbone.blocks[-1].attn
    attention.fused_attn = False
    attention.attn_drop.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    x = encoder.transform(image)
    found = weighted_patch_logits(encoder, x, 3)
    weight = seen[0][0].mean(0)[0, 1:]  # from the class token, over heads
    tokens = encoder.backbone.forward_features(x[None])[0, 1:]
    logits = torch.stack([encoder.head(token[None])[0, 3] for token in tokens])
    assert found.ravel().numpy() == pytest.approx((weight / weight.sum() * logits).detach().numpy(), abs=1e-6)
    assert float(found.sum()) == pytest.approx(np.average(logits.detach(), weights=weight.detach()), abs=1e-6)
    both = encoder.heatmap(image, 3, method="attention")
    assert abs(both.values.sum()) == pytest.approx(abs(float(found.sum())), abs=1e-6)  # 10 x 10 patches on 8 x 8


@pytest.mark.parametrize("backbone", ["conv", "test_resnet"])
def test_attention_of_a_network_that_is_no_transformer_is_one_line(backbone):
    encoder = Encoder(EncoderConfig(backbone=backbone, bits=4, image_size=32, width=4, hidden=8)).eval()
    with pytest.raises(UsageError) as found:
        encoder.heatmap(picture(), 0, method="attention")
    assert str(found.value) == (
        f"method='attention': found the backbone {backbone!r}, expected a plain vision transformer of timm, "
        "such as vit_small_patch16_224"
    )


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
    with pytest.raises(UsageError, match="method='magic': expected occlusion, gradient, attention"):
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
