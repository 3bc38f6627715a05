"""What is kept: the last n and the best, whole files only; steps without a finite loss; memory that runs out."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from codelab import DataError, UsageError
from codelab.core.errors import first_line
from codelab.images.encoder import Encoder
from tests.support.training_runs import TINY, drawing, image_set, rows, same_tensors
from training import checkpoint
from training.loop import fit
from training.trainer import Run

LABELLED = dataclasses.replace(TINY, evaluate_every=1, epochs=4, reset_every=0)


def labelled(n):
    images = image_set(n)
    labels = np.array([np.random.default_rng(i).integers(1, 7) % 2 for i in range(n)], np.int32)
    return dataclasses.replace(images, labels=labels, classes=("a", "b"))


def spoil(monkeypatch, *steps):
    """Crops of these steps hold a NaN, as a broken decoder's would."""
    crops = Run.crops

    def spoiled(run, epoch, batch):
        wide, local = crops(run, epoch, batch)
        if run.step in steps:
            wide = wide.clone()
            wide[0, 0, 0, 0] = float("nan")
        return wide, local

    monkeypatch.setattr(Run, "crops", spoiled)


class TestKept:
    def test_the_last_n_and_the_best(self, tmp_path, capsys):
        config = dataclasses.replace(LABELLED, keep_last=2, run=str(tmp_path / "run"))
        run = fit(config, images=labelled(40))
        names = sorted(path.name for path in run.glob("checkpoint*.safetensors"))
        assert names == [
            "checkpoint-00000006.safetensors",
            "checkpoint-00000008.safetensors",
            "checkpoint-best.safetensors",
            "checkpoint.safetensors",
        ]
        same_tensors(run / "checkpoint.safetensors", run / "checkpoint-00000008.safetensors")
        scores = [json.loads(line) for line in (run / "evaluation.jsonl").read_text().splitlines()]
        assert [row["step"] for row in scores] == [2, 4, 6, 8]
        printed = [line for line in capsys.readouterr().err.splitlines() if "code mAP" in line]
        for i, (line, row) in enumerate(zip(printed, scores, strict=True)):
            assert line.startswith(f"epoch {i + 1}/4  code mAP {row['code_map']:.3f}, feature mAP")
            assert line.endswith(" on 40 images, the best so far" if row["best"] else " on 40 images")
        values = [row["code_map"] for row in scores]
        assert [row["best"] for row in scores] == [v > max(values[:i], default=-1) for i, v in enumerate(values)]
        best = max(range(4), key=values.__getitem__)
        kept = {
            k.removeprefix("teacher.encoder."): v
            for k, v in load_file(run / "checkpoint-best.safetensors").items()
            if k.startswith("teacher.encoder.")
        }
        teacher = Encoder.load(run / "best.safetensors")
        assert (teacher.head[0].weight == kept["head.0.weight"]).all()
        if best == 3:
            same_tensors(run / "checkpoint-best.safetensors", run / "checkpoint.safetensors")

    def test_one_alone_has_no_number(self, tmp_path):
        run = fit(dataclasses.replace(LABELLED, run=str(tmp_path / "run")), images=labelled(40), show=False)
        assert not list(run.glob("checkpoint-0*"))

    def test_a_resumed_run_keeps_the_best_of_before(self, tmp_path):
        whole = fit(dataclasses.replace(LABELLED, run=str(tmp_path / "whole")), images=labelled(40), show=False)
        config = dataclasses.replace(LABELLED, run=str(tmp_path / "halves"))
        fit(config, images=labelled(40), show=False)
        first = [json.loads(line) for line in (whole / "evaluation.jsonl").read_text().splitlines()]
        fit(config, images=labelled(40), resume=True, show=False)
        assert [json.loads(line) for line in (tmp_path / "halves/evaluation.jsonl").read_text().splitlines()] == first

    def test_moments_and_schedules_go_on(self, tmp_path):
        run = fit(dataclasses.replace(TINY, epochs=2, reset_every=0, run=str(tmp_path / "run")), images=image_set(40),
                  show=False)  # fmt: skip
        tensors = load_file(run / "checkpoint.safetensors")
        kinds = {name.split(".")[0] for name in tensors}
        assert kinds == {"student", "teacher", "objective", "optimizer"}
        assert tensors["optimizer.step.encoder.head.0.weight"].item() == 4
        assert tensors["optimizer.exp_avg_sq.encoder.head.0.weight"].abs().sum() > 0


