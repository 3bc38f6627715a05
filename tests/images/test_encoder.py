"""The encoder: shapes, seeds, preparation, and a file that loads back the same or says in one line why not."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from codelab import DataError, UsageError
from codelab.images.encoder import Encoder, EncoderConfig, fit_square

SMALL = EncoderConfig(bits=12, image_size=16, width=4, hidden=10, head_norm="batch", training={"beta": 0.2})


def picture(width=40, height=30, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


class TestForward:
    def test_shapes(self):
        encoder = Encoder(SMALL)
        features, logits = encoder(torch.zeros(3, 3, 16, 16))
        assert features.shape == (3, encoder.features)
        assert logits.shape == (3, 12)

    def test_the_seed_draws_the_weights_and_nothing_else(self):
        torch.manual_seed(0)
        expected = torch.rand(1)
        torch.manual_seed(0)
        a, b, c = Encoder(SMALL, seed=1), Encoder(SMALL, seed=1), Encoder(SMALL, seed=2)
        assert torch.rand(1) == expected
        assert a.sha256 == b.sha256 != c.sha256

    def test_encode_in_any_batch_is_the_same(self):
        encoder = Encoder(SMALL)
        encoder(torch.randn(20, 3, 16, 16))  # statistics that are not the initial ones
        images = torch.randint(0, 256, (11, 3, 16, 16), dtype=torch.uint8)
        features, logits = encoder.encode(images, batch=11)
        assert encoder.training  # as it was
        for batch in (1, 4):
            again = encoder.encode(images, batch=batch)
            assert again[0] == pytest.approx(features, abs=1e-5)
            assert again[1] == pytest.approx(logits, abs=1e-5)
        assert [part.shape for part in encoder.encode(images[:0])] == [(0, encoder.features), (0, 12)]

    def test_prepared_images_and_pixels_give_the_same_codes(self):
        encoder = Encoder(SMALL).eval()
        image = fit_square(picture(), 16)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        _, from_pixels = encoder.encode(pixels)
        _, from_image = encoder.encode(encoder.transform(image)[None])
        assert from_pixels == pytest.approx(from_image, abs=1e-5)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"bits": 0}, "bits is 0"),
            ({"head_norm": "layer"}, "head_norm is 'layer'"),
            ({"crop": 0}, "crop is 0"),
            ({"interpolation": "box"}, "interpolation is 'box'"),
        ],
    )
    def test_impossible_configs(self, change, message):
        with pytest.raises(UsageError, match=message):
            EncoderConfig(**change)


class TestTransform:
    @pytest.mark.parametrize("size", [(40, 30), (30, 41), (16, 16), (9, 200)])
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    def test_is_the_antialiased_resize_of_the_central_square(self, size, interpolation):
        config = EncoderConfig(
            image_size=16, width=4, hidden=8, mean=(0, 0, 0), std=(1, 1, 1), interpolation=interpolation
        )
        image = picture(*size)
        side, longer = min(size), max(size)
        whole = reference.pil_to_tensor(image).float()
        # torchvision resizes before it crops: the same square, up to how the crop falls on whole pixels
        expected = reference.center_crop(
            reference.resize(whole, [16], interpolation=getattr(InterpolationMode, interpolation.upper())), [16, 16]
        )
        got = Encoder(config).transform(image) * 255
        if (longer - side) * 16 % (2 * side) == 0:
            assert got.numpy() == pytest.approx(expected.clamp(0, 255).numpy(), abs=1.5)
        else:
            assert got.shape == (3, 16, 16)

    def test_a_gradient_stays_a_gradient(self):
        """The middle third of a ramp of 300 columns, read at ten places."""
        ramp = np.repeat(np.arange(300)[None, :, None] * 255 / 299, 100, 0).repeat(3, 2).round().astype(np.uint8)
        config = EncoderConfig(image_size=10, width=4, hidden=8, mean=(0, 0, 0), std=(1, 1, 1))
        row = Encoder(config).transform(Image.fromarray(ramp))[0, 5].numpy() * 255
        centres = 100 + (np.arange(10) + 0.5) * 10 - 0.5
        assert row == pytest.approx(centres * 255 / 299, abs=1)

    def test_normalises(self):
        config = EncoderConfig(image_size=8, width=4, hidden=8, mean=(0.5, 0.25, 0), std=(0.5, 0.25, 1))
        out = Encoder(config).transform(Image.new("RGB", (20, 20), (255, 0, 51)))
        assert out[:, 3, 3].tolist() == pytest.approx([1, -1, 0.2], abs=1e-6)

    def test_the_crop_drops_the_border(self):
        image = Image.new("RGB", (100, 100), "white")
        image.paste("black", (15, 15, 85, 85))
        assert np.asarray(fit_square(image, 10, crop=0.5)).max() == 0
        assert np.asarray(fit_square(image, 10)).max() > 250


class TestFile:
    def saved(self, tmp_path):
        encoder = Encoder(SMALL, seed=3)
        encoder(torch.randn(20, 3, 16, 16))
        path = tmp_path / "encoder.safetensors"
        encoder.save(path)
        return encoder.eval(), path

    def test_round_trip(self, tmp_path):
        encoder, path = self.saved(tmp_path)
        again = Encoder.load(path)
        assert again.config == encoder.config
        assert again.config.training == {"beta": 0.2}
        assert again.sha256 == encoder.sha256
        assert not again.training
        image = picture()
        for a, b in zip(encoder(encoder.transform(image)[None]), again(again.transform(image)[None]), strict=True):
            assert torch.equal(a, b)
        assert list(tmp_path.iterdir()) == [path]  # no temporary file is left

    def test_missing(self, tmp_path):
        with pytest.raises(UsageError, match="no such file"):
            Encoder.load(tmp_path / "none.safetensors")

    @pytest.mark.parametrize("keep", [0, 4, 200, -1])
    def test_truncated(self, tmp_path, keep):
        _, path = self.saved(tmp_path)
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(DataError, match="not a whole safetensors file") as error:
            Encoder.load(path)
        assert path.name in one_line(error)

    def test_not_safetensors(self, tmp_path):
        path = tmp_path / "model.safetensors"
        torch.save({"weight": torch.zeros(2)}, path)
        with pytest.raises(DataError, match="not a whole safetensors file"):
            Encoder.load(path)

    def test_foreign_safetensors(self, tmp_path):
        path = tmp_path / "other.safetensors"
        save_file({"weight": torch.zeros(2)}, path)
        with pytest.raises(DataError, match="not one of codelab"):
            Encoder.load(path)

    def rewritten(self, path, tensors=None, **changes):
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["codelab"])
        header.update(changes)
        header.pop("seal", None)  # or it would be the SHA-256 that is refused
        save_file(tensors or load_file(path), path, metadata={"codelab": json.dumps(header)})

    def test_another_format_version(self, tmp_path):
        _, path = self.saved(tmp_path)
        self.rewritten(path, format=2)
        with pytest.raises(DataError, match="checkpoint format 2, expected 1"):
            Encoder.load(path)

    def test_another_kind(self, tmp_path):
        _, path = self.saved(tmp_path)
        self.rewritten(path, kind="checkpoint")
        with pytest.raises(DataError, match="holds 'checkpoint', expected 'encoder'"):
            Encoder.load(path)

    @pytest.mark.parametrize("config", [{"bits": "many"}, {"backbone": "no_such_net"}, {"bits": 0}, None, {"mean": 3}])
    def test_a_config_that_cannot_be_used(self, tmp_path, config):
        _, path = self.saved(tmp_path)
        self.rewritten(path, config=config)
        with pytest.raises(DataError, match="config cannot be used") as error:
            Encoder.load(path)
        one_line(error)

    def test_tensors_that_do_not_fit_are_named(self, tmp_path):
        _, path = self.saved(tmp_path)
        tensors = load_file(path)
        del tensors["head.0.bias"]
        tensors["head.2.weight"] = torch.zeros(3, 3)
        tensors["extra"] = torch.zeros(1)
        self.rewritten(path, tensors)
        with pytest.raises(DataError) as error:
            Encoder.load(path)
        text = one_line(error)
        assert "missing head.0.bias" in text
        assert "unexpected extra" in text
        assert "misshapen head.2.weight [3, 3] for [10, 10]" in text

    def test_values_that_are_not_finite_are_refused(self, tmp_path):
        _, path = self.saved(tmp_path)
        tensors = load_file(path)
        tensors["head.0.weight"][0, 0] = float("nan")
        self.rewritten(path, tensors)
        with pytest.raises(DataError, match=r"head\.0\.weight has values that are not finite"):
            Encoder.load(path)


class TestTimm:
    @pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
    def test_backbones_take_their_size_and_smaller_crops(self, name, tmp_path):
        encoder = Encoder.from_timm(name, bits=9, seed=1)
        size = encoder.config.image_size
        for side in (size, size // 32 * 16):
            assert encoder.eval()(torch.zeros(1, 3, side, side))[1].shape == (1, 9)
        encoder.save(tmp_path / "e.safetensors")
        assert Encoder.load(tmp_path / "e.safetensors").sha256 == encoder.sha256

    def test_an_unknown_name_gives_the_nearest(self):
        with pytest.raises(UsageError, match="vit_small_patch16_224") as error:
            Encoder.from_timm("vit_smal_patch16_224")
        one_line(error)

    def test_conv_has_no_pretrained_weights(self):
        with pytest.raises(UsageError, match="no pretrained weights"):
            Encoder(SMALL, pretrained=True)
