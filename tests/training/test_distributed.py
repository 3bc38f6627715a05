"""Many processes as one: with 1, 2 and 4 the same loss, terms, gradients and teacher; whole runs under torchrun."""

import copy
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

from codelab.core.errors import UsageError
from codelab.images.encoder import Encoder
from tests.support.training_runs import TINY, drawing, rows, values
from training.distributed import GlobalBatchNorm, share_norms
from training.folder import locked
from training.loop import fit

WORKER = Path(__file__).parents[2] / "tests" / "support" / "gradient_worker.py"
SMALL_VIT = {"backbone": "test_vit", "image_size": 32, "store_size": 32, "local_size": 16, "drop_path": 0.3}
NORMED = ("test_resnet", "regnety_002", "mobilenetv3_small_050")
"""A network with plain BatchNorm, and two with timm's BatchNorm that ends in an activation."""
# their weights stay as drawn, and no bit turns by rounding: what differs is the gradient alone
STILL = {"image_size": 32, "store_size": 64, "local_views": 0, "drop_path": 0.0, "lr": 0.0, "objective": "simdino"}
CASES = {
    "bits": {},
    "centred": {"centred": True, "rate_views": "all"},
    "simdino": {"objective": "simdino", "beta": 1.0},
    "dino": {"objective": "dino", "prototypes": 24, "freeze_epochs": 0},
    "hashcoder": {"objective": "hashcoder"},
    "vit": {**SMALL_VIT, "head_norm": "none", "clip_by": "global"},
    "vit in parts": {**SMALL_VIT, "head_norm": "none", "clip_by": "global", "accumulate": 2},
    **{name: {**STILL, "backbone": name} for name in NORMED},
}


def torchrun(processes, *arguments, **options):
    """A started `torchrun`; its processes compute on one thread each."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, *map(str, arguments)], env=env, **options)


def descendants(pid):
    """The processes it started, and those they started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    found = [child for child, parent in parents.items() if parent == pid]
    return found + [deeper for child in found for deeper in descendants(child)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for i in range(48):
        (folder / f"{i:03d}.png").write_bytes(drawing(i))
    return folder


@pytest.fixture(scope="module")
def textures(tmp_path_factory):
    """Pictures without flat areas: of a channel that hardly varies, BatchNorm makes rounding large."""
    folder = tmp_path_factory.mktemp("textures")
    for i in range(48):
        coarse = np.random.default_rng(i).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 40), Image.Resampling.BICUBIC).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture(scope="module")
def found(tmp_path_factory, textures):
    """What 1, 2 and 4 processes found."""
    folder = tmp_path_factory.mktemp("gradients")
    configs = {
        name: dataclasses.replace(TINY, **{"data": str(textures), "lr": 1e-3, **changes}).to_dict()
        for name, changes in CASES.items()
    }
    for processes in (1, 2, 4):
        some = {name: config for name, config in configs.items() if processes < 4 or name not in NORMED}
        (folder / f"{processes}.json").write_text(json.dumps(some))
    subprocess.run([sys.executable, WORKER, folder], check=True, timeout=240)
    return {processes: load_file(folder / f"{processes}.safetensors") for processes in (1, 2, 4)}


def apart(a, case_a, b, case_b, part):
    """How far two sets of tensors lie apart, as a share of their length; rounding alone gives some 1e-6.

    All tensors together: the gradient of a bias before a BatchNorm is 0 but for rounding.
    """
    names = [name.removeprefix(case_a) for name in a if name.startswith(f"{case_a}/{part}")]
    one, two = (torch.cat([found[case + n].flatten() for n in names]) for found, case in ((a, case_a), (b, case_b)))
    return ((one - two).norm() / one.norm().clamp(min=1e-12)).item()


def gradients(network, images):
    """Features in training mode, and what one backward pass leaves."""
    features = network.train()(images)
    features.square().mean().backward()
    return features, torch.cat([p.grad.flatten() for p in network.parameters()]), dict(network.named_buffers())