class TestForeign:
    def test_tensors_of_another_architecture_are_named(self, tmp_path):
        config = dataclasses.replace(TINY, epochs=1, reset_every=0, run=str(tmp_path / "run"))
        saved = fit(config, images=image_set(40), show=False) / "checkpoint.safetensors"
        from safetensors import safe_open

        with safe_open(saved, "pt") as file:
            metadata = file.metadata()
        tensors = load_file(saved)
        tensors["student.encoder.backbone.0.0.weight"] = torch.zeros(9, 3, 3, 3)
        del tensors["student.encoder.head.0.bias"]
        save_file(tensors, saved, metadata)
        (tmp_path / "run" / "encoder.safetensors").unlink()  # as a run that was killed leaves it
        with pytest.raises(DataError) as error:
            fit(config, images=image_set(40), resume=True, show=False)
        assert "missing encoder.head.0.bias" in str(error.value)
        assert "misshapen encoder.backbone.0.0.weight [9, 3, 3, 3] for [4, 3, 3, 3]" in str(error.value)
        assert "\n" not in str(error.value)

    def test_another_backbone_cannot_resume(self, tmp_path):
        config = dataclasses.replace(TINY, epochs=1, reset_every=0, run=str(tmp_path / "run"))
        fit(config, images=image_set(40), show=False)
        with pytest.raises(UsageError, match="width 4 to 6"):
            fit(dataclasses.replace(config, width=6), images=image_set(40), resume=True, show=False)

    def test_images_that_were_moved_can_resume(self, tmp_path):
        here, there = tmp_path / "here", tmp_path / "there"
        here.mkdir()
        for i in range(40):
            (here / f"{i:02d}.png").write_bytes(drawing(i))
        config = dataclasses.replace(TINY, data=str(here), epochs=2, reset_every=0, run=str(tmp_path / "run"))
        whole = fit(dataclasses.replace(config, run=str(tmp_path / "whole")), show=False)
        half = fit(dataclasses.replace(config, save_every=1), show=False)
        here.rename(there)
        moved = dataclasses.replace(config, data=str(there))
        fit(moved, resume=True, show=False)  # it is trained already
        (half / "encoder.safetensors").unlink()
        fit(moved, resume=True, show=False)
        same_tensors(whole / "encoder.safetensors", half / "encoder.safetensors")
        assert Encoder.load(half).config.training["data"] == str(there)
        for path in there.iterdir():  # the same names, other drawings
            path.write_bytes(drawing(int(path.stem) + 100))
        with pytest.raises(UsageError, match="the images have changed, so it cannot be resumed: 40 images"):
            fit(moved, resume=True, show=False)

    def test_parts_cannot_begin_where_there_is_a_batch_norm(self, tmp_path):
        config = dataclasses.replace(
            TINY, backbone="test_resnet", image_size=32, store_size=32, local_size=32, head_norm="none", drop_path=0,
            epochs=1, reset_every=0, run=str(tmp_path / "run"),
        )  # fmt: skip
        (fit(config, images=image_set(40), show=False) / "encoder.safetensors").unlink()
        with pytest.raises(UsageError, match="accumulate is 2, expected 1, as the backbone test_resnet has a"):
            fit(dataclasses.replace(config, accumulate=2), images=image_set(40), resume=True, show=False)

    def test_other_images_cannot_resume(self, tmp_path):
        config = dataclasses.replace(TINY, epochs=1, reset_every=0, run=str(tmp_path / "run"))
        run = fit(config, images=image_set(40), show=False)
        for _ in ("finished", "killed"):
            for others in (image_set(56), image_set(41).subset(range(1, 41))):
                with pytest.raises(UsageError, match=r"the images have changed, .*: 40 images \w+ then, \d+ images"):
                    fit(config, images=others, resume=True, show=False)
            (run / "encoder.safetensors").unlink(missing_ok=True)

    def test_what_a_kill_left_half_written_goes(self, tmp_path):
        half = tmp_path / "run" / ".checkpoint.safetensors.codelab-abcd.tmp"
        mine = tmp_path / "run" / ".notes.mine.tmp"
        half.parent.mkdir()
        half.write_bytes(b"half")
        mine.write_bytes(b"mine")
        config = dataclasses.replace(TINY, epochs=1, reset_every=0, run=str(tmp_path / "run"))
        fit(config, images=image_set(40), show=False)
        assert not half.exists()
        assert mine.read_bytes() == b"mine"

    def test_a_file_in_the_place_of_the_folder(self, tmp_path):
        (tmp_path / "run").write_text("")
        with pytest.raises(UsageError, match="run: a file, expected a folder"):
            fit(dataclasses.replace(TINY, run=str(tmp_path / "run")), images=image_set(40), show=False)

    def test_what_is_no_part_of_the_result_may_change(self, tmp_path):
        config = dataclasses.replace(TINY, epochs=2, reset_every=0, run=str(tmp_path / "run"))
        fit(config, images=image_set(40), show=False)
        fit(dataclasses.replace(config, log_every=1, keep_last=3, store="stream"), images=image_set(40), resume=True,
            show=False)  # fmt: skip

    def test_the_links_do_not_change_with_the_newest(self, tmp_path):
        newest = tmp_path / checkpoint.NEWEST
        newest.write_bytes(b"one")
        checkpoint.keep(tmp_path, 1, 2, best=True)
        os.replace(_written(tmp_path / "part", b"two"), newest)  # noqa: PTH105
        checkpoint.keep(tmp_path, 2, 2, best=False)
        found = {path.name: path.read_bytes() for path in tmp_path.glob("checkpoint*")}
        assert found == {
            "checkpoint.safetensors": b"two",
            "checkpoint-best.safetensors": b"one",
            "checkpoint-00000001.safetensors": b"one",
            "checkpoint-00000002.safetensors": b"two",
        }


