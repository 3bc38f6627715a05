"""`codelab search`: by item and by image, with both distances, and what cannot be searched."""

import json
import re

import numpy as np
import pytest

import codelab
from codelab.cli.main import main
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.images.sources import open_images
from tests.support.calls import fails


def test_search_rescores_and_keeps_both_distances(exported, capsys):
    path = str(exported)
    codes = codelab.load(path)
    name = codes.items["id"][3].as_py()
    assert main(["search", path, "--id", name, "-k", "4", "--rescore", "logits", "--oversample", "3", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)
    found = codelab.search(codes, codes[[3]], k=4, rescore="logits", oversample=3)
    assert [hit["id"] for hit in hits] == [codes.items["id"][int(row)].as_py() for row in found.indices[0]]
    assert [hit["distance"] for hit in hits] == found.distances[0].tolist()
    assert [hit["rescored"] for hit in hits] == found.rescored[0].tolist()
    assert main(["search", path, "--id", name, "-k", "4", "--rescore", "logits"]) == 0
    assert "1 - cosine of logits" in capsys.readouterr().out
    assert "--oversample goes with --rescore" in fails(capsys, 2, "search", path, "--id", name, "--oversample", "3")
    none = ("search", path, "--id", name, "--rescore", "logits", "--oversample", "0")
    assert fails(capsys, 2, *none) == "codelab: oversample=0.0: expected 1 or more"


def test_the_image_of_the_examples_is_one_of_the_demo_held_out(capsys):
    with pytest.raises(SystemExit):
        main(["search", "--help"])
    (name,) = set(re.findall(r"--id (\S+)", capsys.readouterr().out.split("examples:")[1]))
    assert name in open_images("demo", split="test").items["id"].to_pylist()


def test_search_by_image_finds_that_image_first(exported, picture_folder, capsys):
    image = picture_folder / "disc" / "4.png"
    assert main(["search", str(exported), "--query", str(image), "-k", "3", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)
    assert [hit["place"] for hit in hits] == [1, 2, 3]
    assert hits[0]["distance"] == 0
    codes = codelab.load(exported)
    row = codes.items["id"].to_pylist().index("disc/4.png")
    distances = (codes.to_bits() != codes.to_bits()[row]).sum(1)
    order = np.lexsort((np.arange(12), distances))[:3]
    assert [hit["id"] for hit in hits] == [codes.items["id"][int(i)].as_py() for i in order]
    assert [hit["distance"] for hit in hits] == distances[order].tolist()
    assert [len(hit["differing_bits"]) for hit in hits] == distances[order].tolist()


def test_search_by_id_as_a_table(exported, capsys):
    assert main(["search", str(exported), "--id", "bar/0.png"]) == 0
    text = capsys.readouterr().out
    assert "bar/0.png" in text
    assert "none" in text


def test_the_wrong_checkpoint_for_a_search(exported, picture_folder, tmp_path, capsys):
    other = tmp_path / "other.safetensors"
    Encoder(EncoderConfig(bits=21, image_size=16, width=4, hidden=16), seed=2).save(other)
    query = picture_folder / "bar" / "0.png"
    assert "another SHA-256" in fails(capsys, 1, "search", exported, "--query", query, "--ckpt", other)
    Encoder(EncoderConfig(bits=20, image_size=16, width=4, hidden=16), seed=1).save(other)
    assert "gives 20 bits" in fails(capsys, 1, "search", exported, "--query", query, "--ckpt", other)
