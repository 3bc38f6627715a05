"""Many processes as one: with 1, 2 and 4 the same loss, terms, gradients and teacher; whole runs under torchrun."""

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

import pytest
import torch
from safetensors.torch import load_file

from codelab.core.errors import UsageError
from codelab.images.encoder import Encoder
from tests.support.training_runs import TINY, drawing, rows, values
from training.folder import locked
from training.loop import fit

WORKER = Path(__file__).parents[2] / "tests" / "support" / "gradient_worker.py"
SMALL_VIT = {"backbone": "test_vit", "image_size": 32, "store_size": 32, "local_size": 16, "drop_path": 0.3}
CASES = {
    "bits": {},
    "centred": {"centred": True, "rate_views": "all"},
    "simdino": {"objective": "simdino", "beta": 1.0},
    "dino": {"objective": "dino", "prototypes": 24, "freeze_epochs": 0},
    "hashcoder": {"objective": "hashcoder"},
    "vit": {**SMALL_VIT, "head_norm": "none", "clip_by": "global"},
    "vit in parts": {**SMALL_VIT, "head_norm": "none", "clip_by": "global", "accumulate": 2},
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
def found(tmp_path_factory, pictures):
    """What 1, 2 and 4 processes found."""
    folder = tmp_path_factory.mktemp("gradients")
    configs = {
        name: dataclasses.replace(TINY, data=str(pictures), lr=1e-3, **changes).to_dict()
        for name, changes in CASES.items()
    }
    (folder / "configs.json").write_text(json.dumps(configs))
    outputs = {}
    for processes in (1, 2, 4):
        out = folder / f"{processes}.safetensors"
        assert torchrun(processes, WORKER, folder / "configs.json", out).wait(240) == 0
        outputs[processes] = load_file(out)
    return outputs


def apart(a, case_a, b, case_b, part):
    """How far two sets of tensors lie apart, as a share of their length; rounding alone gives some 1e-6.

    All tensors together: the gradient of a bias before a BatchNorm is 0 but for rounding.
    """
    names = [name.removeprefix(case_a) for name in a if name.startswith(f"{case_a}/{part}")]
    one, two = (torch.cat([found[case + n].flatten() for n in names]) for found, case in ((a, case_a), (b, case_b)))
    return ((one - two).norm() / one.norm().clamp(min=1e-12)).item()


class TestOneBatch:
    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize("processes", [2, 4])
    def test_is_the_same_for_any_number_of_processes(self, found, case, processes):
        alone, shared = found[1], found[processes]
        assert alone.keys() == shared.keys()
        assert shared[f"{case}/terms"].tolist() == pytest.approx(alone[f"{case}/terms"].tolist(), rel=2e-5)
        for part in ("gradient", "teacher", "centre"):
            assert apart(alone, case, shared, case, part) < 1e-4, part

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
