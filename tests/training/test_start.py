"""A run that starts from an encoder sees images as that encoder does, and uses no more threads than it is worth."""

import dataclasses

import pytest
import torch

from codelab import UsageError
from codelab.cli.main import main
from codelab.images.encoder import Encoder, EncoderConfig
from tests.support.training_runs import TINY, image_set, rows
from training.config import load_config
from training.loop import fit
from training.network import starting_encoder
from training.start import at_own_size, size_words
from training.threads import operations, threads_for


@pytest.fixture
def small(tmp_path):
    """A convolutional encoder of 16 pixels that was not trained here."""
    path = tmp_path / "small.safetensors"
    Encoder(EncoderConfig(bits=8, image_size=16, width=4, hidden=16)).save(path)
    return str(path)


@pytest.fixture
def transformer(tmp_path):
    path = tmp_path / "vit.safetensors"
    Encoder(EncoderConfig(backbone="test_vit", bits=8, image_size=64, hidden=16)).save(path)
    return str(path)


def sizes(config):
    return config.image_size, config.store_size, config.local_size


class TestSize:
    def test_is_that_of_the_encoder(self, small):
        written = load_config("configs/adapt.yaml", {"init": small})
        config = at_own_size(written, {"init"})
        assert sizes(config) == (16, 31, 8)
        assert size_words(written, config) == (
            f"{small}: an encoder of 16 pixels: image_size 16, store_size 31, local_size 8 in place of 224, 432, 96"
        )
        assert size_words(config, config) == ""
        assert starting_encoder(config).config.image_size == 16

    def test_local_views_of_a_transformer_are_whole_patches(self, tmp_path):
        path = tmp_path / "vit.safetensors"
        Encoder(EncoderConfig(backbone="vit_tiny_patch16_224", bits=8, image_size=160, hidden=8)).save(path)
        config = at_own_size(load_config("configs/adapt.yaml", {"init": str(path)}), {})
        assert sizes(config) == (160, 309, 64)

    def test_the_store_size_is_that_of_its_training(self, tmp_path):
        config = dataclasses.replace(TINY, epochs=1, store_size=24, image_size=24, run=str(tmp_path / "r"))
        run = fit(config, images=image_set(32), show=False)
        assert at_own_size(load_config("configs/adapt.yaml", {"init": str(run)}), {}).store_size == 24

    def test_a_flag_rules(self, small):
        flags = {"init": small, "image_size": "64", "local_views": "0"}
        assert sizes(at_own_size(load_config("configs/adapt.yaml", flags), flags)) == (64, 432, 96)
        flags = {"init": small, "local_size": "12"}
        assert sizes(at_own_size(load_config("configs/adapt.yaml", flags), flags)) == (16, 31, 12)

    def test_a_network_that_takes_no_other_size_is_refused(self, transformer):
        config = load_config("configs/adapt.yaml", {"init": transformer, "image_size": 96, "local_views": 0})
        with pytest.raises(UsageError, match=r"image_size is 96, .* was trained at 64: its pos_embed"):
            starting_encoder(config)

    def test_an_encoder_that_is_not_there(self, tmp_path):
        config = load_config("configs/adapt.yaml", {"init": str(tmp_path / "nosuch")})
        with pytest.raises(UsageError, match=r"nosuch: no such file or folder; expected an encoder\.safetensors, or"):
            at_own_size(config, {"init"})

    def test_another_size_is_said(self, small, tmp_path, capsys):
        changes = {"init": small, "backbone": "from-init", "image_size": 24, "bits": 8, "hidden": 16, "epochs": 1}
        config = dataclasses.replace(TINY, **changes, head_norm="none", run=str(tmp_path / "run"))
        fit(config, images=image_set(32))
        assert f"{small}: trained at 16 pixels, here at 24 (image_size)" in capsys.readouterr().err

    def test_the_command(self, small, picture_folder, tmp_path, capsys):
        call = ["train", "configs/adapt.yaml", "--init", small, "--data", str(picture_folder), "--batch", "4"]
        assert (
            main([*call, "--epochs", "1", "--run", str(tmp_path / "run"), "--local-views", "1", "--hidden", "8"]) == 0
        )
        said = capsys.readouterr().err
        assert "an encoder of 16 pixels" in said
        assert Encoder.load(tmp_path / "run").config.image_size == 16


class TestThreads:
    @pytest.fixture(autouse=True)
    def two(self, monkeypatch):
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        yield
        torch.set_num_threads(before)

    def found(self, config):
        with threads_for(starting_encoder(config).backbone, config) as words:
            assert words.startswith(f"{torch.get_num_threads()} thread")
            return torch.get_num_threads()

    def test_one_on_the_demo(self):
        assert self.found(load_config("configs/demo.yaml")) == 1
        assert torch.get_num_threads() == 2  # as it was

    def test_all_on_a_larger_network(self):
        vit = {"backbone": "vit_tiny_patch16_224", "image_size": 128, "local_size": 48, "batch": 32, "compile": "off"}
        assert self.found(load_config("configs/imagenet-vits16.yaml", vit)) == 2

    def test_the_config_and_the_environment_rule(self, monkeypatch):
        assert self.found(load_config("configs/demo.yaml", {"threads": 2})) == 2
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        assert self.found(load_config("configs/demo.yaml")) == 2

    def test_operations_are_those_of_all_views(self):
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, padding=1))
        config = dataclasses.replace(TINY, image_size=16, local_size=8, local_views=3, batch=4)
        each = 2 * 3 * 5 * 9
        assert operations(network, config) == 4 * each * (2 * 16 * 16 + 3 * 8 * 8)

    def test_the_result_depends_on_them_by_rounding_alone(self, tmp_path):
        losses = []
        for threads in (1, 2):
            config = dataclasses.replace(
                TINY, epochs=1, log_every=1, threads=threads, run=str(tmp_path / str(threads))
            )
            losses.append([row["loss"] for row in rows(fit(config, images=image_set(64), show=False))])
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        assert len(losses[0]) == 4
