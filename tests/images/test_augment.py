"""Augmented views: each draw is its own and repeatable, and the command measures the channel with them."""

import dataclasses
import json
import re

import numpy as np
import pyarrow as pa
import pytest

import codelab
from codelab.cli.main import main
from codelab.images.augment import ALL, CHANGES, view_of
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.images.export import encode_images, export
from codelab.images.sources import open_images
from codelab.measures.channel import channel_of_views
from tests.conftest import draw


def pixels(images):
    return [np.asarray(images.image(i)) for i in range(len(images))]


@pytest.mark.parametrize("change", [*CHANGES, ALL])
def test_a_view_depends_on_its_seed_and_row_alone(picture_folder, change):
    images = open_images(picture_folder)
    once, again = pixels(view_of(images, change, seed=3)), pixels(view_of(images, change, seed=3))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert all(a.shape == (24, 24, 3) for a in once)
    other = pixels(view_of(images, change, seed=4))
    drawn = change in ("crop", "colour", "blur", ALL)
    assert any(not np.array_equal(a, b) for a, b in zip(once, other, strict=True)) == drawn


def test_the_changes_are_what_they_are_called(picture_folder):
    images = open_images(picture_folder)
    plain = pixels(images)
    assert all(np.array_equal(a, b[:, ::-1]) for a, b in zip(pixels(view_of(images, "flip")), plain, strict=True))
    assert all((a == a[..., :1]).all() for a in pixels(view_of(images, "grey")))
    sharp = np.mean([np.abs(np.diff(p.astype(float), axis=1)).mean() for p in plain])
    blurred = np.mean([np.abs(np.diff(p.astype(float), axis=1)).mean() for p in pixels(view_of(images, "blur"))])
    assert blurred <= sharp
    with pytest.raises(KeyError):
        view_of(images, "rotate")


def test_each_image_has_its_own_draw(tmp_path):
    folder = tmp_path / "same"
    folder.mkdir()
    for i in range(5):
        draw("disc", 0).save(folder / f"{i}.png")
    crops = pixels(view_of(open_images(folder), "crop"))
    assert len({crop.tobytes() for crop in crops}) == 5


def test_analyze_with_views(tmp_path, capsys):
    folder = tmp_path / "in"
    for kind in ("bar", "disc"):
        (folder / kind).mkdir(parents=True)
        for i in range(20):
            draw(kind, i).save(folder / kind / f"{i:02d}.png")
    images = open_images(folder)
    encoder = Encoder(EncoderConfig(bits=12, image_size=16, width=4, hidden=16, head_norm="batch"), seed=1).eval()
    encoder.save(tmp_path / "encoder.safetensors")
    path = export(encoder, images, tmp_path / "c.parquet", checkpoint=tmp_path / "encoder.safetensors").path
    call = ["analyze", str(path), "--views", "3", "--data", str(folder), "--permutations", "10"]
    assert main([*call, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    codes = codelab.load(path)
    greyed = encode_images(encoder, view_of(images, "grey"))
    at = results["view_channels"]["names"].index("grey")
    assert results["view_channels"]["flip_rate"][at] == pytest.approx(
        (codes.to_bits() != greyed.to_bits()).mean(0).tolist()
    )
    views = [encode_images(encoder, view_of(images, seed=seed)) for seed in range(3)]
    assert results["channel"]["flip_rate"] == pytest.approx(channel_of_views(views).flip_rate.tolist())
    assert main(call) == 0
    text = capsys.readouterr().out
    assert "what one change of the image does" in text
    assert re.search(r"│ channel +│ \d\.\d{3}", text)  # at least so many bits are shared

    twins = codes.items.append_column(
        "twin", pa.array([f"{i // 2}" for i in range(40)])
    )  # the images have no such column
    dataclasses.replace(codes, items=twins).save(path)
    assert main([*call, "--json", "--group", "twin"]) == 0
    grouped = json.loads(capsys.readouterr().out)
    assert grouped["channel"]["groups"] == grouped["view_channels"]["groups"] == 20
    assert results["channel"]["groups"] is None


def test_views_need_the_images_and_the_encoder(picture_folder, tmp_path, capsys):
    encoder = Encoder(EncoderConfig(bits=12, image_size=16, width=4, hidden=16), seed=1).eval()
    (tmp_path / "out").mkdir()
    path = str(export(encoder, open_images(picture_folder), tmp_path / "out" / "c.parquet").path)
    assert main(["analyze", path, "--views", "2"]) == 2
    assert "--data" in capsys.readouterr().err
    assert main(["analyze", path, "--views", "2", "--data", str(picture_folder)]) == 2
    assert "no checkpoint beside" in capsys.readouterr().err
    encoder.save(tmp_path / "out" / "encoder.safetensors")
    assert main(["analyze", path, "--views", "2", "--data", str(picture_folder / "bar")]) == 2
    assert "has no image 'bar/0.png'" in capsys.readouterr().err
