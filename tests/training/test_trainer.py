"""One step: in half precision, in parts, with dropout, and its clipped gradient."""

import dataclasses
import os
import signal

import pytest
import torch

from codelab import UsageError
from codelab.core.errors import Terminated
from tests.support.training_runs import TINY, data_of, image_set, rows, same_tensors
from training import distributed
from training.crops import multi_crop, uniforms
from training.loop import fit
from training.trainer import Run

VIT = dataclasses.replace(
    TINY, backbone="test_vit", image_size=32, store_size=32, local_size=16, head_norm="none", drop_path=0
)


def run_of(**changes):
    config = dataclasses.replace(VIT, **changes)
    pixels = torch.randint(0, 256, (16, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    run = Run(config, data_of(pixels, config))
    return run, next(run.data.steps(0, 1))


def gradient(scale=None, **changes):
    """The gradient that the optimiser takes."""
    run, batch = run_of(**changes)
    if scale:
        run.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    run.backward(0, batch)
    run.scaler.unscale_(run.optimizer)
    return torch.cat([p.grad.flatten() for p in run.student.parameters()])


class TestHalfPrecision:
    @pytest.mark.parametrize("accumulate", [1, 2])
    def test_the_gradient_is_that_of_fp32_whatever_the_scale(self, accumulate):
        exact = gradient()
        for scale in (2.0**4, 2.0**10):
            found = gradient(scale, precision="fp16", accumulate=accumulate)
            assert ((found - exact).norm() / exact.norm()).item() < 0.02

    def test_a_step_that_overflows_is_skipped_and_halves_the_scale(self):
        run, batch = run_of(precision="fp16")
        run.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
        before = [p.clone() for p in run.student.parameters()]
        run.train_step(0, batch)
        assert all(torch.equal(a, b) for a, b in zip(before, run.student.parameters(), strict=True))
        assert run.scaler.get_scale() == 2.0**39
        assert run.monitor.read()["skipped"] == 1
        run.scaler.update(2.0**8)
        run.train_step(0, batch)
        assert not all(torch.equal(a, b) for a, b in zip(before, run.student.parameters(), strict=True))
        assert run.monitor.read()["skipped"] == 0

    def test_a_run_goes_on_over_the_overflows_of_its_first_steps(self, tmp_path):
        """More in a row than the two that are tolerated in fp32."""
        config = dataclasses.replace(TINY, precision="fp16", log_every=1, run=str(tmp_path / "run"))
        log = rows(fit(config, images=image_set(40), show=False))
        skipped = [row["skipped"] for row in log]
        assert len(log) == 16
        assert skipped[:3] == [1, 1, 1]
        assert sum(skipped) < 8
        assert log[-1]["loss"] > 0

    def test_two_halves_are_the_whole_run(self, tmp_path, monkeypatch):
        config = dataclasses.replace(TINY, precision="fp16", run=str(tmp_path / "whole"))
        whole = fit(config, images=image_set(40), show=False)
        step = Run.train_step

        def stopping(self, *arguments):
            step(self, *arguments)
            if self.step == 5:
                os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(Run, "train_step", stopping)
        config = dataclasses.replace(config, run=str(tmp_path / "halves"))
        with pytest.raises(Terminated):
            fit(config, images=image_set(40), show=False)
        fit(config, images=image_set(40), resume=True, show=False)
        same_tensors(whole / "checkpoint.safetensors", tmp_path / "halves" / "checkpoint.safetensors")

    def test_crops_in_bf16_are_those_that_autocast_makes(self):
        run, batch = run_of(precision="bf16")
        made = run.outputs(0, batch)
        draws = uniforms(run.config.seed, 0, batch.index, torch.arange(2))
        exact = multi_crop(batch.pixels, run.views[:2], draws, precision=torch.bfloat16).flatten(0, 1)
        assert run.crops(0, batch)[0].dtype == torch.bfloat16
        with run.autocast():
            logits, _ = run.teacher(run.teacher.encoder.normalise(exact), None)
        assert torch.equal(made.teacher_logits.flatten(0, 1), logits.float())


class TestDropout:
    def masks(self, monkeypatch, rank=0):
        """What the student's passes leave out: of the two parts without a graph, then with one."""
        run, batch = run_of(accumulate=2)
        monkeypatch.setattr(distributed, "rank", lambda: rank)
        found = []
        dropout = torch.nn.Dropout(0.5)
        dropout.register_forward_hook(lambda module, given, made: found.append(made == 0))
        run.student.encoder.head.insert(1, dropout)
        run.backward(0, batch)
        monkeypatch.undo()
        return found

    def test_each_part_of_each_process_draws_its_own_and_keeps_it(self, monkeypatch):
        one, other = self.masks(monkeypatch), self.masks(monkeypatch, rank=1)
        for masks in (one, other):
            assert len(masks) == 4
            assert torch.equal(masks[0], masks[2])
            assert torch.equal(masks[1], masks[3])
            assert not torch.equal(masks[0], masks[1])
        assert not torch.equal(one[0], other[0])


class TestParts:
    @pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet"])
    def test_are_refused_with_a_batch_norm_that_only_the_network_shows(self, backbone):
        with pytest.raises(UsageError, match=f"accumulate is 2, expected 1, as the backbone {backbone} has a"):
            run_of(backbone=backbone, accumulate=2, local_size=32)
        assert run_of(backbone=backbone, local_size=32)[0].normed
