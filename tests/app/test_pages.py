"""The explorer's pages of bits, run without a browser: what they say, and what is measured for it."""

import dataclasses
import json
import re

import numpy as np
import pyarrow as pa
import pytest

from app.parts.images import SHOWN
from app.screens.bits import q_floor, q_text
from codelab.analysis import SECTIONS
from codelab.core.codes import Codes
from codelab.semantics.exemplars import exemplars
from tests.support.explored import (
    ANALYZE,
    checked,
    every_card,
    gallery,
    opened,
    press,
    rows,
    said,
    turn_to,
)
from tests.support.pictured import shapes


class TestOverview:
    def test_says_what_is_wrong_beside_what_controls_give(self, path):
        app = opened(path)
        words = said(app)
        assert app.title[0].value == "Is anything wrong with these codes?"
        assert "**Usable, with a caveat.** Worth a look: class in single bits." in words  # 1 of 12
        assert "No features: not compared with random directions." in words
        assert re.search(r"^mAP@ALL: these codes 0\.\d{3}, shuffled codes 0\.\d{3}\. 10-NN accuracy: ", words, re.M)
        table = next(frame.value for frame in app.dataframe if "shuffled codes" in frame.value)
        assert table["figure"].tolist()[-3:] == ["mAP@ALL", "10-NN accuracy", "precision@10"]
        assert app.warning
        for line in ("Bit balance", "Bits in use", "Independent bits", "Class in single bits", "Class in distances"):
            assert line in words
        for line in ("Retrieval", "Against shuffled codes", "Against random directions"):
            assert line in words
        assert "1 bit of 12 has information about the 2 classes (q < 0.05)" in words
        assert "bit 3 (" in words

    def test_shows_figures_and_the_provenance(self, path, codes):
        app = opened(path)
        charts = {section.name for section in SECTIONS if section.chart and "block" not in section.name}
        charts -= {"oversampling"}  # it needs features
        assert charts >= {"bit_usage", "class_information", "pair_distances"}
        assert {e.key for e in app.get("plotly_chart")} == charts
        assert "80 codes cannot fill the 256 cells" in said(app)  # in place of the fourth
        assert json.loads(app.json[0].value)["sha256"] == codes.sha256

    def test_collapsed_codes_are_called_so(self, tmp_path):
        Codes.from_bits(np.ones((50, 8)), labels=["a", "b"] * 25).save(tmp_path / "dead.parquet")
        app = opened(tmp_path / "dead.parquet")
        assert "Fault found" in app.error[0].value
        assert "8 bits never change (dead)" in said(app)
        assert "the code has collapsed" in said(app)


class TestOneBit:
    def test_opens_at_the_most_informative_bit(self, path):
        app = opened(path, "bit")
        assert app.number_input(key="bit").value == 3
        words = said(app)
        assert "1st of 12" in words
        assert "by information about the class" in words

    def test_address_names_the_bit(self, path, codes):
        app = opened(path, "bit", bit="7")
        assert app.number_input(key="bit").value == 7
        p = codes.to_bits()[:, 7].mean()
        assert f"#### {p:.1%}" in said(app)

    @pytest.mark.parametrize("bit", ["12", "-1", "x", ""])
    def test_an_address_of_no_bit_opens_the_first(self, path, bit):
        app = opened(path, "bit", bit=bit)
        assert app.number_input(key="bit").value == 3
        assert "1st of 12" in said(app)

    def test_previous_next_and_typing(self, path):
        app = opened(path, "bit", bit="7")
        button = {b.label: b for b in app.button}
        assert checked(button["Next"].click().run()).number_input(key="bit").value == 8
        button = {b.label: b for b in app.button}
        checked(button["Previous"].click().run())
        button = {b.label: b for b in app.button}
        assert checked(button["Previous"].click().run()).number_input(key="bit").value == 6
        checked(app.number_input(key="bit").set_value(0).run())
        assert checked({b.label: b for b in app.button}["Previous"].click().run()).number_input(key="bit").value == 11
        assert 0 <= press(app, "Random").number_input(key="bit").value < 12

    def test_shows_the_images_that_exemplars_names(self, path, codes):
        app = opened(path, "bit", bit="3", group="twin")
        found = exemplars(codes, 3, count=8, classes=3, bins=5, group="twin")
        assert rows(app, "zero-3") == found.zero.tolist()
        assert rows(app, "one-3") == found.one.tolist()
        assert rows(app, "threshold-3") == found.threshold.tolist()
        assert len(found.bins) in (5, 6)
        for number, part in enumerate(found.bins):
            assert rows(app, f"bin{number}-3") == part.rows[:2].tolist()
            assert re.sub(r"\*", "", said(app)).count(str(part).replace(": ", " ")) == 1
        assert all(card["picture"].startswith("data:image/png;base64,") for card in gallery(app, "one-3"))
        assert {card["mark"] for card in gallery(app, "one-3")} == {"one"}
        assert all(card["caption"].startswith("disc") for card in gallery(app, "one-3"))
        assert "at most one image for each twin" in said(app)

    def test_contrasts_hold_the_class_still(self, path, codes):
        app = opened(path, "bit", bit="5")
        for side, name in enumerate(("zero", "one")):
            shown = rows(app, f"contrast0{name}-5")
            assert shown
            assert set(codes.to_bits()[shown, 5]) == {bool(side)}
            assert len(set(codes.labels[shown])) == 1

    def test_shows_at_most_60_images(self, path):
        app = opened(path, "bit", bit="5")
        assert 24 <= len(every_card(app)) <= 60

    def test_q_values_have_three_decimals_and_are_never_nothing(self, path):
        app = opened(path, "bit", bit="3")  # two classes: its exact q-value is about 1e-15
        assert "#### < 0.005" in said(app)
        assert re.search(r"#### 0\.\d{3}$", said(opened(path, "bit", bit="5")), re.MULTILINE)

    @pytest.mark.parametrize(
        ("q", "permutations", "words"),
        [(0.0, 200, "< 0.005"), (0.0, 0, "< 0.001"), (0.0, 10**6, "< 0.001"), (0.02, 200, "0.020"), (1.0, 9, "1.000")],
    )
    def test_a_q_value_below_what_can_be_told_apart(self, q, permutations, words):
        assert q_text(q, q_floor(permutations)) == words


