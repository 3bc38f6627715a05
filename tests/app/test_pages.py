"""The explorer's pages, run without a browser: what they say for every kind of codes a person may open."""

import dataclasses
import json
import re
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from app.parts.images import SHOWN
from app.screens.bits import q_floor, q_text
from codelab.analysis import SECTIONS
from codelab.core.codes import Codes
from codelab.core.files import load
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.neighbours.search import search
from codelab.retrieval.measures import retrieval_map
from codelab.semantics.exemplars import exemplars
from tests.support.pictured import exported, shapes

ANALYZE = import_module("codelab.analysis.analyze")  # `codelab.analysis.analyze` is a function too
MAIN = str(Path(__file__).parents[2] / "app" / "main.py")
PAGES = ("overview", "bits", "bit", "classes", "retrieval", "image", "map", "query", "compare", "run")
NEW = {
    "classes": "Every class and bit",
    "image": "What is this image's code?",
    "map": "Trustworthiness",
    "query": "images",
    "compare": "Name other codes",
    "run": "No training run lies beside these codes",
}
"""Words of the pages that show the same for most codes."""


def opened(path, page="overview", **query):
    """A page of the explorer on a codes file, after a run without an exception."""
    app = AppTest.from_file(MAIN, default_timeout=100)
    for name, value in {"codes": str(path), **query}.items():
        app.query_params[name] = value
    app._page_hash = calc_hash(page)  # as a link to the page has it: AppTest can only switch to pages that are files
    return checked(app.run())


def turn_to(app, page):
    """Another page of the running app, as a click in its navigation opens it."""
    app._page_hash = app.session_state["pages"][page]._script_hash
    return checked(app.run())


def checked(app):
    assert not app.exception, app.exception[0].value
    return app


def press(app, label):
    return checked(next(button for button in app.button if button.label == label).click().run())


def said(app):
    """Everything the page says in words, without markdown's backslashes."""
    kinds = (app.title, app.markdown, app.caption, app.info, app.success, app.warning, app.error)
    return re.sub(r"\\([^\w\s])", r"\1", "\n".join(element.value for kind in kinds for element in kind))


def gallery(app, key):
    """The cards of a gallery on the page."""
    element = next(e for e in app.get("bidi_component") if e.key == key)
    return json.loads(element.proto.json)["cards"]


def every_card(app):
    """The cards of all galleries on the page."""
    data = [json.loads(e.proto.json) for e in app.get("bidi_component") if e.proto.json]
    return [card for one in data for card in one.get("cards", [])]


def table_with(app, column):
    """The first table on the page that has this column."""
    return next(frame.value for frame in app.dataframe if column in frame.value)


def rows(app, key):
    return [card["row"] for card in gallery(app, key)]


@pytest.fixture(scope="module")
def codes():
    return shapes()


@pytest.fixture(scope="module")
def path(codes, tmp_path_factory):
    path = tmp_path_factory.mktemp("app") / "codes.parquet"
    codes.save(path)
    return path


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