class TestNorms:
    @pytest.mark.parametrize("name", NORMED)
    def test_a_network_with_shared_norms_is_the_same_network(self, name, monkeypatch):
        """Features, gradient and running statistics, of the batch that one process has alone."""
        torch.manual_seed(0)
        plain = timm.create_model(name, num_classes=0)
        shared = copy.deepcopy(plain)
        with monkeypatch.context() as patch:
            patch.setattr("training.distributed.world", lambda: 2)
            share_norms(shared)
        assert any(isinstance(module, GlobalBatchNorm) for module in shared.modules())
        assert plain.state_dict().keys() == shared.state_dict().keys()
        images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        (a, gradient_a, buffers_a), (b, gradient_b, buffers_b) = (gradients(n, images) for n in (plain, shared))
        assert ((a - b).norm() / a.norm()).item() < 1e-4
        assert ((gradient_a - gradient_b).norm() / gradient_a.norm()).item() < 1e-3
        for key, buffer in buffers_a.items():
            torch.testing.assert_close(buffers_b[key], buffer, rtol=1e-3, atol=1e-4)
        with torch.no_grad():
            torch.testing.assert_close(shared.eval()(images), plain.eval()(images), rtol=1e-3, atol=1e-4)

    def test_a_norm_with_a_forward_pass_of_its_own_is_refused(self, monkeypatch):
        class Odd(torch.nn.BatchNorm2d):
            def forward(self, input):
                return super().forward(input).relu()

        monkeypatch.setattr("training.distributed.world", lambda: 2)
        with pytest.raises(
            UsageError, match="backbone: its Odd cannot be shared by several processes, expected Batch"
        ):
            share_norms(torch.nn.Sequential(Odd(3)))


class TestOneBatch:
    @pytest.mark.parametrize(
        ("case", "processes"), [(case, n) for case in CASES for n in (2, 4) if n < 4 or case not in NORMED]
    )
    def test_is_the_same_for_any_number_of_processes(self, found, case, processes):
        alone, shared = found[1], found[processes]
        assert {key for key in alone if key.startswith(f"{case}/")} <= shared.keys()
        rounding = 1e-3 if case in NORMED else 1e-4  # each of some 40 norms adds to it
        assert shared[f"{case}/terms"].tolist() == pytest.approx(alone[f"{case}/terms"].tolist(), rel=rounding / 5)
        for part in ("gradient", "teacher", "centre"):
            assert apart(alone, case, shared, case, part) < rounding, part

    def test_is_the_same_in_parts(self, found):
        for part in ("terms", "gradient", "teacher"):
            assert apart(found[1], "vit", found[1], "vit in parts", part) < 1e-4, part

    def test_has_gradients_that_are_not_all_zero(self, found):
        for case in CASES:
            largest = max(v.abs().max().item() for k, v in found[1].items() if k.startswith(f"{case}/gradient"))
            assert largest > 1e-3, case


