"""A copied link reopens every choice of a page, and every point and image fits the browser's share."""

import json
from base64 import b64decode

import numpy as np
import pytest

from codelab.core.codes import Codes
from tests.app.test_code_shown import lines_of, run
from tests.support.explored import gallery, opened, press, rows, said
from tests.support.pictured import shapes


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("reopened") / "codes.parquet"
    shapes(120).save(path)
    return path


CHOICES = [
    ("bits", {}, "coloured", "entropy"),
    ("query", {"sel": "where 3"}, "mix", "shade"),
    ("retrieval", {}, "choose_class", "disc"),
    ("bit", {"bit": "3", "part": "classes"}, "one-class", "bar"),
    ("bit", {"bit": "3", "part": "classes"}, "another-class", "disc"),
]


@pytest.mark.parametrize(("page", "names", "name", "value"), CHOICES)
def test_a_choice_is_that_of_the_address(path, page, names, name, value):
    app = opened(path, page, **names, **{name: value})
    assert app.selectbox(key=name).value == value


@pytest.mark.parametrize(("name", "value"), [("shape", "Box"), ("how", "Subtract")])
def test_how_one_draws_is_in_the_address(path, name, value):
    assert opened(path, "map", **{name: value}).button_group(key=name).value == value


def test_other_images_to_choose_from_reopen(path):
    app = opened(path, "retrieval")
    first = rows(app, "choose")
    press(app, "Others")
    assert "1" in app.query_params["draw"]
    assert rows(app, "choose") != first
    assert rows(opened(path, "retrieval", draw="1"), "choose") == rows(app, "choose")


def test_the_place_whose_bits_differ_reopens(path):
    assert "Bits in which place 3 differs" in said(opened(path, "retrieval", place="2"))


def test_all_points_of_the_map_and_its_control_are_50_000_at_most(path, monkeypatch):
    from app.screens.map import BESIDE, MOST

    assert MOST + BESIDE <= 50_000
    monkeypatch.setattr("app.screens.map.MOST", 90)
    monkeypatch.setattr("app.screens.map.BESIDE", 30)
    figures = [json.loads(one.proto.spec) for one in opened(path, "map").get("plotly_chart")]
    traces = [trace for figure in figures for trace in figure["data"] if trace["type"].startswith("scatter")]
    assert (
        sum(len(b64decode(trace["x"]["bdata"])) // np.dtype(trace["x"]["dtype"]).itemsize for trace in traces) == 120
    )


def test_dead_bits_are_hidden_in_words(tmp_path):
    Codes.from_bits(np.ones((40, 6))).save(tmp_path / "c.parquet")
    assert "No bit matches: all are dead, and hidden." in said(opened(tmp_path / "c.parquet", "bits"))


def test_images_one_bit_away_beside_many_of_the_same_code(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2, (100, 32))
    bits[:30] = bits[0]
    bits[30:33] = bits[0]
    bits[range(30, 33), range(3)] ^= 1
    codes = Codes.from_bits(bits)
    codes.save(tmp_path / "c.parquet")
    app = opened(tmp_path / "c.parquet", "image", item="5")
    assert rows(app, "one-away") == [30, 31, 32]
    assert [card["note"] for card in gallery(app, "one-away")] == ["bit 0", "bit 1", "bit 2"]
    assert 5 not in rows(app, "nearest")
    assert len(rows(app, "nearest")) == 12


def test_two_files_of_the_same_images_in_another_order_are_compared_image_by_image(tmp_path):
    codes = shapes(120)
    order = np.random.default_rng(3).permutation(120)
    codes.save(tmp_path / "a.parquet")
    codes[order].save(tmp_path / "b.parquet")
    app = opened(tmp_path / "a.parquet", "compare", sel="where 3", **{"with": str(tmp_path / "b.parquet")})
    assert "Of the 10 nearest images, 100% are the same in both codes" in said(app)
    press(app, "Lay out the map and its control")
    lit = {}
    for one in app.get("plotly_chart"):
        if one.key.startswith("map-of-"):
            trace = json.loads(one.proto.spec)["data"][-1]["customdata"]
            lit[one.key[7]] = np.frombuffer(b64decode(trace["bdata"]), trace["dtype"]).tolist()
    assert lit["a"] == lit["b"] == np.flatnonzero(codes.to_bits()[:, 3]).tolist()
    names = run(lines_of(app))[0]
    assert names["b"].items["id"].equals(names["a"].items["id"])
    assert (names["a"].packed == names["b"].packed).all()


def test_a_code_that_is_far_too_long_is_one_line(path):
    app = opened(path, "retrieval", source="a code", typed="f" * 5000)
    assert len(app.error) + len(app.info) >= 1
