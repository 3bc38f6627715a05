"""Training images: kept in memory or streamed, the same run; what cannot be read is listed and left out by choice."""

import dataclasses
import io
import shutil

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from codelab import DataError
from codelab.cli.main import main
from codelab.images.encoder import Encoder
from tests.support.training_runs import TINY, broken, drawing, image_set, rows, same_tensors
from training.data import Data
from training.loop import fit

CPU = torch.device("cpu")


def framed(i):
    """A picture of random shape whose border alone is red."""
    width, height = np.random.default_rng(i).integers(10, 40, 2).tolist()
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).rectangle((0, 0, width - 1, height - 1), outline="red")
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def same_pictures(a, b):
    assert torch.equal(a.size, b.size)
    assert all(torch.equal(a.one(i), b.one(i)) for i in range(len(a)))


class TestStore:
    def test_pictures_are_kept_whole_and_as_large_as_they_are(self):
        images = dataclasses.replace(image_set(30), read=framed)
        data = Data(images, dataclasses.replace(TINY, store_size=25), CPU, show=False)
        assert data.pixels.values.nbytes == sum(3 * data.pixels.size.prod(1)) <= 30 * 3 * 25 * 25
        for i in range(30):
            picture = data.pixels.one(i)[0].permute(1, 2, 0).numpy()
            height, width = np.asarray(images.image(i)).shape[:2]
            assert (
                picture.shape[:2] == (height, width) if height * width <= 25 * 25 else picture.size > 0.9 * 3 * 25**2
            )
            for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
                assert (edge[:, 0] > edge[:, 1] + 50).all()

    def test_a_run_on_pictures_of_many_shapes(self, tmp_path):
        images = dataclasses.replace(image_set(40), read=framed)
        sizes = {"backbone": "test_vit", "head_norm": "none", "image_size": 32, "store_size": 32, "local_size": 16}
        for store in ("memory", "stream"):
            run = str(tmp_path / store)
            config = dataclasses.replace(TINY, **sizes, store=store, accumulate=2, epochs=1, run=run)
            assert np.isfinite(rows(fit(config, images=images, show=False))[-1]["loss"])
        same_tensors(tmp_path / "memory" / "checkpoint.safetensors", tmp_path / "stream" / "checkpoint.safetensors")

    def test_what_fits_is_judged_by_the_images_themselves(self):
        """Small ones take less than store_size allows for."""
        config = dataclasses.replace(TINY, store_size=200, memory_gb=40 * 3 * 20 * 20 * 1.1 / 1e9)
        assert Data(image_set(40), config, CPU, show=False).pixels is not None
        less = dataclasses.replace(config, memory_gb=40 * 3 * 20 * 20 * 0.9 / 1e9)
        assert Data(image_set(40), less, CPU, show=False).pixels is None

    def test_a_stream_gives_the_run_that_memory_gives(self, tmp_path):
        for store in ("memory", "stream"):
            config = dataclasses.replace(TINY, store=store, epochs=3, run=str(tmp_path / store))
            fit(config, images=image_set(40), show=False)
        same_tensors(tmp_path / "memory" / "checkpoint.safetensors", tmp_path / "stream" / "checkpoint.safetensors")
        assert rows(tmp_path / "stream")[-1]["data_wait"] > 0

    def test_auto_streams_what_does_not_fit(self):
        fits = Data(image_set(40), TINY, CPU, show=False)
        assert fits.pixels is not None
        small = dataclasses.replace(TINY, memory_gb=1e-5)
        streamed = Data(image_set(40), small, CPU, show=False)
        assert streamed.pixels is None
        for a, b in zip(fits.steps(0, 5), streamed.steps(0, 5), strict=True):
            assert torch.equal(a.index, b.index)
            same_pictures(a.pixels, b.pixels)
        same_pictures(fits.sample(9), streamed.sample(9))

    def test_a_stream_can_start_at_any_step(self):
        data = Data(image_set(40), dataclasses.replace(TINY, store="stream"), CPU, show=False)
        whole = [batch.index.tolist() for batch in data.steps(0, 6)]
        assert [batch.index.tolist() for batch in data.steps(3, 6)] == whole[3:]

    def test_a_stream_that_is_left_early_ends(self):
        data = Data(image_set(40), dataclasses.replace(TINY, store="stream"), CPU, show=False)
        steps = data.steps(0, 1000)
        next(steps)
        steps.close()  # threads that run ahead must not keep the process alive