@pytest.fixture(scope="module")
def alone(tmp_path_factory, pictures):
    """The run of one process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = fit(whole_run(pictures, tmp_path_factory.mktemp("alone") / "run"), show=False)
    torch.set_num_threads(threads)
    return run


def whole_run(pictures, run):
    changes = {"lr": 3e-3, "epochs": 12, "reset_every": 4, "log_every": 1, "evaluate_every": 6}
    return dataclasses.replace(TINY, data=str(pictures), run=str(run), **changes)


class TestWholeRun:
    def start(self, tmp_path, pictures, processes, *flags, **options):
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps(whole_run(pictures, tmp_path / "run").to_dict()))
        return torchrun(processes, "-m", "training", path, *flags, **options)

    def test_two_processes_killed_and_resumed_by_one_are_one_that_was_not(self, tmp_path, pictures, alone):
        log = tmp_path / "run" / "metrics.jsonl"
        process = self.start(tmp_path, pictures, 2, stderr=subprocess.DEVNULL)
        target = random.randint(4, 20)
        while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= target):
            time.sleep(0.005)
        for pid in [process.pid, *descendants(process.pid)]:  # the workers have a process group of their own
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert process.wait() != 0
        assert not (tmp_path / "run" / "encoder.safetensors").exists()
        while True:  # a process killed a moment ago may still hold the folder
            with suppress(UsageError), locked(tmp_path / "run"):
                break
        fit(whole_run(pictures, tmp_path / "run"), resume=True, show=False)
        ours, reference = rows(tmp_path / "run"), rows(alone)
        assert values(ours, "step", "resets") == values(reference, "step", "resets")
        for a, b in zip(ours, reference, strict=True):
            assert a["loss"] == pytest.approx(b["loss"], rel=2e-2, abs=2e-3), a["step"]  # rounding grows over steps
        trained = Encoder.load(tmp_path / "run" / "encoder.safetensors")
        assert trained.config.training["objective"] == "bits"

    def test_sigterm_saves_and_exits_and_one_line_says_so(self, tmp_path, pictures):
        process = self.start(tmp_path, pictures, 2, "--epochs", "500", stderr=subprocess.PIPE, text=True)
        log = tmp_path / "run" / "metrics.jsonl"
        while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= 3):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
        assert errors.count("go on with --resume") == 1
        saved = load_file(tmp_path / "run" / "checkpoint.safetensors")
        assert saved

    def test_a_batch_that_cannot_be_shared_is_refused_once(self, tmp_path, pictures):
        done = self.start(tmp_path, pictures, 3, "--batch", "16", stderr=subprocess.PIPE, text=True)
        _, errors = done.communicate(timeout=120)
        assert done.returncode != 0
        line = "config: batch is 16, expected a multiple of 3 processes"
        assert errors.count(line) == 1

    def test_a_signal_to_every_process_saves_too_however_seldom_metrics_are_read(self, tmp_path, pictures):
        """A scheduler tells all processes, and torchrun tells its own once more."""
        flags = ("--epochs", "5000", "--log-every", "100000", "--save-every", "100000", "--evaluate-every", "0")
        process = self.start(tmp_path, pictures, 2, *flags, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (tmp_path / "run" / "metrics.jsonl").exists():
            time.sleep(0.01)
        time.sleep(1)
        for pid in [*descendants(process.pid), process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
        assert errors.count("go on with --resume") == 1
        assert load_file(tmp_path / "run" / "checkpoint.safetensors")

    def test_compiled_in_parts_with_flags_that_torchrun_has_too(self, tmp_path, pictures):
        path = tmp_path / "config.yaml"
        config = dataclasses.replace(whole_run(pictures, tmp_path / "other"), **SMALL_VIT, head_norm="none")
        config = dataclasses.replace(config, local_views=0)  # one size to compile
        path.write_text(json.dumps(config.to_dict()))
        flags = ("--compile", "on", "--accumulate", "2", "--epochs", "4", "--run", tmp_path / "run")
        process = torchrun(2, "-m", "--", "training", path, *flags, stderr=subprocess.PIPE, text=True)
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        assert "failed" not in errors
        assert (tmp_path / "run" / "encoder.safetensors").exists()

    def test_what_ends_one_process_ends_the_others_without_a_traceback(self, tmp_path, pictures):
        folder = tmp_path / "torn"
        shutil.copytree(pictures, folder)
        (folder / "003.png").write_bytes(b"torn")
        path = tmp_path / "config.yaml"
        config = dataclasses.replace(whole_run(folder, tmp_path / "run"), store="stream", evaluate_every=0)
        path.write_text(json.dumps(config.to_dict()))
        process = torchrun(2, "-m", "training", path, stderr=subprocess.PIPE, text=True)
        _, errors = process.communicate(timeout=120)
        assert process.returncode != 0
        assert errors.count("003.png: not a readable image") == 1
        assert "[rank" not in errors  # torchrun itself says at length that its processes ended; ours do not

    def test_images_that_any_process_could_not_read_are_listed(self, tmp_path, pictures):
        folder = tmp_path / "torn"
        shutil.copytree(pictures, folder)
        for i in (3, 20, 40):
            (folder / f"{i:03d}.png").write_bytes(b"torn")
        path = tmp_path / "config.yaml"
        config = dataclasses.replace(whole_run(folder, tmp_path / "run"), skip_bad=True, store="stream", **SMALL_VIT)
        config = dataclasses.replace(config, head_norm="none", evaluate_every=0, epochs=4)
        path.write_text(json.dumps(config.to_dict()))
        assert torchrun(2, "-m", "training", path).wait(120) == 0
        listed = (tmp_path / "run" / "unreadable.txt").read_text().splitlines()
        assert [Path(line.split(": not")[0]).name for line in listed] == ["003.png", "020.png", "040.png"]
