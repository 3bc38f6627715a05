"""The table of all bits, and the parts of a bit's own page: each shows what codelab's functions give."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from app.find import find
from app.screens.bit import PARTS
from codelab.core.codes import Codes
from codelab.measures.attribute_reuse import attribute_reuse
from codelab.measures.bit_dependence import bit_dependence
from codelab.semantics.alignment import align_attributes
from codelab.semantics.names import name_bits, read_ledger, score_name
from codelab.semantics.pairs import minimal_pairs
from codelab.semantics.signatures import class_shares
from codelab.semantics.value import bit_value
from tests.support.explored import checked, opened, press, rows, said
from tests.support.pictured import exported, shapes


@pytest.fixture(scope="module")
def codes():
    """Bit 3 says the kind; bit 7 is its complement but for a few images; bit 9 never changes."""
    some = shapes(200)
    bits = some.to_bits()
    bits[:, 7] = 1 - bits[:, 3]
    bits[:9, 7] = 1 - bits[:9, 7]
    bits[:, 9] = 0
    return Codes.from_bits(bits, labels=some.labels, classes=some.classes, items=some.items)


@pytest.fixture(scope="module")
def path(codes, tmp_path_factory):
    path = tmp_path_factory.mktemp("bit") / "codes.parquet"
    codes.save(path)
    return path


def table(app):
    return app.dataframe[0].value


class TestTable:
    def test_dead_bits_are_hidden_until_asked_for(self, path):
        app = opened(path, "bits")
        assert 9 not in table(app)["bit"].tolist()
        assert "11 of 12 bits" in said(app)
        checked(app.toggle(key="dead").set_value(True).run())
        assert 9 in table(app)["bit"].tolist()
        assert opened(path, "bits", dead="true").toggle(key="dead").value

    def test_a_filter_finds_numbers_states_and_meanings(self, path):
        assert table(opened(path, "bits", filter="1"))["bit"].tolist() == [1]
        assert len(table(opened(path, "bits", filter="ACTIVE"))) == 11
        app = opened(path, "bits", more="true", filter="class =")
        assert {3, 7} <= set(table(app)["bit"])
        assert "No bit matches" in said(opened(path, "bits", filter="no such"))

    def test_meaning_is_that_of_align_attributes(self, path, codes):
        shown = table(opened(path, "bits", more="true")).set_index("bit")
        found = align_attributes(codes)
        for bit in shown.index:
            assert shown["question"][bit] == found.target[bit]
            assert shown["phi"][bit] == found.phi[bit]

    def test_reuse_value_and_flips_are_those_of_their_measures(self, tmp_path, codes):
        codes = codes[np.arange(len(codes) - 1)]  # of which no other test keeps a result
        codes.save(tmp_path / "codes.parquet")
        app = opened(tmp_path / "codes.parquet", "bits", more="true", worth="true", reuse="shade")
        for button in [b for b in app.button if b.key.startswith("ask-")]:
            checked(app.button(key=button.key).click().run())
        shown = table(app).set_index("bit")
        bits = shown.index.to_numpy()
        found = attribute_reuse(codes, "shade")
        np.testing.assert_array_equal(shown["reuse"], found.reuse[bits])
        assert found.headline() in said(app)
        np.testing.assert_array_equal(shown["value"], bit_value(codes).masked[bits])
        assert "flips" not in shown
        assert "view_channels" in said(app) or "encoder" in said(app)  # these codes come without one

    def test_the_heat_map_is_phi_in_cluster_order(self, path, codes):
        app = opened(path, "bits")
        figure = json.loads(next(e for e in app.get("plotly_chart") if e.key == "phi").proto.spec)
        order = bit_dependence(codes).order
        assert figure["data"][0]["x"] == [str(bit) for bit in order]
        assert "0 pairs are duplicates, 0 complements" in said(app)


@pytest.mark.parametrize("part", [*PARTS, "no such part"])
def test_every_part_stands_on_every_kind_of_codes(path, tmp_path, part):
    name = {"naming": "name"}.get(part, part)
    opened(path, "bit", part=name, bit="3")
    opened(path, "bit", part=name, bit="9")
    Codes.from_bits(np.random.default_rng(0).integers(0, 2, (40, 6))).save(tmp_path / "bare.parquet")
    opened(tmp_path / "bare.parquet", "bit", part=name)
    Codes.from_bits(np.zeros((1, 2))).save(tmp_path / "one.parquet")
    opened(tmp_path / "one.parquet", "bit", part=name)


def test_classes_as_a_table_and_as_four_cells(path, codes):
    app = opened(path, "bit", bit="3", part="classes")
    found = class_shares(codes, 3).to_frame()
    assert app.dataframe[0].value["share"].tolist() == found["share"].tolist()
    bits = codes.to_bits()[:, 3]
    for place, name in enumerate((found["class"].iloc[0], found["class"].iloc[-1])):
        for side in (0, 1):
            member = (codes.labels == codes.classes.index(name)) & (bits == side)
            if member.any():
                shown = rows(app, f"cell-{place}-{side}-3")
                assert len(shown) == min(6, member.sum())
                assert member[shown].all()
    assert "**disc, bit = 0**: 0 of" in said(app)


def test_meaning_names_the_question_beside_its_null(path, codes):
    app = opened(path, "bit", bit="3", part="meaning")
    found = align_attributes(codes)
    assert f"**{found.target[3]}** where the bit is {found.side[3]}: phi 1.00, IoU 1.00" in said(app)
    assert abs(app.dataframe[0].value["phi"].iloc[0]) == pytest.approx(1.0)


def test_minimal_pairs(path, codes):
    app = opened(path, "bit", bit="3", part="pairs")
    found = minimal_pairs(codes, 3, count=12)
    assert rows(app, "pair0-3") == found.zero.tolist()
    assert rows(app, "pair1-3") == found.one.tolist()


def test_related_bits_by_their_correlation(path, codes):
    app = opened(path, "bit", bit="3", part="related")
    element = next(e for e in app.get("bidi_component") if e.key == "related3")
    links = json.loads(element.proto.json)["links"]
    phi = bit_dependence(codes).phi[3]
    order = [b for b in np.argsort(-np.abs(phi), kind="stable") if b != 3 and phi[b]]
    assert [link["bit"] for link in links] == order[:10]
    assert links[0]["label"] == f"bit 7  {phi[7]:+.2f}"
    assert {len(links[0]["sides"][side]) for side in ("zero", "one")} == {3}  # 60 pictures in all


def test_the_value_is_measured_when_asked_for_and_then_kept(tmp_path, codes):
    codes.save(tmp_path / "codes.parquet")
    app = opened(tmp_path / "codes.parquet", "bit", bit="3", part="value")
    assert "mAP changes" not in said(app)
    press(app, "Measure the value of every bit")
    found = bit_value(codes)
    assert f"mAP changes by **{-found.masked[3]:+.4f}**" in said(app)
    assert f"reach {found.retrieval_map:.3f}" in said(app)
    assert "mAP changes" in said(opened(tmp_path / "codes.parquet", "bit", bit="4", part="value"))
    assert table(opened(tmp_path / "codes.parquet", "bits")).set_index("bit")["value"][3] == found.masked[3]


def test_changes_that_flip_a_bit_need_the_encoder_and_say_so(path, tmp_path):
    assert "This needs the encoder that made these codes" in said(opened(path, "bit", part="value"))
    made = exported(tmp_path)
    app = opened(made, "bit", bit="2", part="value")
    press(app, "Change 40 images and code them again")
    changes = next(frame.value for frame in app.dataframe if "change" in frame.value)
    assert set(changes["change"]) == {"crop", "flip", "colour", "grey", "blur"}
    assert changes["flips in"].between(0, 1).all()


def test_where_it_looks(tmp_path):
    app = opened(exported(tmp_path), "bit", bit="2", part="where")
    assert "logit" in said(app)
    assert any(e.key.startswith("where-2-") for e in app.get("plotly_chart"))
    checked(app.button_group(key="heatmap").set_value("gradient").run())
    assert "an approximation" in said(app)


class TestNames:
    def test_a_guess_is_scored_kept_and_shown(self, tmp_path, codes):
        path = tmp_path / "codes.parquet"
        codes.save(path)
        app = opened(path, "bit", bit="3", part="name")
        assert "held on images that did not choose it" in said(app)
        assert "Nobody has named this bit yet" in said(app)
        app.selectbox(key="question3").set_value("class = disc")
        app.text_input(key="author").set_value("Ada")
        press(app, "Score and keep it")
        (one,) = read_ledger(tmp_path / "codes.names.json")
        expected = dataclasses.asdict(score_name(codes, 3, "class = disc", author="Ada"))
        assert np.isnan(expected.pop("random_phi"))  # these codes have no features
        assert {name: getattr(one, name) for name in expected} == expected
        assert (one.state, one.phi) == ("tested", 1.0)
        assert "**class = disc (where the bit is 1)**: tested. phi 1.00" in said(app)
        again = opened(path, "bit", bit="3", part="name")
        assert "Bit 3: class = disc" in said(again)
        assert again.dataframe[0].value["author"].tolist() == ["Ada"]
        assert table(opened(path, "bits", filter="disc"))["bit"].tolist() == [3]

    def test_a_wrong_guess_is_kept_as_rejected(self, tmp_path, codes):
        path = tmp_path / "codes.parquet"
        codes.save(path)
        app = opened(path, "bit", bit="5", part="name")
        app.selectbox(key="question5").set_value("class = disc")
        app.text_input(key="author").set_value("Ada")
        press(app, "Score and keep it")
        assert "rejected" in said(app)
        assert read_ledger(tmp_path / "codes.names.json")[0].state == "rejected"
        assert "Bit 5: class" not in said(opened(path, "bit", bit="5"))

    def test_the_form_starts_with_the_proposed_name_and_keeps_nothing_by_itself(self, tmp_path, codes):
        path = tmp_path / "codes.parquet"
        codes.save(path)
        app = opened(path, "bit", bit="5", part="name")
        assert app.selectbox(key="question5").value == name_bits(codes).names[5].name
        assert not (tmp_path / "codes.names.json").exists()

    def test_a_broken_ledger_is_one_line(self, tmp_path, codes):
        path = tmp_path / "codes.parquet"
        codes.save(path)
        (tmp_path / "codes.names.json").write_text("{")
        assert "Not a ledger of names" in said(opened(path, "bit", bit="5", part="name"))
        opened(path, "bits")


def test_search_finds_bits_and_images(codes):
    class Some:
        pass

    view = Some()
    view.codes, view.path = codes, Path("nowhere.parquet")
    assert find(view, "3") == find(view, "Bit 3") == ("bit", {"bit": "3"})
    assert find(view, "item-3") == ("retrieval", {"item": "item-3"})
    for words in ("12", "bit 12", "999999999999", "item-200", "?"):
        assert find(view, words) is None


def test_lists_as_attributes_are_left_out(tmp_path):
    items = pa.table({"id": [str(i) for i in range(30)], "tags": [["a"]] * 30})
    Codes.from_bits(np.random.default_rng(0).integers(0, 2, (30, 6)), items=items).save(tmp_path / "c.parquet")
    opened(tmp_path / "c.parquet", "bit", part="meaning")
