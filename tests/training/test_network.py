"""What training starts from, and what leaves the result as it is: compilation, activations computed twice, parts."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from codelab import DataError, UsageError
from codelab.images.encoder import Encoder, EncoderConfig
from tests.support.training_runs import TINY, data_of, image_set, rows
from training.config import load_config
from training.loop import fit
from training.network import DropPath, draw, half_residuals, starting_encoder, take_over
from training.trainer import Run

VIT = dataclasses.replace(
    TINY, backbone="test_vit", image_size=32, store_size=32, local_size=16, head_norm="none", drop_path=0.3
)


def pictures(n=16, side=32, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, 3, side, side), dtype=np.uint8))


def gradient(config, *, side=32):
    """The loss and the whole gradient of one batch."""
    run = Run(config, data_of(pictures(side=side), config))
    run.prepare()
    made = run.backward(0, next(run.data.steps(0, 1)))
    return made.terms.loss.item(), torch.cat([p.grad.flatten() for p in run.student.parameters()])


def same(a, b, rel=1e-4):
    assert a[0] == pytest.approx(b[0], rel=1e-5)
    assert ((a[1] - b[1]).norm() / a[1].norm()).item() < rel


class TestStart:
    def saved(self, tmp_path, **changes):
        fields = {"width": 4, "bits": 16, "hidden": 32, "image_size": 16, "head_norm": "batch"}
        encoder = Encoder(EncoderConfig(**{**fields, **changes}), seed=5)
        encoder.save(tmp_path / "encoder.safetensors")
        return encoder, str(tmp_path)

    def test_goes_on_from_an_encoder_with_its_head(self, tmp_path):
        encoder, path = self.saved(tmp_path)
        start = starting_encoder(dataclasses.replace(TINY, init=path))
        for name, tensor in encoder.state_dict().items():
            assert torch.equal(tensor, start.state_dict()[name]), name

    def test_a_new_head_on_an_old_backbone(self, tmp_path):
        encoder, path = self.saved(tmp_path, bits=32)  # the old head may be of any size
        config = dataclasses.replace(TINY, init=path, backbone="from-init", reset_at_start=True)
        start = starting_encoder(config)
        for name, tensor in encoder.backbone.state_dict().items():
            assert torch.equal(tensor, start.backbone.state_dict()[name]), name
        assert torch.equal(start.head[0].weight, Encoder(start.config, seed=TINY.seed).head[0].weight)
        assert start.config.bits == 16

    def test_from_init_takes_architecture_and_normalisation(self, tmp_path):
        _, path = self.saved(tmp_path, width=6, mean=(0.1, 0.2, 0.3))
        start = starting_encoder(dataclasses.replace(TINY, init=path, backbone="from-init", reset_at_start=True))
        assert (start.config.width, start.config.mean) == (6, (0.1, 0.2, 0.3))

    def test_an_encoder_of_another_architecture_names_the_tensors(self, tmp_path):
        _, path = self.saved(tmp_path, width=6)
        with pytest.raises(DataError, match=r"backbone: the tensors do not fit: misshapen 0\.0\.weight \[6, 3"):
            starting_encoder(dataclasses.replace(TINY, init=path))

    def test_an_encoder_with_another_head_says_what_draws_a_new_one(self, tmp_path):
        _, path = self.saved(tmp_path, bits=32)
        with pytest.raises(DataError, match=r"reset_at_start draws a new one\): the tensors do not fit: misshapen 4"):
            starting_encoder(dataclasses.replace(TINY, init=path))

    @pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv3_small_050", "test_mambaout", "test_convnext"])
    def test_any_timm_network_gives_as_many_features_as_its_head_takes(self, backbone):
        encoder = starting_encoder(
            dataclasses.replace(VIT, backbone=backbone, image_size=64, local_size=32, drop_path=0)
        )
        assert list(encoder(torch.zeros(2, 3, 64, 64))[1].shape) == [2, 16]
        assert encoder.training

    def test_a_backbone_without_stochastic_depth(self):
        with pytest.raises(UsageError, match=r"backbone 'vgg11' cannot be built so \(.*set drop_path to 0"):
            starting_encoder(dataclasses.replace(VIT, backbone="vgg11"))

    def test_a_backbone_that_takes_no_small_views(self):
        config = dataclasses.replace(VIT, backbone="test_convnext", image_size=64, local_size=16, drop_path=0)
        with pytest.raises(
            UsageError, match=r"test_convnext takes no views of local_size 16 \(.*set local_views to 0"
        ):
            starting_encoder(config)

    def test_views_that_are_not_whole_patches(self):
        with pytest.raises(UsageError, match="config: local_size is 24, expected a multiple of 16, the patches"):
            starting_encoder(dataclasses.replace(VIT, local_size=24))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"backbone": "from-init"}, "init is '', expected an encoder, as backbone is from-init"),
            ({"reset_at_start": True}, "init is '', expected an encoder"),
            ({"init": "a", "pretrained": True}, "pretrained is true, expected false"),
            ({"accumulate": 3}, "accumulate is 3, expected a divisor of batch 16"),
            ({"drop_path": 1.0}, "drop_path is 1.0, expected a number from 0 to below 1"),
            ({"objective": "swav"}, "objective is swav, expected bits or soft-bits"),
            ({"best_by": "map"}, "best_by is map, expected"),
        ],
    )
    def test_what_does_not_fit_together(self, changes, message):
        with pytest.raises(UsageError, match=message):
            load_config(None, {**TINY.to_dict(), **changes})

    def test_adaptation_trains_from_a_run_folder(self, tmp_path):
        first = fit(dataclasses.replace(TINY, epochs=2, run=str(tmp_path / "a")), images=image_set(40), show=False)
        config = dataclasses.replace(
            TINY, epochs=2, init=str(first), backbone="from-init", reset_at_start=True, run=str(tmp_path / "b")
        )
        assert np.isfinite(rows(fit(config, images=image_set(40), show=False))[-1]["loss"])


class TestSameResult:
    def test_in_parts(self):
        whole = gradient(VIT)
        for parts in (2, 4):
            same(gradient(dataclasses.replace(VIT, accumulate=parts)), whole)

    def test_with_activations_computed_twice(self):
        same(gradient(dataclasses.replace(VIT, checkpoint_activations=True)), gradient(VIT))

    @pytest.mark.parametrize("init_values", [None, 1.0])
    def test_residuals_in_bf16(self, init_values):
        """Features and gradient stay as near to those in fp32 as autocast leaves them, within a factor of 2."""
        x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        found, kinds = {}, {"fp32": set(), "autocast": set(), "half": set()}
        for how, seen in kinds.items():
            torch.manual_seed(0)
            vit = timm.create_model("test_vit", num_classes=0, img_size=32, init_values=init_values)
            if how == "half":
                half_residuals(vit)
                assert torch.equal(vit(x), found["fp32"][0])  # without autocast nothing is cast
            for block in vit.blocks:
                block.register_forward_hook(
                    lambda _, given, made, seen=seen: seen.update((given[0].dtype, made.dtype))
                )
            with torch.autocast("cpu", torch.bfloat16, enabled=how != "fp32"):
                features = vit(x).float()
            (features * torch.randn(features.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
            found[how] = features.detach(), torch.cat([p.grad.flatten() for p in vit.parameters()])
        assert kinds == {"fp32": {torch.float32}, "autocast": {torch.float32}, "half": {torch.bfloat16}}
        for exact, plain, half in zip(*found.values(), strict=True):
            assert 0 < (half - exact).norm() < 2 * (plain - exact).norm() < 0.03 * exact.norm()

    def test_compiled(self):
        """The trial pass of the compiler leaves nothing behind, and the gradient is that of the eager network."""
        eager = dataclasses.replace(TINY, objective="dino", prototypes=24, compile="off")
        config = dataclasses.replace(eager, compile="on")
        run = Run(config, data_of(pictures(side=16), config))
        before = {name: tensor.clone() for name, tensor in run.student.state_dict().items()}
        run.prepare()
        assert run.student._compiled_call_impl is not None
        assert not run.objective.centre.any()
        for name, tensor in run.student.state_dict().items():
            assert torch.equal(tensor, before[name]), name
        made = run.backward(0, next(run.data.steps(0, 1)))
        assert made.terms.loss.item() == pytest.approx(gradient(eager, side=16)[0], rel=1e-4)

    def test_without_a_compiler_it_goes_on_after_one_warning(self, tmp_path):
        script = tmp_path / "run.py"
        script.write_text(
            "import dataclasses, sys\n"
            f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
            "from tests.support.training_runs import TINY, image_set\n"
            "from training import fit\n"
            "config = dataclasses.replace(TINY, compile='on', epochs=1, reset_every=0, run=sys.argv[1])\n"
            "fit(config, images=image_set(40), show=False)\n"
        )
        env = {**os.environ, "CXX": "/none", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, script, tmp_path / "run"], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("torch.compile failed, going on without it") == 1
        assert (tmp_path / "run" / "encoder.safetensors").exists()

    def test_views_are_drawn_by_image_and_epoch_alone(self):
        run = Run(VIT, data_of(pictures(), VIT))
        batch = next(run.data.steps(0, 1))
        wide, local = run.crops(3, batch)
        half = dataclasses.replace(batch, index=batch.index[8:], pixels=batch.pixels[8:])
        wide_half, local_half = run.crops(3, half)
        assert torch.equal(wide.view(2, 16, 3, 32, 32)[:, 8:].reshape(wide_half.shape), wide_half)
        assert torch.equal(local[8:], local_half)
        assert not torch.equal(run.crops(4, batch)[0], wide)


class TestDropPath:
    def test_takes_the_place_of_timm_s_and_leaves_out_its_share(self):
        run = Run(VIT, data_of(pictures(), VIT))
        paths = run.paths
        assert paths
        assert [path.p for path in paths] == sorted(path.p for path in paths)
        assert paths[-1].p == pytest.approx(0.3)
        assert not any(p.p for p in run.teacher.modules() if isinstance(p, DropPath))
        draw(paths, 0, 0, torch.arange(4000), 2)
        ones = torch.ones(8000, 1, 1)
        kept = paths[-1](ones)
        assert (kept == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
        assert kept.mean().item() == pytest.approx(1, abs=0.03)

    def test_draws_belong_to_images(self):
        path = DropPath(0.5)
        draw([path], 1, 2, torch.arange(10), 3)
        whole = path.draws.view(3, 10)
        draw([path], 1, 2, torch.tensor([7, 2]), 3)
        assert torch.equal(path.draws.view(3, 2), whole[:, [7, 2]])

    def test_nothing_is_left_out_in_evaluation(self):
        path = DropPath(0.9)
        draw([path], 0, 0, torch.arange(6), 1)
        branch = torch.randn(6, 5)
        assert not torch.equal(path(branch), branch)
        assert torch.equal(path.eval()(branch), branch)

    def test_a_backbone_without_any(self):
        assert take_over(torch.nn.Sequential(torch.nn.Linear(2, 2))) == []