def _written(path, data):
    path.write_bytes(data)
    return path


class TestNotFinite:
    def test_two_steps_are_tolerated_and_change_nothing(self, tmp_path, monkeypatch):
        spoil(monkeypatch, 3, 4)
        weights, step = [], Run.train_step

        def watching(run, *arguments):
            step(run, *arguments)
            weights.append(run.student.encoder.head[0].weight.detach().clone())

        monkeypatch.setattr(Run, "train_step", watching)
        config = dataclasses.replace(TINY, log_every=1, epochs=6, reset_every=0, run=str(tmp_path / "run"))
        run = fit(config, images=image_set(40), show=False)
        assert [row["skipped"] for row in rows(run)] == [0, 0, 0, 1, 1, *[0] * 7]
        assert torch.equal(weights[2], weights[4])
        assert not torch.equal(weights[4], weights[5])
        assert all(w.isfinite().all() for w in weights)
        assert Encoder.load(run / "encoder.safetensors")
        fit(dataclasses.replace(config, log_every=2), images=image_set(40), resume=True, show=False)

    def test_the_third_stops_the_run_and_names_the_images(self, tmp_path, monkeypatch):
        spoil(monkeypatch, 5, 6, 7)
        config = dataclasses.replace(TINY, log_every=1, reset_every=0, run=str(tmp_path / "run"))
        with pytest.raises(
            DataError, match=r"not finite in 3 steps in a row from step 5; .* nonfinite\.json"
        ) as error:
            fit(config, images=image_set(40), show=False)
        assert first_line(error.value) == str(error.value)
        named = json.loads((tmp_path / "run" / "nonfinite.json").read_text())
        assert list(named) == ["5", "6", "7"]
        assert all(len(set(ids)) == 16 and set(ids) <= {str(i) for i in range(40)} for ids in named.values())
        monkeypatch.undo()
        fit(config, images=image_set(40), resume=True, show=False)  # the checkpoint of before is sound

    def test_bad_steps_apart_are_no_row(self, tmp_path, monkeypatch):
        spoil(monkeypatch, 2, 4, 6, 8, 10)
        run = fit(dataclasses.replace(TINY, run=str(tmp_path / "run")), images=image_set(40), show=False)
        assert sum(row["skipped"] for row in rows(run)) == 5