@pytest.fixture(scope="module")
def some(codes, tmp_path_factory):
    kept = [data if i % 5 == 0 else None for i, data in enumerate(codes.items["thumbnail"].to_pylist())]
    items = codes.items.drop_columns("thumbnail").append_column("thumbnail", pa.array(kept, pa.large_binary()))
    path = tmp_path_factory.mktemp("some") / "codes.parquet"
    dataclasses.replace(codes, items=items).save(path)
    return path


class TestPictures:
    """A file in which only every fifth image has a picture."""

    def test_galleries_of_a_bit_show_images_with_one(self, some, codes):
        app = opened(some, "bit", bit="3", group="twin")
        shown = every_card(app)
        assert shown
        assert all(card["picture"] for card in shown)
        rank = np.argsort(codes.logits[::5, 3], kind="stable") * 5
        assert rows(app, "zero-3") == [r for r in rank if codes.logits[r, 3] <= 0][:SHOWN]
        assert "Images of the 16 images with a picture, ranked by logit" in said(app)
        histogram = json.loads(next(e for e in app.get("plotly_chart") if e.key == "margins3").proto.spec)
        assert sum(int(trace["name"].split("(")[1].split()[0]) for trace in histogram["data"]) == 80

    def test_all_images_on_request(self, some, codes):
        app = opened(some, "bit", bit="3")
        checked(app.toggle(key="pictured").set_value(False).run())
        assert rows(app, "zero-3") == exemplars(codes, 3, count=SHOWN, classes=3).zero.tolist()
        assert "with a picture, ranked" not in said(app)

    def test_no_switch_where_all_or_none_have_one(self, path):
        assert not opened(path, "bit").toggle

    def test_queries_to_choose_from_have_one(self, some):
        app = opened(some, "retrieval")
        assert all(card["picture"] for card in gallery(app, "choose"))
        assert "Of the 16 images with a picture." in said(app)
        assert len(rows(app, "near")) == 24


class TestMeasuring:
    """A page waits for what it shows and for nothing else; the overview measures the table of bits too."""

    @pytest.mark.parametrize(
        ("page", "needed"),
        [
            ("bit", {"bit_usage", "class_information", "bit_reuse"}),
            ("bits", {"bit_usage", "class_information", "bit_reuse", "bit_dependence"}),
            ("retrieval", set()),
            (
                "overview",
                {
                    "bit_usage",
                    "class_information",
                    "pair_distances",
                    "degrees_of_freedom",
                    "block_entropy_contiguous",
                    "block_entropy_random",
                    "block_entropy_dependent",
                    "retrieval",
                    "controls",
                },
            ),
        ],
    )
    def test_only_the_sections_of_the_page(self, tmp_path, monkeypatch, page, needed):
        asked = []
        measure = ANALYZE.measured

        def listened(section, given):
            asked.append(section.name)
            return measure(section, given)

        monkeypatch.setattr(ANALYZE, "measured", listened)
        monkeypatch.setenv("CODELAB_CACHE", str(tmp_path / "cache"))  # nothing was measured before
        path = tmp_path / "codes.parquet"
        running = opened(path)  # a page can be named once the app has run: while there is no file yet
        shapes().save(path)
        assert "80 images" in said(turn_to(running, page))
        shown = {
            "bit": {section.name for section in SECTIONS if section.columns},
            "bits": {section.name for section in SECTIONS if section.columns} | {"bit_dependence"},
            "retrieval": set(),
        }
        shown["overview"] = {section.name for section in SECTIONS if section.verdicts or section.chart} | shown["bits"]
        assert needed <= shown[page]
        assert sorted(asked) == sorted(shown[page])


class TestGroups:
    """Near copies share: what the sidebar names reaches every measure."""

    @pytest.mark.parametrize("page", ["overview", "bits"])
    def test_every_section_is_measured_with_the_groups(self, tmp_path, monkeypatch, page):
        groups = []
        measure = ANALYZE.measured

        def listened(section, given):
            groups.append(given.groups)
            return measure(section, given)

        monkeypatch.setattr(ANALYZE, "measured", listened)
        monkeypatch.setenv("CODELAB_CACHE", str(tmp_path / "cache"))  # nothing was measured before
        path = tmp_path / "codes.parquet"
        shapes(bits=11).save(path)
        running = opened(path, page)
        assert set(groups) == {None}
        groups.clear()
        checked(running.selectbox(key="group").set_value("twin").run())
        assert set(groups) == {"twin"}

    def test_near_copies_that_nobody_named_are_pointed_out(self, tmp_path):
        path = tmp_path / "codes.parquet"
        bits = np.repeat(np.random.default_rng(0).integers(0, 2, (60, 64)), 5, axis=0)
        Codes.from_bits(bits, items={"frame": np.repeat(np.arange(60), 5).astype(str)}).save(path)
        running = opened(path)
        words = "Near copies count as independent images"
        assert any(words in warning.value for warning in running.warning)
        checked(running.selectbox(key="group").set_value("frame").run())
        assert not any(words in warning.value for warning in running.warning)