class TestRetrieval:
    def test_neighbours_are_those_of_search(self, path, codes):
        app = opened(path, "retrieval", item="item-4")
        others = np.delete(np.arange(len(codes)), 4)
        found = search(codes[others], codes[[4]], k=24)
        assert rows(app, "near") == others[found.indices[0]].tolist()
        same = codes.labels[rows(app, "near")] == codes.labels[4]
        signs = [f"{d} {'✓' if s else '✗'}" for d, s in zip(found.distances[0], same, strict=True)]
        assert [card["note"] for card in gallery(app, "near")] == signs
        assert f"The 24 nearest of {len(codes) - 1}" in said(app)

    def test_average_precision_with_its_range_of_ties(self, path, codes):
        app = opened(path, "retrieval", item="item-4")
        others = codes[np.delete(np.arange(len(codes)), 4)]
        expected, low, high = (
            retrieval_map(codes[[4]], others, ties=ties).value for ties in ("expected", "pessimistic", "optimistic")
        )
        assert f"### {expected:.3f}" in said(app)
        assert f"{low:.3f} to {high:.3f} as ties fall" in said(app)

    def test_lists_the_bits_that_differ(self, path, codes):
        app = opened(path, "retrieval", item="item-4")
        table = table_with(app, "differing bits")
        bits = codes.to_bits()
        for place, row in enumerate(rows(app, "near")):
            differing = " ".join(map(str, np.flatnonzero(bits[4] != bits[row]))) or "none"
            assert table["differing bits"][place] == differing
            assert table["distance"][place] == (bits[4] != bits[row]).sum()

    def test_the_code_stands_in_lines_of_16(self, tmp_path):
        codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (30, 40)))
        codes.save(tmp_path / "codes.parquet")
        app = opened(tmp_path / "codes.parquet", "retrieval")
        bits, hexadecimal = (block.value.split("\n") for block in app.code[:2])
        assert [len(line) for line in bits] == [16, 16, 8]
        assert "".join(bits) == codes.code(0).to01()
        assert "".join(hexadecimal) == codes.packed[0].tobytes().hex()

    def test_same_group_is_left_out_until_asked_for(self, path):
        app = opened(path, "retrieval", item="item-4", group="twin")
        assert "The 24 nearest of 78" in said(app)
        checked(app.toggle(key="leave_out").set_value(False).run())
        assert "The 24 nearest of 79" in said(app)

    def test_random_and_unknown_items(self, path):
        app = opened(path, "retrieval", item="nobody")
        assert "No image has the id 'nobody'" in said(app)
        press(app, "Random")
        assert app.text_input(key="item").value.startswith("item-")
        assert "as ties fall" in said(app)

    def test_a_class_to_choose_from(self, path, codes):
        app = opened(path, "retrieval")
        checked(app.selectbox(key="choose_class").set_value("disc").run())
        assert set(codes.labels[rows(app, "choose")]) == {1}
        before = rows(app, "choose")
        press(app, "Others")
        assert rows(app, "choose") != before


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Codes with the encoder that made them beside them."""
    return exported(tmp_path_factory.mktemp("upload"))


class TestUpload:
    def upload(self, path, name, data):
        app = opened(path, "retrieval")
        checked(app.button_group(key="source").set_value("an image of yours").run())
        return checked(app.file_uploader(key="upload").upload(name, data, "image/png").run())

    def test_an_image_of_the_set_finds_what_its_own_code_finds(self, made):
        picture = made.parent / "pictures" / "disc" / "7.png"
        app = self.upload(made, "mine.png", picture.read_bytes())
        codes = load(made)
        row = codes.items["id"].to_pylist().index("disc/7.png")
        found = search(codes, codes[[row]], k=24)
        assert rows(app, "near") == found.indices[0].tolist()
        assert [card["note"].strip() for card in gallery(app, "near")] == [str(d) for d in found.distances[0]]
        assert table_with(app, "differing bits")["differing bits"][0] == "none"

    def test_shows_the_code_of_the_image(self, made):
        picture = made.parent / "pictures" / "disc" / "7.png"
        app = self.upload(made, "mine.png", picture.read_bytes())
        codes = load(made)
        own = codes[[codes.items["id"].to_pylist().index("disc/7.png")]]
        bits, hexadecimal = (block.value for block in app.code[:2])
        assert bits == "".join(map(str, own.to_bits()[0].astype(int)))  # 16 bits: one line
        assert hexadecimal == own.packed.tobytes().hex()

    def test_a_file_that_is_no_image(self, made):
        app = self.upload(made, "mine.png", b"nothing")
        assert app.error[0].value.startswith("mine")
        assert "not a readable image" in said(app)

    def test_without_a_checkpoint_it_says_why(self, path):
        app = opened(path, "retrieval")
        checked(app.button_group(key="source").set_value("an image of yours").run())
        assert app.file_uploader(key="upload").disabled
        assert "put its checkpoint beside them" in said(app)

    def test_another_encoder_is_refused(self, made, tmp_path):
        codes = shapes(bits=16)
        codes.meta["encoder"] = {"sha256": "0" * 64}
        codes.save(tmp_path / "codes.parquet")
        shutil.copy(made.parent / "encoder.safetensors", tmp_path)
        app = opened(tmp_path / "codes.parquet", "retrieval")
        checked(app.button_group(key="source").set_value("an image of yours").run())
        assert "is not the encoder that made these codes" in said(app)

    def test_an_encoder_of_other_width_is_refused(self, path, tmp_path):
        shutil.copy(path, tmp_path / "codes.parquet")
        Encoder(EncoderConfig(bits=5, image_size=16, width=4, hidden=16)).save(tmp_path / "encoder.safetensors")
        app = opened(tmp_path / "codes.parquet", "retrieval")
        checked(app.button_group(key="source").set_value("an image of yours").run())
        assert "gives 5 bits; these codes have 12" in said(app)


class TestSidebar:
    def test_any_attribute_can_be_the_labels(self, path):
        app = opened(path)
        labels = app.selectbox(key="labels")
        assert labels.options == ["the file's own", "shade", "twin", "none"]
        checked(labels.set_value("shade").run())
        assert "bit 3 (" not in said(app)
        checked(app.selectbox(key="labels").set_value("none").run())
        assert "Not measured" in said(app)

    def test_the_address_carries_the_labels(self, path):
        assert opened(path, labels="shade").selectbox(key="labels").value == "shade"

    def test_what_holds_on_every_page_is_written_into_an_address_that_lacks_it(self, path):
        """As after a click on a link to another page, or a run that began before the browser had the last address."""
        app = opened(path, labels="shade", group="twin")
        for page in ("retrieval", "retrieval", "bits"):
            app.query_params.clear()
            turn_to(app, page)
            assert app.selectbox(key="labels").value == "shade"
            assert app.selectbox(key="group").value == "twin"
            kept = {name: app.query_params[name] for name in ("codes", "labels", "group")}
            assert kept == {"codes": str(path), "labels": "shade", "group": "twin"}

    def test_a_default_is_not_in_the_address(self, path):
        app = opened(path)
        checked(app.selectbox(key="labels").set_value("shade").run())
        checked(app.selectbox(key="group").set_value("twin").run())
        assert app.query_params["labels"] == "shade"
        checked(app.selectbox(key="labels").set_value("the file's own").run())
        assert "labels" not in app.query_params
        assert app.query_params["group"] == "twin"
        assert app.selectbox(key="labels").value == "the file's own"

    def test_columns_that_tell_no_images_apart_are_no_groups(self, path, tmp_path):
        assert opened(path).selectbox(key="group").options == ["none", "name", "shade", "twin"]
        items = pa.table({"emoji": ["a"] * 30, "pair": [f"{i // 2}" for i in range(30)], "list": [[1]] * 30})
        Codes.from_bits(np.eye(30), items=items).save(tmp_path / "c.parquet")
        app = opened(tmp_path / "c.parquet", group="emoji")
        assert app.selectbox(key="group").options == ["none", "pair"]
        assert app.selectbox(key="group").value == "none"

    def test_summary_and_attribution(self, tmp_path):
        codes = shapes()
        codes.meta["data"] = {"attribution": "Drawn by <b>Ann</b>"}
        codes.save(tmp_path / "codes.parquet")
        words = said(opened(tmp_path / "codes.parquet"))
        assert "**80 images · 12 bits**" in words
        assert "with logits, thumbnails" in words
        assert "Drawn by <b>Ann</b>" in words

    def test_another_file_with_fewer_bits_and_other_labels(self, path, tmp_path):
        Codes.from_bits(np.random.default_rng(0).integers(0, 2, (30, 5)), labels=["a", "b"] * 15).save(
            tmp_path / "small.parquet"
        )
        app = opened(path, "bit", bit="11", labels="shade")
        checked(app.text_input(key="codes").set_value(str(tmp_path / "small.parquet")).run())
        assert "30 images · 5 bits" in said(app)
        assert 0 <= app.number_input(key="bit").value < 5
        assert app.selectbox(key="labels").value == "the file's own"

    def test_a_file_written_anew_is_read_anew(self, tmp_path):
        shapes(40).save(tmp_path / "codes.parquet")
        app = opened(tmp_path / "codes.parquet")
        assert "40 images" in said(app)
        shapes(30).save(tmp_path / "codes.parquet")
        assert "30 images" in said(checked(app.run()))


@pytest.mark.parametrize("page", PAGES)
class TestOddCodes:
    """Every page stands, and says what is missing."""

    def test_no_file_yet(self, tmp_path, monkeypatch, page):
        monkeypatch.chdir(tmp_path)
        app = AppTest.from_file(MAIN, default_timeout=100)
        checked(app.run())
        turn_to(app, page)
        assert "make demo" in said(app)
        assert "codelab export" in said(app)
        assert not app.error

    def test_wrong_files_in_one_line(self, tmp_path, page):
        (tmp_path / "cut.parquet").write_bytes(b"PAR1 and then nothing")
        (tmp_path / "notes.txt").write_text("hello")
        for name, words in {
            "none.parquet": "no codes in the explorer's folder",
            "cut.parquet": "not a whole Parquet file",
            "notes.txt": "expected a .parquet, .npy or .npz file",
        }.items():
            app = opened(tmp_path / name, page)
            assert len(app.error) == 1
            assert words in said(app)
            assert "\n" not in app.error[0].value
            assert "codelab export" in said(app)

    def test_unlabelled(self, tmp_path, page):
        codes = shapes()
        Codes(codes.packed, codes.bits, items=codes.items.select(["id", "thumbnail"])).save(tmp_path / "c.parquet")
        words = said(opened(tmp_path / "c.parquet", page))
        needed = NEW | {
            "classes": "Needs labels",
            "overview": "Not measured. Needs labels",
            "bits": "12 of 12 bits",
            "bit": "No logits were kept",
            "retrieval": "how many bits differ",
        }
        assert needed[page] in words

    def test_no_pictures(self, tmp_path, page):
        shapes(thumbnails=False, logits=False).save(tmp_path / "c.parquet")
        app = opened(tmp_path / "c.parquet", page)
        if page in ("bit", "retrieval"):
            key = "zero-3" if page == "bit" else "near"
            assert all(card["missing"] == "no picture kept" and not card["picture"] for card in gallery(app, key))
        if page == "bit":
            assert "No logits were kept" in said(app)
            assert "drawn at random (seed 0)" in said(app)

    def test_one_image(self, tmp_path, page):
        shapes(1).save(tmp_path / "c.parquet")
        words = said(opened(tmp_path / "c.parquet", page))
        needed = NEW | {"overview": "1 images", "bit": "No image on this side", "retrieval": "no other image"}
        needed |= {"classes": "None of 1 classes has 2 images", "map": "expected at least 31"}
        needed["bits"] = "No bit matches"  # none of them changes
        assert needed[page] in words

    def test_no_images(self, tmp_path, page):
        Codes(np.empty((0, 1), np.uint8), 8).save(tmp_path / "c.parquet")
        words = said(opened(tmp_path / "c.parquet", page))
        needed = {"classes": "Needs labels", "compare": NEW["compare"], "run": NEW["run"], "query": "Type a formula"}
        assert needed.get(page, "no codes in this set") in words

    def test_all_bits_dead(self, tmp_path, page):
        Codes.from_bits(np.zeros((30, 9)), labels=["a", "b", "c"] * 10).save(tmp_path / "c.parquet")
        words = said(opened(tmp_path / "c.parquet", page))
        needed = NEW | {"overview": "9 bits never change", "bit": "dead", "retrieval": "The 24 nearest of 29"}
        needed |= {"map": "expected at least 31"}
        needed["bits"] = "No bit matches"
        assert needed[page] in words

    def test_several_labels_an_image(self, tmp_path, page):
        codes = shapes()
        labels = np.stack([codes.labels == 0, codes.labels == 1, np.arange(len(codes)) % 3 == 0], axis=1)
        names = ("bar", "disc", "third")
        many = Codes(codes.packed, codes.bits, labels=labels, classes=names, items=codes.items, logits=codes.logits)
        many.save(tmp_path / "c.parquet")
        app = opened(tmp_path / "c.parquet", page)
        if page == "retrieval":
            mine = set(np.flatnonzero(labels[0]))
            for card in gallery(app, "near"):
                shared = mine & set(np.flatnonzero(labels[card["row"]]))
                assert card["note"].endswith("✓" if shared else "✗")
        elif page == "bit":
            assert "Within one class" in said(app)
        elif page == "overview":
            assert "Class in distances" in said(app)

    def test_names_are_data_and_not_markup(self, tmp_path, page):
        wild = ["<script>alert(1)</script>", "*bold* $x$ [a](b) :red[c]"]
        items = pa.table({"id": [f"<b>{i}</b>" for i in range(40)]})
        codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (40, 9)), labels=wild * 20, items=items)
        codes.save(tmp_path / "c.parquet")
        app = opened(tmp_path / "c.parquet", page)
        assert not any(element.allow_html for element in app.markdown)
        if page == "retrieval":
            assert f"class: {wild[0]}" in said(app)
            assert gallery(app, "near")[0]["caption"].startswith("<b>")

    def test_numpy_files_and_folders(self, tmp_path, page):
        np.save(tmp_path / "codes.npy", np.random.default_rng(0).integers(0, 2, (50, 10)))
        assert "50 images · 10 bits" in said(opened(tmp_path / "codes.npy", page))
        (tmp_path / "parts").mkdir()
        for number in range(2):
            shapes(20, seed=number).save(tmp_path / "parts" / f"{number}.parquet")
        assert "40 images · 12 bits" in said(opened(tmp_path / "parts", page))
