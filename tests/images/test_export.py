"""Export: the codes are the encoder's, corrupt pictures are listed, and a kill loses and doubles nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import codelab
from codelab import DataError, UsageError
from codelab.core.files import KEY, PART_KEY, iter_codes, merge
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.images.export import BATCH, export
from codelab.images.imageset import decode
from codelab.images.sources import open_images
from tests.conftest import draw


@pytest.fixture
def encoder():
    return Encoder(EncoderConfig(bits=19, image_size=16, width=4, hidden=16), seed=3).eval()


def test_codes_are_what_the_encoder_says(encoder, picture_folder, tmp_path):
    images = open_images(picture_folder)
    done = export(encoder, images, tmp_path / "c.parquet", logits=True, features=True, thumbnails=True)
    codes = codelab.load(done.path)
    with torch.inference_mode():
        features, logits = encoder(torch.stack([encoder.transform(images.image(i)) for i in range(12)]))
    assert np.allclose(codes.features, features.numpy(), atol=1e-5)
    assert np.allclose(codes.logits, logits.numpy(), atol=1e-2)
    assert np.array_equal(codes.to_bits(), logits.numpy() > 0)
    assert codes.labels.tolist() == images.labels.tolist()
    assert codes.meta["encoder"]["sha256"] == encoder.sha256
    assert codes.meta["transform"]["image_size"] == 16
    assert decode(codes.items["thumbnail"][4].as_py(), "t").size == (24, 24)
    assert {p.name for p in tmp_path.iterdir()} == {"c.parquet", "pictures"}
    plain = codelab.load(export(encoder, images, tmp_path / "p.parquet").path)
    assert plain.logits is None
    assert plain.features is None
    assert "thumbnail" not in plain.items.column_names
    assert plain.sha256 == codes.sha256


def many_pictures(folder, n):
    folder.mkdir()
    for i in range(n):
        draw("disc" if i % 2 else "bar", i, 12).save(folder / f"{i:04d}.png")
    return open_images(folder)


def test_the_number_of_parts_changes_nothing(encoder, tmp_path):
    images = many_pictures(tmp_path / "in", 3 * BATCH + 5)
    one = codelab.load(export(encoder, images, tmp_path / "one.parquet").path)
    many = codelab.load(export(encoder, images, tmp_path / "many", part_rows=1).path)
    assert len(list((tmp_path / "many").glob("*.parquet"))) == 4
    assert one.sha256 == many.sha256
    assert one.items.equals(many.items)
    assert sum(len(block) for block in iter_codes(tmp_path / "many")) == len(images)


def test_corrupt_images_fail_and_are_listed_or_are_skipped_by_choice(encoder, picture_folder, tmp_path):
    whole = (picture_folder / "bar" / "2.png").read_bytes()
    (picture_folder / "bar" / "2.png").write_bytes(whole[:40])
    (picture_folder / "disc" / "0.png").write_bytes(b"")
    images = open_images(picture_folder)
    out = tmp_path / "c.parquet"
    with pytest.raises(DataError, match="2 of 12 images cannot be read") as error:
        export(encoder, images, out)
    assert len(error.value.details) == 2
    assert "bar/2.png" in error.value.details[0]
    assert "disc/0.png" in error.value.details[1]
    assert not out.exists()
    done = export(encoder, images, out, skip_bad=True)
    codes = codelab.load(out)
    assert done.rows == len(codes) == 10
    assert len(done.bad) == len(codes.meta["skipped"]) == 2
    assert "bar/2.png" not in codes.items["id"].to_pylist()
    assert codes.labels.tolist() == [0] * 5 + [1] * 5


def test_a_mended_image_is_read_again(encoder, picture_folder, tmp_path):
    file = picture_folder / "bar" / "2.png"
    whole = file.read_bytes()
    file.write_bytes(whole[:40])
    with pytest.raises(DataError):
        export(encoder, open_images(picture_folder), tmp_path / "c.parquet")
    file.write_bytes(whole)
    assert export(encoder, open_images(picture_folder), tmp_path / "c.parquet").rows == 12


def test_no_image_left_or_a_folder_in_the_way(encoder, picture_folder, tmp_path):
    for file in picture_folder.rglob("*.png"):
        file.write_bytes(b"x")
    with pytest.raises(DataError, match="none of 12 images"):
        export(encoder, open_images(picture_folder), tmp_path / "c.parquet", skip_bad=True)
    assert not list(tmp_path.glob("c.parquet*"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("x")
    with pytest.raises(UsageError, match="not empty"):
        export(encoder, open_images(picture_folder), tmp_path / "full")
    assert (tmp_path / "full" / "precious").read_text() == "x"


def test_logits_that_are_no_numbers_stop_the_export(encoder, picture_folder, tmp_path):
    with torch.no_grad():
        encoder.head[-1].bias[3] = float("nan")
    with pytest.raises(DataError, match=r"bar/0\.png: the encoder's logits are not finite"):
        export(encoder, open_images(picture_folder), tmp_path / "c.parquet")
    assert not (tmp_path / "c.parquet").exists()


SLOW_EXPORT = """
import sys, time
from codelab.images.encoder import Encoder
from codelab.images.export import export
from codelab.images.sources import open_images
encoder = Encoder.load(sys.argv[1])
transform = encoder.transform
encoder.transform = lambda image: (time.sleep(0.004), transform(image))[1]
export(encoder, open_images(sys.argv[2]), sys.argv[3], part_rows=1, workers=1)
"""


def test_kill_9_and_again_gives_the_same_file(encoder, tmp_path):
    """Killed at three moments, the export goes on from its finished parts and ends as one never killed."""
    images = many_pictures(tmp_path / "in", 5 * BATCH)
    encoder.save(tmp_path / "e.safetensors")
    out = tmp_path / "c.parquet"
    command = [sys.executable, "-c", SLOW_EXPORT, tmp_path / "e.safetensors", tmp_path / "in", out]
    finished = 0
    for wanted in (1, 3):
        child = subprocess.Popen([str(c) for c in command])
        while len(list(tmp_path.glob("c.parquet.parts/part-*.parquet"))) < wanted:
            assert child.poll() is None
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert not out.exists()
        now = len(list(tmp_path.glob("c.parquet.parts/part-*.parquet")))
        assert now >= max(finished, wanted)
        finished = now
    kept = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("c.parquet.parts/part-*.parquet")}
    export(encoder, images, tmp_path / "whole.parquet", part_rows=1)
    subprocess.run([str(c) for c in command[:-1]] + [str(out)], check=True)
    assert len(kept) == finished
    a, b = codelab.load(out), codelab.load(tmp_path / "whole.parquet")
    assert a.items.equals(b.items)
    assert a.sha256 == b.sha256
    assert not list(tmp_path.glob("*.parts"))


def test_finished_parts_are_kept_and_stale_ones_are_not(encoder, tmp_path, monkeypatch):
    images = many_pictures(tmp_path / "in", 2 * BATCH)
    (tmp_path / "in" / "0200.png").write_bytes(b"")
    out = tmp_path / "c.parquet"
    with pytest.raises(DataError):
        export(encoder, images, out, part_rows=1)
    encoded = []
    transform = encoder.transform
    monkeypatch.setattr(encoder, "transform", lambda image: encoded.append(1) or transform(image))
    draw("disc", 200, 12).save(tmp_path / "in" / "0200.png")
    export(encoder, images, out, part_rows=1)
    assert len(encoded) == BATCH  # only the part of the mended picture
    done = export(encoder, images, out, part_rows=1)
    assert done.already
    assert done.rows == 2 * BATCH
    assert len(encoded) == BATCH  # a finished export is left as it is


def flip_in_a_page(file):
    """One bit of the last page of the codes: its checksum finds it."""
    group = pq.read_metadata(file).row_group(0)
    codes = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "code")
    data = bytearray(file.read_bytes())
    start = codes.dictionary_page_offset if codes.has_dictionary_page else codes.data_page_offset
    data[start + codes.total_compressed_size - 1] ^= 1
    file.write_bytes(data)


def test_a_damaged_part_is_made_again(encoder, tmp_path):
    """One bit of a part flipped, the end of another cut: both are made again, and the result is as without it."""
    images = many_pictures(tmp_path / "in", 2 * BATCH + 1)
    whole = codelab.load(export(encoder, images, tmp_path / "whole.parquet", part_rows=1).path)
    (tmp_path / "in" / "0256.png").write_bytes(b"")
    out = tmp_path / "c.parquet"
    with pytest.raises(DataError, match="1 of 257 images"):
        export(encoder, images, out, part_rows=1)
    draw("bar", 256, 12).save(tmp_path / "in" / "0256.png")
    first, second = (tmp_path / "c.parquet.parts" / f"part-0000{number}.parquet" for number in (0, 1))
    flip_in_a_page(first)
    second.write_bytes(second.read_bytes()[:-9])
    export(encoder, images, out, part_rows=1)
    assert codelab.load(out).sha256 == whole.sha256
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.parametrize("name", ["letter.txt", "part-00000.parquet", "part-00001.parquet", ".mine.tmp", "photos"])
def test_a_folder_of_parts_that_holds_anything_else_is_left_alone(name, encoder, picture_folder, tmp_path):
    mine = tmp_path / "c.parquet.parts" / name
    mine.parent.mkdir()
    if name.endswith("parquet"):
        pq.write_table(pa.table({"mine": [1]}), mine)
    elif name == "photos":
        mine.mkdir()
    else:
        mine.write_text("mine")
    before = mine.stat().st_mtime_ns
    with pytest.raises(UsageError, match=f"parts: holds {re.escape(name)}, which is no part of an export"):
        export(encoder, open_images(picture_folder), tmp_path / "c.parquet")
    assert mine.stat().st_mtime_ns == before
    assert {path.name for path in tmp_path.iterdir()} == {"c.parquet.parts", "pictures"}


def test_an_output_is_replaced_only_when_asked(encoder, picture_folder, tmp_path):
    images = open_images(picture_folder)
    other = Encoder(encoder.config, seed=4).eval()
    for out in (tmp_path / "c.parquet", tmp_path / "codes"):
        first = codelab.load(export(encoder, images, out).path)
        assert export(encoder, images, out).already
        with pytest.raises(UsageError, match="is there already, made from something else; --overwrite replaces it"):
            export(other, images, out)
        with pytest.raises(UsageError, match="--overwrite"):
            export(encoder, images, out, logits=True)
        assert codelab.load(out).sha256 == first.sha256
        assert not export(other, images, out, overwrite=True).already
        assert codelab.load(out).meta["encoder"]["sha256"] == other.sha256
    mine = tmp_path / "mine.parquet"
    mine.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        export(encoder, images, mine)
    assert mine.read_text() == "mine"
    (tmp_path / "codes" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"it holds letter\.txt"):
        export(encoder, images, tmp_path / "codes", overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"c.parquet", "codes", "mine.parquet", "pictures"}


def test_a_finished_output_that_is_damaged_is_not_taken_for_whole(encoder, picture_folder, tmp_path):
    out = export(encoder, open_images(picture_folder), tmp_path / "c.parquet").path
    flip_in_a_page(out)
    with pytest.raises(UsageError, match="--overwrite"):
        export(encoder, open_images(picture_folder), out)
    export(encoder, open_images(picture_folder), out, overwrite=True)
    assert codelab.load(out)


def test_changed_data_make_another_export(encoder, picture_folder, tmp_path):
    data = tmp_path / "set.parquet"
    for kind in ("bar", "disc"):
        pq.write_table(pa.table({"image": [(picture_folder / kind / "0.png").read_bytes()]}), data)
        done = export(encoder, open_images(data), tmp_path / "c.parquet", overwrite=True)
        assert not done.already


def test_what_is_left_out_is_counted_with_the_unreadable(encoder, picture_folder, tmp_path):
    (picture_folder / "bar" / "a.heic").write_bytes(b"x")
    (picture_folder / "bar" / "0.png").write_bytes(b"x")
    with pytest.warns(UserWarning, match="left out"):
        images = open_images(picture_folder, skip_bad=True)
    done = export(encoder, images, tmp_path / "c.parquet", skip_bad=True)
    assert done.rows == 11
    assert [line.split(": ")[1][:20] for line in done.bad] == [".heic is not read", "not a readable image"]
    meta = codelab.load(done.path).meta
    assert (len(meta["left_out"]), len(meta["skipped"])) == (1, 1)


def test_two_exports_into_one_output(encoder, tmp_path):
    """The second is refused while the first runs, and the file is that of one encoder."""
    many_pictures(tmp_path / "in", 2 * BATCH)
    out = tmp_path / "c.parquet"
    calls = []
    for seed in (1, 2):
        Encoder(encoder.config, seed=seed).save(tmp_path / f"{seed}.safetensors")
        command = [sys.executable, "-c", SLOW_EXPORT, tmp_path / f"{seed}.safetensors", tmp_path / "in", out]
        calls.append(subprocess.Popen([str(c) for c in command], stderr=subprocess.PIPE, text=True))
    errors = [call.communicate()[1] for call in calls]
    refused = [line for error in errors for line in error.splitlines()[-1:]]
    assert len(refused) == 1
    assert "another process is writing it; stop it first (host" in refused[0] or "is there already" in refused[0]
    codes = codelab.load(out)
    made_by = {one.sha256: one for one in (Encoder.load(tmp_path / f"{seed}.safetensors") for seed in (1, 2))}
    one = made_by[codes.meta["encoder"]["sha256"]]
    images = open_images(tmp_path / "in")
    assert codes.sha256 == codelab.load(export(one, images, tmp_path / "one.parquet").path).sha256


def test_parts_of_another_export_are_not_merged(encoder, picture_folder, tmp_path):
    images = open_images(picture_folder)
    (part,) = export(encoder, images, tmp_path / "codes").path.iterdir()
    with pytest.raises(DataError, match=r"part-00000\.parquet: a part of another export; the same call makes it"):
        merge([part], tmp_path / "c.parquet", {}, keys=["another"])
    flip_in_a_page(part)
    key = json.loads(pq.read_schema(part).metadata[KEY])[PART_KEY]
    with pytest.raises(DataError, match=r"part-00000\.parquet: damaged"):
        merge([part], tmp_path / "c.parquet", {}, keys=[key])
    assert not (tmp_path / "c.parquet").exists()