class TestMemory:
    @pytest.mark.parametrize(
        ("where", "said"),
        [
            ("training.loop.Data", "for the images; lower store_size, or set store to stream"),
            ("training.loop.read_held", "for the images of the evaluation; lower evaluate_images or store_size"),
            ("training.loop.Run", "for the networks; take a smaller backbone (conv: lower width), or lower hidden or"),
            ("training.trainer.Run.train_step", "for a step of 16 images; lower local_views or batch"),
        ],
    )
    def test_that_runs_out_names_the_knobs(self, tmp_path, monkeypatch, where, said):
        def starved(*_, **__):
            torch.empty(1 << 60)  # PyTorch's own failure of an allocation

        monkeypatch.setattr(where, starved)
        with pytest.raises(DataError) as error:
            fit(dataclasses.replace(TINY, run=str(tmp_path / "run")), images=image_set(40), show=False)
        assert said in str(error.value)
        assert "\n" not in str(error.value)

    def test_in_a_step_names_parts_where_they_are_exact(self, tmp_path, monkeypatch):
        monkeypatch.setattr(Run, "train_step", lambda *_: torch.empty(1 << 60))
        small = {"backbone": "test_vit", "image_size": 32, "store_size": 32, "local_size": 16, "epochs": 1}
        exact = ("none", 2, "images in 2 parts; set checkpoint_activations, double accumulate (the gradient stays")
        normed = ("batch", 1, "images; set checkpoint_activations, lower local_views or batch")
        for norm, parts, said in (exact, normed):
            config = dataclasses.replace(TINY, head_norm=norm, accumulate=parts, run=str(tmp_path / norm), **small)
            with pytest.raises(DataError, match=re.escape(f"for a step of 16 {said}")):
                fit(config, images=image_set(40), show=False)

    def test_a_full_disk_is_one_line(self, tmp_path):
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); {RUN}"
        done = subprocess.run([sys.executable, "-c", limit, str(tmp_path / "run")], capture_output=True, text=True)
        assert done.returncode == 1
        assert "checkpoint.safetensors: cannot be written" in done.stderr
        assert "Traceback" not in done.stderr


RUN = f"""
import dataclasses, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from codelab.core.command import run
from tests.support.training_runs import TINY, image_set
from training import fit
config = dataclasses.replace(TINY, run=sys.argv[1])
sys.exit(run(lambda: fit(config, images=image_set(40), show=False), name="codelab"))
"""


class TestTensorBoard:
    def test_has_the_curves_of_the_log(self, tmp_path):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        config = dataclasses.replace(LABELLED, tensorboard=True, log_every=1, run=str(tmp_path / "run"))
        run = fit(config, images=labelled(40), show=False)
        events = EventAccumulator(str(run / "tensorboard")).Reload()
        loss = events.Scalars("metrics/loss")
        assert [e.step for e in loss] == [row["step"] for row in rows(run)]
        assert [e.value for e in loss] == pytest.approx([row["loss"] for row in rows(run)], rel=1e-6)
        assert len(events.Scalars("evaluation/code_map")) == 4
