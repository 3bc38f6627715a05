"""Which images a run trains on and which it is evaluated on: the splits there are, or a share held out."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from codelab import UsageError
from codelab.cli.main import main
from codelab.images.encoder import Encoder
from tests.support.training_runs import TINY, image_set
from training.config import load_config
from training.evaluate import main as evaluate
from training.loop import fit
from training.parts import held_out_as, held_out_rows, parts

AUTO = dataclasses.replace(TINY, split="auto")

SHORT = ("--epochs", "1", "--warmup-epochs", "1")


def images(n, **columns):
    found = image_set(n)
    for name, values in columns.items():
        found = dataclasses.replace(found, items=found.items.append_column(name, pa.array(values)))
    return found


def ids(part):
    return part.items["id"].to_pylist()


class TestParts:
    def test_a_fifth_of_a_plain_folder_is_held_out_and_not_trained_on(self):
        found = parts(AUTO, images(95))
        assert (len(found.train), len(found.held)) == (76, 19)
        assert set(ids(found.train)).isdisjoint(ids(found.held))
        assert found.note == "drawings: no split 'test': 19 of 95 images held out by chance (seed 0) for evaluation"
        assert (found.config.split, found.config.evaluate_split, found.config.evaluate_group) == ("auto", "auto", "")
        assert held_out_as(found.config.to_dict()) == (0, 5000, "")

    def test_at_most_evaluate_images(self):
        assert len(parts(dataclasses.replace(AUTO, evaluate_images=5), images(95)).held) == 5

    def test_another_seed_another_part_and_the_order_does_not_matter(self):
        whole = images(95)
        held = set(ids(parts(AUTO, whole).held))
        assert held != set(ids(parts(dataclasses.replace(AUTO, seed=1), whole).held))
        assert held == set(ids(parts(AUTO, whole.subset(np.random.default_rng(0).permutation(95))).held))

    def test_most_images_stay_on_their_side_where_new_ones_come(self):
        before, after = (set(ids(parts(AUTO, images(n)).held)) for n in (400, 440))
        assert len(before - after) < 20

    def test_near_copies_stay_on_one_side(self):
        clip = [str(i // 3) for i in range(90)]
        found = parts(AUTO, images(90, group=clip))
        assert set(found.train.items["group"].to_pylist()).isdisjoint(found.held.items["group"].to_pylist())
        assert len(found.held) == 18
        assert "18 of 90 images held out by group (seed 0)" in found.note
        assert found.config.evaluate_group == "group"
        by_name = parts(dataclasses.replace(AUTO, evaluate_group="clip"), images(90, clip=clip))
        assert "held out by clip" in by_name.note

    def test_one_group_of_all_is_not_held_out(self):
        found = parts(AUTO, images(90, group=["a"] * 90))
        assert len(found.train) == 90
        assert "too few" in found.note

    @pytest.mark.parametrize("n", [2, 5, 7])
    def test_a_few_images_are_all_trained_on(self, n):
        found = parts(AUTO, images(n))
        assert len(found.train) == len(found.held) == n
        assert found.note.startswith(f"drawings: no split 'test', and {n} images are too few to hold some out")
        assert held_out_as(found.config.to_dict()) is None

    @pytest.mark.parametrize(
        ("there", "trained", "evaluated"),
        [
            (("train", "test"), "train", "test"),
            (("train", "val", "test"), "train", "val"),
            (("other", "test"), "other", "test"),
        ],
    )
    def test_splits_that_the_data_has(self, there, trained, evaluated):
        found = parts(AUTO, images(60, split=[there[i % len(there)] for i in range(60)]))
        assert set(found.train.items["split"].to_pylist()) == {trained}
        assert set(found.held.items["split"].to_pylist()) == {evaluated}
        assert found.note == ""
        assert found.config.evaluate_split == evaluated

    def test_a_split_named_train_alone_is_parted(self):
        found = parts(AUTO, images(60, split=["train"] * 50 + ["other"] * 10))
        assert (len(found.train), len(found.held)) == (40, 10)
        assert (found.config.split, found.config.evaluate_split) == ("train", "auto")

    def test_halves_swapped(self):
        config = dataclasses.replace(AUTO, split="test")
        found = parts(config, images(60, split=["train", "test"] * 30))
        assert set(found.held.items["split"].to_pylist()) == {"train"}

    def test_all_of_it_where_that_is_asked_for(self):
        found = parts(dataclasses.replace(AUTO, split=""), images(60))
        assert len(found.train) == len(found.held) == 60
        assert found.note == ""
        assert parts(dataclasses.replace(AUTO, evaluate_every=0), images(60)).held is None

    @pytest.mark.parametrize("name", ["imagenet-vitb16", "imagenet-vits16"])
    def test_the_recipes_of_the_paper_hold_nothing_out(self, name, picture_folder):
        config = load_config(name)
        found = parts(config, images(60))
        assert len(found.train) == len(found.held) == 60
        assert found.note == ""
        found = parts(config, images(60, split=["train"] * 50 + ["val"] * 10))  # images of a test are not trained on
        assert set(found.train.items["split"].to_pylist()) == {"train"}
        found = parts(dataclasses.replace(config, evaluate_data=str(picture_folder)), images(60))
        assert (len(found.train), found.held.name, len(found.held)) == (60, str(picture_folder), 12)

    @pytest.mark.parametrize("field", ["split", "evaluate_split"])
    def test_a_split_that_is_named_and_not_there(self, field):
        config = dataclasses.replace(AUTO, **{field: "nosuch"})
        with pytest.raises(UsageError, match=f"no split 'nosuch', which {field} names; found test, train; auto takes"):
            parts(config, images(60, split=["train", "test"] * 30))

    def test_codes_and_images_of_one_name_fall_on_one_side(self):
        whole = images(50)
        assert held_out_rows(whole, seed=3, most=100).tolist() == sorted(
            int(i) for i in ids(parts(dataclasses.replace(AUTO, seed=3), whole).held)
        )


class TestRun:
    def test_a_resumed_run_has_the_same_parts_and_the_encoder_records_them(self, tmp_path):
        config = dataclasses.replace(AUTO, epochs=2, evaluate_every=1, run=str(tmp_path / "run"))
        run = fit(config, images=images(80), show=False)
        last = [json.loads(line) for line in (run / "evaluation.jsonl").read_text().splitlines()][-1]
        assert last["images"] == 16
        assert last["step"] == 2 * 4  # 64 images in batches of 16
        assert Encoder.load(run).config.training["evaluate_split"] == "auto"

    def test_the_recipe_of_the_demo_on_a_plain_folder(self, picture_folder, tmp_path, capsys):
        small = ["--batch", "4", *SHORT, "--device", "cpu", "--control", "false"]
        call = ["train", "configs/demo.yaml", "--data", str(picture_folder), *small]
        assert main([*call, "--run", str(tmp_path / "a")]) == 0
        said = capsys.readouterr()
        assert said.out == f"{tmp_path / 'a'}\n"
        assert f"{picture_folder}: no split 'test': 2 of 12 images held out by chance (seed 0)" in said.err
        assert main([*call, "--run", str(tmp_path / "b"), "--split", ""]) == 0
        assert "held out" not in capsys.readouterr().err
        for flag in ("split", "evaluate-split"):
            assert main([*call, "--run", str(tmp_path / "c"), f"--{flag}", "nosuch"]) == 2
            assert "no split 'nosuch'" in capsys.readouterr().err.splitlines()[-1]

    def test_a_probe_keeps_held_out_what_the_run_held_out(self, picture_folder, tmp_path, capsys):
        small = [
            "--batch",
            "4",
            "--epochs",
            "1",
            "--warmup-epochs",
            "1",
            "--device",
            "cpu",
            "--seed",
            "5",
            "--bits",
            "8",
        ]
        call = ["train", "configs/demo.yaml", "--data", str(picture_folder), *small, "--run", str(tmp_path / "run")]
        assert main(call) == 0
        capsys.readouterr()
        found = ["knn", "--ckpt", str(tmp_path / "run"), "--data", str(picture_folder), "-k", "1", "--json"]
        assert evaluate(found) == 0
        table = json.loads(capsys.readouterr().out)
        assert (table["n"], table["n_train"]) == (2, 10)
        assert table["notes"] == [f"{picture_folder}: no split 'test': 2 of 12 images held out by chance (seed 5)"]

    @pytest.mark.parametrize(("n", "said"), [(1, "1 image to train on"), (3, "3 images to train on, fewer than")])
    def test_tiny_folders(self, n, said, picture_folder, tmp_path, capsys):
        for i, file in enumerate(sorted(picture_folder.rglob("*.png"))):
            if i >= n:
                file.unlink()
        call = ["train", "configs/demo.yaml", "--data", str(picture_folder), "--run", str(tmp_path / "run")]
        assert main(call) == 1
        assert said in capsys.readouterr().err.splitlines()[-1]

    def test_unreadable_images_alone(self, picture_folder, tmp_path, capsys):
        for file in picture_folder.rglob("*.png"):
            file.write_bytes(b"no picture")
        call = ["train", "configs/demo.yaml", "--data", str(picture_folder), "--run", str(tmp_path / "run")]
        for flags, said in (
            ([], "10 of 10 images cannot be read"),
            (["--skip-bad"], "none of its 10 images can be read"),
        ):
            assert main([*call, "--batch", "4", *flags]) == 1
            assert said in capsys.readouterr().err.splitlines()[-1]
