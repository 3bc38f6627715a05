"""Real training runs on small synthetic pictures: they learn, they stop, and they go on as if nothing had happened."""

import dataclasses
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from codelab import DataError, UsageError
from codelab.core.errors import Terminated
from codelab.images.encoder import Encoder
from tests.support.training_runs import TINY, data_of, drawing, image_set, rows, same_tensors, values
from training.data import Data, batches, load_pixels
from training.folder import locked
from training.loop import fit
from training.network import calibrate
from training.schedules import draw_weight
from training.trainer import Run, clip_gradients


@pytest.fixture
def folder(tmp_path):
    """Images on disk, for runs in another process."""
    data = tmp_path / "data"
    data.mkdir()
    for i in range(64):
        (data / f"{i:03d}.png").write_bytes(drawing(i))
    return data


@pytest.fixture
def one_thread():
    """The same number of threads here as in the other process: sums of floats depend on it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class TestLearning:
    def test_views_come_to_agree_while_bits_stay_alive(self, tmp_path):
        config = dataclasses.replace(TINY, epochs=24, lr=0.1, reset_every=0, run=str(tmp_path / "run"))
        run = fit(config, images=image_set(96), show=False)
        log = rows(run)
        first, last = log[0], log[-1]
        assert last["loss"] < first["loss"] - 0.05
        assert last["agreement"] > first["agreement"] + 0.1
        assert last["entropy"] > 0.8
        assert last["dof"] > 3
        assert all(row["warning"] is None for row in log)
        assert last["step"] == 24 * 6

    def test_the_product_is_the_teacher_with_its_config_and_the_control_is_untrained(self, tmp_path):
        config = dataclasses.replace(TINY, control=True, run=str(tmp_path / "run"))
        images = image_set(40)
        run = fit(config, images=images, show=False)
        trained, control = Encoder.load(run / "encoder.safetensors"), Encoder.load(run / "untrained.safetensors")
        expected = {**config.to_dict(), "evaluate_split": "", "evaluate_group": ""}
        assert trained.config.training == {**expected, "draw_weight": draw_weight(config, 2)}
        assert control.config.training == {}
        teacher = {
            k.removeprefix("teacher.encoder."): v
            for k, v in load_file(run / "checkpoint.safetensors").items()
            if k.startswith("teacher.")
        }
        initial = Encoder(trained.config, seed=config.seed)
        for name, parameter in trained.named_parameters():
            assert torch.equal(parameter, teacher[name])
        for name, parameter in control.named_parameters():
            assert torch.equal(parameter, initial.get_parameter(name))
        # statistics of the images as they are: every bit of the control is balanced on them
        pictures = load_pixels(images, config, show=False)[1]
        _, logits = control.encode(torch.cat([pictures.one(i) for i in range(len(pictures))]))
        assert logits.mean(0) / logits.std(0) == pytest.approx(np.zeros(16), abs=0.05)

    def test_the_same_seed_gives_the_same_run_and_another_does_not(self, tmp_path):
        runs = []
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            config = dataclasses.replace(TINY, epochs=4, seed=seed, run=str(tmp_path / name))
            runs.append(values(rows(fit(config, images=image_set(40), show=False)), "loss", "entropy"))
        assert runs[0] == runs[1] != runs[2]

    def test_heads_are_reset_on_time_and_only_then(self, tmp_path, monkeypatch):
        config = dataclasses.replace(TINY, epochs=7, reset_every=2, run=str(tmp_path / "run"))
        weights, step = [], Run.train_step

        def watching(run, *arguments):
            weights.append(run.student.encoder.head[0].weight.detach().clone())
            step(run, *arguments)

        monkeypatch.setattr(Run, "train_step", watching)
        fit(config, images=image_set(32), show=False)
        moved = [float((b - a).abs().mean()) for a, b in itertools.pairwise(weights)]
        drawn = [i + 1 for i, distance in enumerate(moved) if distance > 0.01]  # a step of Adam is far smaller
        assert drawn == [2 * 2, 4 * 2]  # epochs 2 and 4 of 2 steps; epoch 6 is among the last 2

    def test_the_teacher_before_each_reset_is_kept_where_asked_for(self, tmp_path, monkeypatch):
        config = dataclasses.replace(TINY, epochs=6, reset_every=2, log_every=1, run=str(tmp_path / "plain"))
        heads, reset = {}, Run.reset

        def watching(run, epoch):
            heads[run.step] = run.teacher.encoder.head[0].weight.detach().clone()
            reset(run, epoch)

        monkeypatch.setattr(Run, "reset", watching)
        plain = fit(config, images=image_set(32), show=False)
        kept = fit(dataclasses.replace(config, keep_resets=True, run=str(tmp_path / "kept")), images=image_set(32))
        assert not list(plain.glob("before-reset-*"))
        assert sorted(path.name for path in kept.glob("before-reset-*")) == [
            "before-reset-00000004.safetensors",
            "before-reset-00000008.safetensors",
        ]
        for step, head in heads.items():
            encoder = Encoder.load(kept / f"before-reset-{step:08d}.safetensors")
            assert torch.equal(encoder.head[0].weight, head)
        assert values(rows(plain), "loss", "entropy") == values(rows(kept), "loss", "entropy")
        fit(dataclasses.replace(config, run=str(kept)), images=image_set(32), show=False, fresh=True)
        assert not list(kept.glob("before-reset-*"))

    def test_without_the_rate_bits_die_and_the_run_says_so(self, tmp_path, capsys):
        config = dataclasses.replace(
            TINY, beta=0, head_norm="none", epochs=40, reset_every=0, lr=0.1, local_views=0, run=str(tmp_path / "run")
        )
        log = rows(fit(config, images=image_set(64)))
        assert log[-1]["entropy"] < 0.2
        assert "bits are dying" in log[-1]["warning"]
        assert "warning: step" in capsys.readouterr().err

    def test_a_vision_transformer_trains_too(self, tmp_path):
        config = dataclasses.replace(
            TINY, backbone="test_vit", image_size=64, store_size=64, local_size=32, epochs=1, run=str(tmp_path / "run")
        )
        run = fit(config, images=image_set(32), show=False)
        assert np.isfinite(rows(run)[-1]["loss"])


class TestResume:
    def test_a_run_in_two_halves_is_the_whole_run(self, tmp_path, monkeypatch):
        whole = fit(dataclasses.replace(TINY, run=str(tmp_path / "whole")), images=image_set(40), show=False)
        halves = dataclasses.replace(TINY, run=str(tmp_path / "halves"))
        step, stop_at = Run.train_step, 5  # in the middle of an epoch

        def stopping(self, *arguments):
            step(self, *arguments)
            if self.step == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(Run, "train_step", stopping)
        with pytest.raises(Terminated, match="saved at step 5 of 16"):
            fit(halves, images=image_set(40), show=False)
        stop_at = None
        fit(halves, images=image_set(40), resume=True, show=False)
        same_tensors(whole / "checkpoint.safetensors", tmp_path / "halves" / "checkpoint.safetensors")

    @pytest.mark.parametrize(
        ("resume", "fresh", "go_on"),
        [
            (False, False, "go on with --resume"),
            (False, True, "go on with --resume in place of --fresh"),
            (True, False, "the same call goes on from there"),
            (True, True, "the same call without --fresh goes on from there"),
        ],
    )
    def test_an_interrupted_run_says_how_to_go_on(self, tmp_path, monkeypatch, resume, fresh, go_on):
        step = Run.train_step

        def stopping(self, *arguments):
            step(self, *arguments)
            os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(Run, "train_step", stopping)
        config = dataclasses.replace(TINY, run=str(tmp_path / "run"))
        with pytest.raises(KeyboardInterrupt, match=f"^saved at step 1 of 16; {go_on}$"):
            fit(config, images=image_set(40), resume=resume, fresh=fresh, show=False)

    def test_kill_9_then_resume_gives_the_uninterrupted_run(self, tmp_path, folder, one_thread):
        config = dataclasses.replace(TINY, data=str(folder), epochs=40, run=str(tmp_path / "whole"))
        whole = fit(config, show=False)
        config = dataclasses.replace(config, run=str(tmp_path / "killed"))
        killed = tmp_path / "killed"
        path = tmp_path / "killed.yaml"
        path.write_text(json.dumps(config.to_dict()))  # JSON is YAML
        process = subprocess.Popen(
            [sys.executable, "-m", "training", str(path)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.DEVNULL,
        )
        log, target = killed / "metrics.jsonl", random.randint(1, 20)
        while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= target):
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        fit(config, resume=True, show=False)
        assert values(rows(whole), "step", "loss", "agreement_loss") == values(
            rows(killed), "step", "loss", "agreement_loss"
        )
        same_tensors(whole / "checkpoint.safetensors", killed / "checkpoint.safetensors")

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_a_signal_saves_and_gives_its_exit_code(self, tmp_path, folder, number, code):
        config = dataclasses.replace(TINY, data=str(folder), epochs=4000, log_every=1, run=str(tmp_path / "run"))
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps(config.to_dict()))
        process = subprocess.Popen([sys.executable, "-m", "training", str(path)], stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (tmp_path / "run" / "metrics.jsonl").exists():
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == code
        assert "training: interrupted: saved at step" in errors
        assert load_file(tmp_path / "run" / "checkpoint.safetensors")

    def test_a_finished_run_resumes_to_itself(self, tmp_path, capsys):
        config = dataclasses.replace(TINY, epochs=2, reset_every=0, run=str(tmp_path / "run"))
        run = fit(config, images=image_set(40), show=False)
        before = (run / "encoder.safetensors").read_bytes(), rows(run)
        fit(config, images=image_set(40), resume=True)
        assert ((run / "encoder.safetensors").read_bytes(), rows(run)) == before
        assert capsys.readouterr().err == f"{run}: already trained, --fresh to redo\n"
        with pytest.raises(UsageError, match=r"config has changed.*beta"):
            fit(dataclasses.replace(config, beta=0.3), images=image_set(40), resume=True)

    def test_an_earlier_run_is_not_thrown_away_unasked(self, tmp_path):
        config = dataclasses.replace(TINY, epochs=1, reset_every=0, run=str(tmp_path / "run"))
        fit(config, images=image_set(40), show=False)
        with pytest.raises(UsageError, match="already trained; --fresh to redo, or change --run"):
            fit(config, images=image_set(40), show=False)
        (tmp_path / "run" / "encoder.safetensors").unlink()  # as a run that was killed leaves it
        with pytest.raises(UsageError, match="holds a run already; add --resume, or --fresh"):
            fit(config, images=image_set(40), show=False)
        assert len(rows(fit(config, images=image_set(40), fresh=True, show=False))) == 1

    def test_two_runs_never_write_into_one_folder(self, tmp_path):
        config = dataclasses.replace(TINY, epochs=1, reset_every=0, run=str(tmp_path / "run"))
        with locked(tmp_path / "run"), pytest.raises(UsageError, match="another process is training in this folder"):
            fit(config, images=image_set(40), show=False)
        fit(config, images=image_set(40), show=False)

    def test_another_config_cannot_resume(self, tmp_path):
        config = dataclasses.replace(TINY, epochs=1, reset_every=0, run=str(tmp_path / "run"))
        fit(config, images=image_set(40), show=False)
        with pytest.raises(UsageError, match=r"config has changed, so it cannot be resumed: beta 0\.2 to 0\.3"):
            fit(dataclasses.replace(config, beta=0.3), images=image_set(40), resume=True, show=False)

    @pytest.mark.parametrize("keep", [0, 100, -1])
    def test_a_truncated_checkpoint(self, tmp_path, keep):
        config = dataclasses.replace(TINY, epochs=1, reset_every=0, run=str(tmp_path / "run"))
        saved = fit(config, images=image_set(40), show=False) / "checkpoint.safetensors"
        saved.write_bytes(saved.read_bytes()[:keep])
        with pytest.raises(DataError, match="not a whole safetensors file"):
            fit(config, images=image_set(40), resume=True, show=False)


class TestBadData:
    @pytest.mark.parametrize("n", [0, 1, 15])
    def test_fewer_images_than_a_batch(self, tmp_path, n):
        with pytest.raises(DataError, match=f"{n} images? to train on, fewer than a batch of 16"):
            fit(dataclasses.replace(TINY, run=str(tmp_path / "run")), images=image_set(n), show=False)
        assert not (tmp_path / "run").exists()

    def test_more_than_memory_allows(self):
        config = dataclasses.replace(TINY, memory_gb=1e-5, store="memory")
        with pytest.raises(UsageError, match=r"40 images at 16 pixels take .* more than memory_gb 1e-05"):
            Data(image_set(40), config, torch.device("cpu"), show=False)

    def test_an_image_that_cannot_be_read(self):
        broken = dataclasses.replace(image_set(40), read=lambda i: b"" if i == 7 else drawing(i))
        with pytest.raises(DataError, match="1 of 40 images cannot be read, the first: drawing 7: not a readable"):
            load_pixels(broken, TINY, show=False)

    def test_a_loss_that_is_not_finite(self, tmp_path):
        config = dataclasses.replace(TINY, lr=1e30, min_lr=1e30, clip=0, head_norm="none", run=str(tmp_path / "run"))
        with pytest.raises(DataError, match=r"the loss is not finite in [3-9] steps in a row .*nonfinite\.json"):
            fit(config, images=image_set(40), show=False)
        assert not (tmp_path / "run" / "encoder.safetensors").exists()
        named = json.loads((tmp_path / "run" / "nonfinite.json").read_text())
        assert all(len(ids) == 16 for ids in named.values())

    def test_the_command_says_it_in_one_line(self, tmp_path):
        path = tmp_path / "none.yaml"
        path.write_text(f"data: {tmp_path / 'none'}\n")
        done = subprocess.run([sys.executable, "-m", "training", str(path)], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "no such file or folder" in done.stderr


class TestParts:
    def test_batches_cover_each_image_once_in_a_new_order(self):
        a, b = batches(10, 3, 0, 0), batches(10, 3, 0, 1)
        assert a.shape == (3, 3)
        assert len(set(a.flatten().tolist())) == 9
        assert a.tolist() != b.tolist()
        assert a.tolist() == batches(10, 3, 0, 0).tolist()

    @pytest.mark.parametrize("by", ["tensor", "global"])
    def test_clipping(self, by):
        parameters = [torch.nn.Parameter(torch.zeros(4)), torch.nn.Parameter(torch.zeros(2, 2))]
        gradients = [torch.full((4,), 3.0), torch.full((2, 2), 0.1)]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        clip_gradients(parameters, 1.0, by=by)
        if by == "global":
            other = [torch.nn.Parameter(torch.zeros_like(g)) for g in gradients]
            for parameter, gradient in zip(other, gradients, strict=True):
                parameter.grad = gradient.clone()
            torch.nn.utils.clip_grad_norm_(other, 1.0)
            expected = [p.grad for p in other]
        else:
            expected = [gradients[0] / 6, gradients[1]]  # norm 6, and norm 0.2 which is left alone
        for parameter, gradient in zip(parameters, expected, strict=True):
            assert parameter.grad.numpy() == pytest.approx(gradient.numpy(), abs=1e-5)

    def test_no_limit_leaves_gradients_alone(self):
        parameter = torch.nn.Parameter(torch.zeros(4))
        parameter.grad = torch.full((4,), 100.0)
        clip_gradients([parameter], 0.0, by="tensor")
        assert (parameter.grad == 100).all()

    def test_the_teacher_follows_the_student(self):
        data = data_of(torch.randint(0, 256, (16, 3, 16, 16)).byte())
        run = Run(dataclasses.replace(TINY, ema=0.75, ema_end=0.75), data)
        before = [p.clone() for p in run.teacher.parameters()]
        run.train_step(0, next(run.data.steps(0, 1)))
        for old, teacher, student in zip(before, run.teacher.parameters(), run.student.parameters(), strict=True):
            assert teacher.numpy() == pytest.approx((0.75 * old + 0.25 * student).detach().numpy(), abs=1e-6)

    def test_weights_decay_and_biases_do_not(self):
        run = Run(TINY, data_of(torch.zeros(16, 3, 16, 16, dtype=torch.uint8)))
        run.train_step(0, next(run.data.steps(0, 1)))
        decayed, others = run.optimizer.param_groups
        assert decayed["weight_decay"] == pytest.approx(TINY.weight_decay)
        assert others["weight_decay"] == 0
        assert all(p.ndim == 1 for p in others["params"])
        assert {p.ndim for p in decayed["params"]} == {2, 4}

    def test_calibration_does_not_depend_on_what_came_before(self):
        pixels = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8)
        data = data_of(pixels)
        a = Run(TINY, data).teacher.encoder
        b = Run(TINY, data).teacher.encoder
        b(torch.randn(30, 3, 16, 16) * 9)
        for encoder in (a, b):
            calibrate(encoder, data)
        assert a.sha256 == b.sha256