class TestUnreadable:
    @pytest.mark.parametrize("store", ["memory", "stream"])
    def test_are_counted_and_named_and_stop_the_run(self, tmp_path, store):
        config = dataclasses.replace(TINY, store=store, run=str(tmp_path / "run"))
        with pytest.raises(DataError, match=r"--skip-bad .skip_bad. leaves") as error:
            fit(config, images=broken(40, 7, 9), show=False)
        if store == "memory":
            assert "2 of 40 images cannot be read" in str(error.value)
            assert [line.split(":")[0] for line in error.value.details] == ["drawing 7", "drawing 9"]

    def test_are_left_out_by_choice_as_if_they_had_never_been_there(self, tmp_path, capsys):
        config = dataclasses.replace(TINY, skip_bad=True, epochs=2, run=str(tmp_path / "run"))
        fit(config, images=broken(40, 7, 9), show=False)
        listed = (tmp_path / "run" / "unreadable.txt").read_text().splitlines()
        assert [line.split(":")[0] for line in listed] == ["drawing 7", "drawing 9"]
        fit(dataclasses.replace(config, run=str(tmp_path / "shown")), images=broken(40, 7, 9))
        assert capsys.readouterr().err.count("2 images that cannot be read left out; unreadable.txt lists them") == 1
        kept = image_set(40).subset([i for i in range(40) if i not in (7, 9)])
        fit(dataclasses.replace(config, run=str(tmp_path / "other")), images=kept, show=False)
        same_tensors(tmp_path / "run" / "checkpoint.safetensors", tmp_path / "other" / "checkpoint.safetensors")

    def test_a_stream_takes_the_next_image_and_lists_what_it_met(self, tmp_path):
        config = dataclasses.replace(TINY, skip_bad=True, store="stream", epochs=3, run=str(tmp_path / "run"))
        fit(config, images=broken(40, 7), show=False)
        assert (tmp_path / "run" / "unreadable.txt").read_text().startswith("drawing 7: not a readable image")
        data = Data(broken(40, 7), config, CPU, show=False)
        assert 7 not in torch.cat([batch.index for batch in data.steps(0, 20)])

    def test_too_few_are_left(self, tmp_path):
        config = dataclasses.replace(TINY, skip_bad=True, run=str(tmp_path / "run"))
        with pytest.raises(DataError, match="15 images to train on, fewer than a batch of 16; lower batch to 15"):
            fit(config, images=broken(17, 1, 2), show=False)

    def test_none_can_be_read(self, tmp_path):
        config = dataclasses.replace(TINY, skip_bad=True, store="stream", run=str(tmp_path / "run"))
        with pytest.raises(DataError, match="none of the 20 images to evaluate on can be read"):
            fit(config, images=broken(20, *range(20)), show=False)
        with pytest.raises(DataError, match="none of its 20 images can be read"):
            fit(dataclasses.replace(config, evaluate_every=0), images=broken(20, *range(20)), show=False)


class TestFolders:
    def test_one_class_trains_and_retrieval_is_not_scored(self, tmp_path, picture_folder):
        shutil.rmtree(picture_folder / "bar")
        for i in range(30):
            (picture_folder / "disc" / f"more{i}.png").write_bytes(drawing(i))
        config = dataclasses.replace(TINY, data=str(picture_folder), epochs=2, evaluate_every=1, best_by="entropy")
        run = fit(dataclasses.replace(config, run=str(tmp_path / "run")), show=False)
        assert np.isfinite(rows(run)[-1]["loss"])
        assert Encoder.load(run / "best.safetensors").config.bits == 16

    def test_the_command_lists_the_files_that_cannot_be_read(self, tmp_path, picture_folder, capsys):
        (picture_folder / "disc" / "torn.png").write_bytes(b"\x89PNG\r\n")
        config = tmp_path / "config.yaml"
        config.write_text("split: ''\nbatch: 4\nstore_size: 32\nbackbone: conv\ndevice: cpu\n")
        assert main(["train", str(config), "--data", str(picture_folder), "--run", str(tmp_path / "run")]) == 1
        *listed, last = capsys.readouterr().err.splitlines()
        assert [line for line in listed if "torn.png: not a readable image" in line]
        assert "1 of 13 images cannot be read" in last
        assert not (tmp_path / "run").exists()


class TestOrder:
    def test_each_rank_has_a_stretch_of_the_batch(self, monkeypatch):
        data = Data(image_set(40), TINY, CPU, show=False)
        whole = data.batch_of(3).tolist()
        parts = []
        for rank in range(4):
            monkeypatch.setattr("training.distributed.world", lambda: 4)
            monkeypatch.setattr("training.distributed.rank", lambda rank=rank: rank)
            parts += data.numbers(3).tolist()
        assert parts == whole
