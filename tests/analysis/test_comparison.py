"""Two codes side by side, in Python and on the command line."""

import json

import numpy as np
import pytest

from codelab import Codes, DataError, bit_usage, compare_codes, compare_retrieval, match_bits
from codelab.cli.main import main


def pair(n=150, *, bits=8):
    """Codes that know the class by three bits, and coins; of the same images."""
    rng = np.random.default_rng(0)
    labels, coins = np.arange(n) % 3, rng.integers(0, 2, (n, bits)).astype(bool)
    good = np.concatenate([np.eye(3, dtype=bool)[labels], coins[:, 3:]], axis=1)
    items = {"id": [f"i{i}" for i in range(n)], "thing": [f"t{i // 2}" for i in range(n)]}
    return Codes.from_bits(good, labels, items=items), Codes.from_bits(coins, labels, items=items)


def test_figures_are_those_of_their_measures():
    a, b = pair()
    found = compare_codes(a, b, seed=3)
    assert found.a["mean_entropy"] == bit_usage(a).value
    assert found.b["mean_entropy"] == bit_usage(b).value
    wanted = compare_retrieval(a, b, seed=3)
    assert (found.retrieval["retrieval_map"].value, found.retrieval["retrieval_map"].p_value) == (
        wanted.value,
        wanted.p_value,
    )
    assert found.matching.phi.tolist() == match_bits(a, b, seed=3).phi.tolist()
    frame = found.to_frame().set_index("figure")
    assert frame.loc["mAP@ALL", "difference"] == pytest.approx(wanted.value)
    assert np.isnan(frame.loc["mean entropy of a bit", "p_value"])
    assert found.matching.lost.tolist() == [0, 1, 2]


def test_without_labels_what_there_is():
    a, b = (Codes.from_bits(codes.to_bits()) for codes in pair())
    found = compare_codes(a, b)
    assert found.retrieval == {}
    assert "mean_entropy" in found.a
    assert "bits matched" in repr(found)
    assert found.note == "retrieval is left out of the paired tests: a and b have no labels"
    labelled = Codes.from_bits(b.to_bits(), np.arange(150) % 3)
    assert compare_codes(labelled, b).note == "retrieval is left out of the paired tests: b has no labels"


def test_where_labels_differ_the_result_says_that_retrieval_is_left_out(tmp_path, capsys):
    a, b = pair()
    other = Codes.from_bits(b.to_bits(), b.labels[::-1], items=b.items)
    found = compare_codes(a, other)
    assert found.retrieval == {}
    assert found.note == "retrieval is left out of the paired tests: a and b have different labels"
    assert compare_codes(a, b).note == ""
    a.save(tmp_path / "a.parquet")
    other.save(tmp_path / "b.parquet")
    assert main(["compare", str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]) == 0
    assert found.note in " ".join(capsys.readouterr().out.split())


def test_the_command(tmp_path, capsys):
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for codes, file in zip(pair(), files, strict=True):
        codes.save(file)
    assert main(["compare", *map(str, files), "--group", "thing"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "mAP@ALL" in said
    assert "5 of 8 bits matched" in said
    assert "can be read" not in said
    assert main(["compare", *map(str, files), "--decodable"]) == 0
    assert "a from b: 5 of 8 bits can be read at p < 0.05" in " ".join(capsys.readouterr().out.split())
    assert main(["compare", *map(str, files), "--group", "thing", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["matching"]["lost"] == [0, 1, 2]


def test_other_images_are_one_line(tmp_path, capsys):
    a, b = pair()
    with pytest.raises(DataError, match="compare: a has 150 images and b has 149"):
        compare_codes(a, b[:149])
    a.save(tmp_path / "a.parquet")
    b[::-1].save(tmp_path / "b.parquet")
    assert main(["compare", str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]) == 1
    assert "the same images in another order" in capsys.readouterr().err
