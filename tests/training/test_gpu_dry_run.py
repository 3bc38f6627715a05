"""Everything that can run on a GPU, on two stand-ins for one: devices do not mix, and no step waits for the device."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from codelab import Codes, geometry, load, search
from codelab.features.moments import block_moments
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.images.export import encode_images, export
from tests.support.dry_gpu import CPU, GPU, ClaimedGpu, FakeGpu, dry_gpu
from tests.support.training_runs import TINY, image_set
from tests.training.test_score import held_out, labelled
from training import score as evaluated
from training.crops import views
from training.data import Data
from training.evaluation import classifiers, probes
from training.score import score
from training.trainer import Run

VIT = replace(TINY, backbone="test_vit", image_size=32, store_size=32, local_size=16, head_norm="none", drop_path=0.1)
CONFIGS = {
    "conv": TINY,
    "parts in bf16": replace(VIT, accumulate=2, precision="bf16"),
    "dino from a stream": replace(VIT, objective="dino", prototypes=24, store="stream", clip_by="global"),
    "fp16": replace(VIT, precision="fp16"),
}
KINDS = (FakeGpu, ClaimedGpu)


def run_on_gpu(config):
    """A run whose images were read on the CPU, as always."""
    data = Data(image_set(40), config, CPU, show=False)
    data.device = GPU
    if data.pixels is not None:
        data.pixels = replace(data.pixels, values=data.pixels.values.to(GPU))
    return Run(config, data)


class TestStandIns:
    """They refuse what CUDA refuses, and list what waits."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_devices_do_not_mix(self, kind):
        with dry_gpu(kind()):
            x = torch.ones(3, device=GPU)
            assert (x + torch.ones(())).device == GPU
            y = torch.ones(3)
            for mixed in (lambda: x + y, lambda: y * x, lambda: torch.stack([x, y]), lambda: x.add_(y)):
                with pytest.raises(RuntimeError, match=r"same device|and on the CPU"):
                    mixed()
            with pytest.raises((RuntimeError, TypeError)):
                x.numpy()

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        "read",
        [
            lambda x: x[0].item(),
            lambda x: x.tolist(),
            lambda x: bool(x.any()),
            lambda x: float(x.sum()),
            lambda x: x.cpu(),
            lambda x: x.to("cpu"),
            lambda x: x.nonzero(),
            lambda x: x[x > 0],
            lambda x: torch.equal(x, x),
        ],
    )
    def test_what_waits_is_listed(self, kind, read):
        with dry_gpu(kind()) as gpu:
            x = torch.ones(3, device=GPU)
            (x * 2)[:1].clamp_(max=1).sum()
            x[x > 2] = 0.0
            assert not gpu.waits
            read(x)
            assert gpu.waits

    def test_copies_from_memory_that_is_not_pinned_are_listed(self):
        with dry_gpu(ClaimedGpu()) as gpu:
            torch.ones(3).pin_memory().to(GPU, non_blocking=True)
            assert not gpu.waits
            torch.ones(3).to(GPU, non_blocking=True)
            torch.tensor([1.0, 2.0], device=GPU)
            torch.ones(3, device=GPU)[torch.tensor([0])]
            assert len(gpu.waits) == 3


class TestStep:
    def test_of_tensors_without_numbers(self):
        with dry_gpu(FakeGpu()) as gpu:
            run = run_on_gpu(VIT)
            run.train_step(0, next(run.data.steps(0, 1)))
            assert not gpu.waits
            run.monitor.read()
            assert gpu.waits

    @pytest.mark.parametrize("name", CONFIGS)
    def test_of_tensors_with_numbers(self, name):
        with dry_gpu(ClaimedGpu()) as gpu:
            run = run_on_gpu(CONFIGS[name])
            batches = run.data.steps(0, 2)
            run.train_step(0, next(batches))  # it copies constants
            run.reset(0)
            gpu.waits.clear()
            run.train_step(0, next(batches))
            assert not gpu.waits
            assert all(parameter.device == GPU for parameter in run.student.parameters())
            run.monitor.read()
            assert gpu.waits

    @pytest.mark.parametrize("name", CONFIGS)
    def test_the_pass_that_is_made_for_the_compiler(self, name):
        with dry_gpu(ClaimedGpu()):
            run = run_on_gpu(CONFIGS[name])
            run._probe()
            assert all(parameter.grad is None for parameter in run.student.parameters())

    def test_a_transformer_adds_up_in_bf16(self):
        """By the rules of CUDA's own autocast."""
        with dry_gpu(FakeGpu(backward=False)):
            run, kinds = run_on_gpu(replace(VIT, precision="bf16", local_views=0)), []
            for block in run.teacher.encoder.backbone.blocks:
                block.register_forward_hook(lambda module, given, made: kinds.extend((given[0].dtype, made.dtype)))
            wide, _ = run.crops(0, next(run.data.steps(0, 1)))
            with run.autocast():
                run.teacher(wide, None)
        assert wide.dtype == torch.bfloat16
        assert set(kinds) == {torch.bfloat16}

    def test_a_batch_is_copied_on_a_stream_of_its_own(self):
        with dry_gpu(ClaimedGpu()) as gpu:
            data = Data(image_set(40), CONFIGS["dino from a stream"], CPU, show=False)
            expected = list(data.steps(0, 2))
            data.device = GPU
            gpu.waits.clear()
            for number, (batch, same) in enumerate(zip(data.steps(0, 2), expected, strict=True)):
                now = torch.cuda.current_stream(GPU)
                assert now.waited == [data._copies] * (number + 1)
                assert gpu.recorded == [now] * (2 * number + 2)
                assert not gpu.waits
                assert batch.index.device == batch.pixels.device == GPU
                assert torch.equal(batch.pixels.values.cpu(), same.pixels.values)
                gpu.waits.clear()

    def test_the_gradient_is_that_of_a_cpu(self):
        """Up to the pixels, which a GPU cuts by products."""
        found = {}
        for kind in ("cpu", "gpu"):
            config = replace(VIT, accumulate=2)
            if kind == "cpu":
                run = Run(config, Data(image_set(40), config, CPU, show=False))
                terms = run.backward(0, next(run.data.steps(0, 1))).terms
                gradient = torch.cat([p.grad.flatten() for p in run.student.parameters()])
            else:
                with dry_gpu(ClaimedGpu()):
                    run = run_on_gpu(config)
                    terms = run.backward(0, next(run.data.steps(0, 1))).terms
                    gradient = torch.cat([p.grad.flatten() for p in run.student.parameters()]).cpu()
            found[kind] = terms.loss.item(), gradient
        assert found["gpu"][0] == pytest.approx(found["cpu"][0], rel=1e-3)
        assert torch.cosine_similarity(found["cpu"][1], found["gpu"][1], dim=0) > 0.99

    def test_a_run_is_saved_and_goes_on(self, tmp_path):
        with dry_gpu(ClaimedGpu()):
            run = run_on_gpu(TINY)
            batches = list(run.data.steps(0, 2))
            run.train_step(0, batches[0])
            run.save(tmp_path / "run.safetensors")
            again = run_on_gpu(TINY)
            again.load(tmp_path / "run.safetensors")
            for one in (run, again):
                one.train_step(0, batches[1])
            for a, b in zip(run.student.parameters(), again.student.parameters(), strict=True):
                assert a.device == b.device == GPU
                assert torch.equal(a, b)


