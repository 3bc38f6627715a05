"""A wrong call never destroys a finished run, and a right one removes what a run wrote and nothing else."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from codelab import CodelabError, UsageError
from codelab.cli.main import main
from tests.support.training_runs import TINY, drawing
from training.config import TrainConfig
from training.loop import fit

MINE = (".notes.mine.tmp", "checkpoint-mine.safetensors", "tensorboard/notes.txt", "codes.parquet")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run with files of its owner beside it, and the images it was trained on."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "in").mkdir()
    for i in range(40):
        (folder / "in" / f"{i:03d}.png").write_bytes(drawing(i))
    config = dataclasses.replace(
        TINY, data=str(folder / "in"), epochs=1, reset_every=0, control=True, run=str(folder / "run"), split="auto"
    )
    fit(config, show=False)
    (folder / "run" / "tensorboard").mkdir()
    for name in MINE:
        (folder / "run" / name).write_text("mine")
    return config, folder


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def again(finished, tmp_path):
    """The config of a copy of that run."""
    config, folder = finished
    shutil.copytree(folder / "run", tmp_path / "run")
    return dataclasses.replace(config, run=str(tmp_path / "run"))


WRONG = {
    "data": {"data": "{}/none"},
    "an empty folder": {"data": "{}/empty"},
    "split": {"split": "nowhere"},
    "batch": {"batch": 4096},
    "init": {"init": "{}/none.safetensors"},
    "an init that is none": {"init": "{}/run/metrics.jsonl"},
    "device": {"device": "cuda"},
    "evaluation data": {"evaluate_data": "{}/none"},
    "evaluation split": {"evaluate_split": "nowhere"},
    "evaluation group": {"evaluate_group": "nowhere"},
    "an unreadable image": {"data": "{}/broken"},
    "an unreadable image to evaluate on": {"evaluate_data": "{}/broken", "evaluate_images": 50},
    "no such backbone": {"backbone": "resnt18"},
    "memory": {"store": "memory", "memory_gb": 1e-6},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_call_leaves_the_earlier_run_as_it_was(what, again, finished, tmp_path):
    if what == "device" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    (tmp_path / "empty").mkdir()
    shutil.copytree(finished[1] / "in", tmp_path / "broken")
    (tmp_path / "broken" / "003.png").write_bytes(b"x")
    before = contents(tmp_path / "run")
    wrong = {name: v.format(tmp_path) if isinstance(v, str) else v for name, v in WRONG[what].items()}
    with pytest.raises(CodelabError):
        fit(dataclasses.replace(again, **wrong), fresh=True, show=False)
    assert contents(tmp_path / "run") == before


def test_a_right_call_removes_what_a_run_wrote_and_nothing_else(again, tmp_path):
    run = tmp_path / "run"
    for name in ("checkpoint-00000001.safetensors", "tensorboard/events.out.tfevents.1.x", "nonfinite.json"):
        (run / name).write_text("ours")
    (run / ".encoder.safetensors.codelab-abc.tmp").write_text("half")
    wrote = contents(run)
    fit(dataclasses.replace(again, seed=1), fresh=True, show=False)
    now = contents(run)
    assert {name: now[name] for name in MINE} == dict.fromkeys(MINE, b"mine")
    assert set(wrote) - set(now) == {
        "checkpoint-00000001.safetensors",
        "tensorboard/events.out.tfevents.1.x",
        "nonfinite.json",
        ".encoder.safetensors.codelab-abc.tmp",
    }
    assert now["encoder.safetensors"] != wrote["encoder.safetensors"]


def test_an_encoder_whose_checkpoint_is_gone_is_not_trained_over(again, tmp_path):
    (tmp_path / "run" / "checkpoint.safetensors").unlink()
    before = contents(tmp_path / "run")
    for resume in (False, True):
        with pytest.raises(UsageError, match=r"holds encoder\.safetensors without its checkpoint; --fresh to redo"):
            fit(again, resume=resume, show=False)
    assert contents(tmp_path / "run") == before


def test_no_name_is_not_the_current_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoint.safetensors").write_text("mine")
    with pytest.raises(UsageError, match="run is '', expected a folder"):
        TrainConfig(run="")
    assert main(["train", "demo", "--run", "", "--fresh"]) == 2
    assert main(["demo", "--out", "", "--fresh", "--no-serve"]) == 2
    assert "expected a folder" in capsys.readouterr().err
    assert contents(tmp_path) == {"checkpoint.safetensors": b"mine"}


def test_a_signal_before_the_first_step_leaves_the_earlier_run(again, tmp_path):
    """The lock is there when the images are about to be read; the run is stopped then."""
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(again.to_dict() | {"seed": 1}))
    before = contents(tmp_path / "run")
    process = subprocess.Popen(
        [sys.executable, "-m", "training", str(path), "--fresh"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not (tmp_path / "run" / ".training.codelab-lock").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 143
    kept = f"the earlier run in {tmp_path / 'run'} is as it was"  # or the run was not looked at yet
    lines = {f"training: interrupted: {words}; the same call starts anew" for words in (kept, "nothing was written")}
    assert errors.splitlines()[-1] in lines
    assert contents(tmp_path / "run") == before
