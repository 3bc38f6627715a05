"""The demo end to end on the real drawings, with a short training: every file is there and says what was measured."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

import codelab
from codelab.cli.main import main
from codelab.images.encoder import Encoder
from codelab.images.sources import open_images
from tests.conftest import ROOT
from training.trainer import Run

SHORT = {"epochs: 18": "epochs: 2", "warmup_epochs: 3": "warmup_epochs: 1", "reset_every: 0": "reset_every: 1"}
SHORT |= {"width: 32": "width: 16"}
SEED = 5


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The demo's config with two epochs of a narrower network, which the command takes for its own."""
    text = (ROOT / "configs" / "demo.yaml").read_text()
    for long, short in SHORT.items():
        assert text.count(f"\n{long}\n") == 1
        text = text.replace(f"\n{long}\n", f"\n{short}\n")
    path = tmp_path_factory.mktemp("recipe") / "demo.yaml"
    path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("codelab.cli.train.shipped", lambda name: path)
        yield


def call(run):
    return ["demo", "--no-serve", "--out", str(run), "--seed", str(SEED)]


@pytest.fixture(scope="module")
def interrupted(recipe, tmp_path_factory):
    """A run that got SIGTERM in its second step: its folder, exit code and last line."""
    folder, step, err = tmp_path_factory.mktemp("runs") / "demo", Run.train_step, io.StringIO()

    def stopping(self, *arguments):
        step(self, *arguments)
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(err):
        patch.setattr(Run, "train_step", stopping)
        code = main(call(folder))
    return folder, code, err.getvalue().splitlines()[-1]


@pytest.fixture(scope="module")
def run(interrupted):
    """That run, continued to its end by the same call."""
    folder = interrupted[0]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "near copies")  # the demo says which they are
        assert main(call(folder)) == 0
    return folder


def test_the_run_folder_holds_everything(run):
    for name in ("encoder.safetensors", "untrained.safetensors", "codes.parquet", "results.json", "report.html"):
        assert (run / name).stat().st_size > 1000, name
    codes = codelab.load(run / "codes.parquet")
    assert codes.splits == ["test"]
    assert codes.meta["encoder"]["sha256"] == Encoder.load(run / "encoder.safetensors").sha256
    assert "OpenMoji" in codes.meta["data"]["attribution"]
    assert codes.items["thumbnail"].null_count == 0


def test_the_held_out_half_was_not_trained_on(run):
    seen = set(open_images("demo", split="train").items["emoji"].to_pylist())
    assert not seen & set(codelab.load(run / "codes.parquet").items["emoji"].to_pylist())
    assert Encoder.load(run / "encoder.safetensors").config.training["split"] == "train"


def test_the_comparison_is_what_the_measures_say(run):
    results = json.loads((run / "results.json").read_text())
    trained, untrained, pixels = results["comparison"]["scores"]
    codes = codelab.load(run / "codes.parquet")
    measured = codelab.retrieval_map(codes, groups="emoji", average="class")
    assert trained["code_map"] == pytest.approx(measured.value)
    assert trained["entropy"] == pytest.approx(codelab.bit_usage(codes).value)
    assert untrained["name"] == "untrained"
    assert untrained["code_map"] != trained["code_map"]
    assert pixels["code_map"] is None  # pixels have no bits
    assert 0.2 < pixels["feature_map"] < 0.4
    assert results["analysis"]["bit_usage"]["source"]["sha256"] == codes.sha256
    emoji = len(set(codes.items["emoji"].to_pylist()))
    for section in ("bit_usage", "class_information", "bit_reuse"):
        assert results["analysis"][section]["groups"] == emoji
    assert "near copies share one emoji" in (run / "report.html").read_text()
    assert pixels["name"] == "16x16 pixels"


def test_class_averaged_map_against_a_plain_loop(run):
    """Expected average precision by averaging 400 random tie orders, over a sample of queries."""
    codes = codelab.load(run / "codes.parquet")
    bits, labels = codes.to_bits(), codes.labels
    emoji = np.array(codes.items["emoji"].to_pylist())
    exact = codelab.retrieval_map(codes, groups="emoji").per_query
    rng = np.random.default_rng(0)
    for q in rng.choice(len(codes), 6, replace=False):
        others = np.flatnonzero(emoji != emoji[q])
        distances = (bits[others] != bits[q]).sum(1)
        relevant = labels[others] == labels[q]
        values = []
        for _ in range(400):
            order = np.lexsort((rng.random(len(others)), distances))
            hits = relevant[order]
            places = np.flatnonzero(hits) + 1
            values.append((np.arange(1, len(places) + 1) / places).mean())
        assert exact[q] == pytest.approx(np.mean(values), abs=5 * np.std(values) / 20 + 1e-9)


def test_a_second_run_measures_what_is_trained_already(run, capsys):
    before = (run / "encoder.safetensors").stat().st_mtime_ns
    assert main(call(run)) == 0
    printed = capsys.readouterr()
    assert f"{run}: already trained, --fresh to redo" in printed.err
    assert all(f" {name} " in printed.out for name in ("trained", "untrained", "16x16 pixels"))
    assert printed.out.endswith(f"{run}/: encoder.safetensors, codes.parquet, results.json, report.html\n")
    assert (run / "encoder.safetensors").stat().st_mtime_ns == before


def test_an_interrupted_run_is_continued_by_the_same_call(interrupted, run):
    _, code, last = interrupted
    assert code == 143
    assert re.fullmatch(r"codelab: interrupted: saved at step 2 of \d+; the same call goes on from there", last)
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps[0] == 2
    assert steps == sorted(set(steps))


def test_the_command_never_mixes_two_configs_in_one_run(run):
    """`codelab demo` on a run of another config says so, and touches nothing."""
    before = (run / "encoder.safetensors").stat().st_mtime_ns
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "codelab", *call(run)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2  # the run was made with 2 epochs, the demo's config has more
    assert "config has changed" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (run / "encoder.safetensors").stat().st_mtime_ns == before