class TestTheRest:
    """It may wait, and must not mix."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_product_and_evaluation(self, kind, monkeypatch):
        held, places = held_out(labelled(40), TINY), []
        augment = evaluated.augment
        monkeypatch.setattr(
            evaluated, "augment", lambda pixels, *rest: places.append(pixels.device) or augment(pixels, *rest)
        )
        with dry_gpu(kind()):
            product = run_on_gpu(TINY).product({})
            assert next(product.parameters()).device == GPU
            found = score(product, held, views(TINY))
        assert found["images"] == 40
        assert places == [GPU, GPU]
        if kind is ClaimedGpu:
            expected = score(Run(TINY, Data(image_set(40), TINY, CPU, show=False)).product({}), held, views(TINY))
            for name in ("entropy", "agreement", "code_map"):
                assert found[name] == pytest.approx(expected[name], abs=0.05), name

    @pytest.mark.parametrize("kind", KINDS)
    def test_export(self, kind):
        encoder = Encoder(EncoderConfig(width=4, bits=16, hidden=8, image_size=16)).eval()
        how = {"logits": True, "features": True, "progress": False}
        expected = encode_images(encoder, image_set(9), device="cpu", **how)
        with dry_gpu(kind()):
            found = encode_images(encoder, image_set(9), device="cuda:0", **how)
        assert found.features.shape == expected.features.shape
        if kind is ClaimedGpu:
            np.testing.assert_allclose(found.features, expected.features, atol=0.02)

    def test_a_file_says_how_it_was_computed(self, tmp_path):
        encoder = Encoder(EncoderConfig(width=4, bits=16, hidden=8, image_size=16)).eval()
        export(encoder, image_set(9), tmp_path / "cpu.parquet", device="cpu", progress=False)
        with dry_gpu(ClaimedGpu()):
            export(encoder, image_set(9), tmp_path / "gpu.parquet", device="cuda:0", progress=False)
        found = [load(tmp_path / f"{name}.parquet").meta["precision"] for name in ("cpu", "gpu")]
        assert found == ["fp32", "bf16"]

    @pytest.mark.parametrize("kind", KINDS)
    def test_probes(self, kind, monkeypatch):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(60, 8)).astype(np.float32)
        both = [x, (x[:, 0] > 0).astype(int)] * 2
        expected = probes.linear_probe(*both, penalties=(0.1,)).value
        with dry_gpu(kind()):
            linear = probes.linear_probe(*both, penalties=(0.1,), device="cuda:0")
            mlp = probes.mlp_probe(*both, device="cuda:0", epochs=1, hidden=4, decays=(0.1,))
            monkeypatch.setattr(probes, "MANY", 10)
            monkeypatch.setattr(classifiers, "SGD_EPOCHS", 2)
            sgd = probes.linear_probe(*both, device="cuda:0")
        assert kind is FakeGpu or linear.value == pytest.approx(expected, abs=0.02)
        assert all(0 <= probe.value <= 1 for probe in (mlp, sgd))

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("how", [{"k": 3}, {"radius": 8}, {"k": 3, "weights": np.arange(20)}])
    def test_search(self, kind, how):
        codes = Codes.from_bits(np.random.default_rng(0).random((50, 20)) < 0.5)
        expected = search(codes, codes[:7], **how)
        with dry_gpu(kind()):
            found = search(codes, codes[:7], device="cuda:0", **how)
        assert len(found.indices) == 7 or "radius" in how
        if kind is ClaimedGpu:
            assert np.array_equal(found.indices, expected.indices)
            assert np.array_equal(found.distances, expected.distances)

    @pytest.mark.parametrize("kind", KINDS)
    def test_geometry(self, kind):
        x = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
        with dry_gpu(kind()):
            assert block_moments([x[:30], x[30:]], covariance=True, device="cuda:0").covariance.shape == (8, 8)
            if kind is ClaimedGpu:
                assert geometry(x, device="cuda:0").d_eff == pytest.approx(geometry(x).d_eff)
