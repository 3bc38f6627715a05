"""Classes, one image, comparison, training run, and what retrieval searches for beside images."""

import json
from base64 import b64decode
from urllib.parse import parse_qsl

import numpy as np
import pytest

from app.queries import typed_code, weights_of, weights_text
from app.screens.overview import BEHIND
from codelab import class_signatures, compare_codes, neighbour_changes, search, shared_codes
from codelab.analysis.sections import SECTIONS
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.images.encoder import Encoder
from codelab.measures.bit_usage import bit_usage
from tests.support.explored import checked, gallery, opened, press, rows, said
from tests.support.pictured import TWINS, planted, shapes


@pytest.fixture(scope="module")
def codes():
    return shapes(100)


@pytest.fixture(scope="module")
def path(codes, tmp_path_factory):
    path = tmp_path_factory.mktemp("more") / "codes.parquet"
    codes.save(path)
    return path


class TestClasses:
    def test_each_class_has_its_signature(self, path, codes):
        found = class_signatures(codes)
        for one in found.signatures:
            app = opened(path, "classes", **{"class": one.label})
            assert f"{one.n:,} images, {one.spread:.1f} bits apart on average" in said(app)
            figure = json.loads(next(e for e in app.get("plotly_chart") if e.key.startswith("signature")).proto.spec)
            assert figure["data"][0]["y"][::-1] == [
                f"bit {b} = {s}  " for b, s in zip(one.bits, one.sides, strict=True)
            ]
            assert rows(app, "members")[0] == one.medoid
            assert gallery(app, "members")[0]["note"] == "in the middle"

    def test_next_and_another_class_to_compare(self, path, codes):
        app = opened(path, "classes")
        first = app.query_params["class"]
        press(app, "Next")
        assert app.query_params["class"] != first
        between = class_signatures(codes).between("disc", "bar")
        assert said(app).count("Two classes") == 1
        shown = next(f.value for f in app.dataframe if "difference" in f.value)
        assert shown["bit"].iloc[0] == between["bit"].iloc[0] == 3

    def test_confusions_are_those_of_shared_codes(self, tmp_path):
        draw = np.random.default_rng(0)
        codes = Codes.from_bits(
            draw.integers(0, 2, (200, 3)), labels=draw.integers(0, 3, 200), classes=("a", "b", "c")
        )
        codes.save(tmp_path / "c.parquet")
        app = opened(tmp_path / "c.parquet", "classes")
        shown = next(f.value for f in app.dataframe if "pairs" in f.value)
        assert shown["pairs"].tolist() == shared_codes(codes).pairs.tolist()

    def test_without_labels_or_with_one_class(self, tmp_path):
        Codes.from_bits(np.eye(9)).save(tmp_path / "none.parquet")
        assert "needs labels" in said(opened(tmp_path / "none.parquet", "classes")).lower()
        Codes.from_bits(np.eye(9), labels=["a"] * 9).save(tmp_path / "one.parquet")
        assert "classes have images in both halves" in said(opened(tmp_path / "one.parquet", "classes")).lower()


class TestImage:
    def test_an_image_with_its_bits_and_neighbours(self, path, codes):
        app = opened(path, "image", item="item-7")
        figure = json.loads(next(e for e in app.get("plotly_chart") if e.key == "barcode-7").proto.spec)
        drawn = figure["data"][0]["y"]
        np.testing.assert_allclose(np.frombuffer(b64decode(drawn["bdata"]), drawn["dtype"]), codes.logits[7])
        others = [i for i in range(100) if i != 7]
        found = search(codes[others], codes[[7]], k=12)
        assert rows(app, "nearest") == [others[i] for i in found.indices[0]]
        one_away = [others[i] for i, d in zip(found.indices[0], found.distances[0], strict=True) if d == 1]
        if one_away:
            assert rows(app, "one-away") == one_away
        press(app, "Next")
        assert app.query_params["item"] == "item-8"

    def test_an_id_that_nobody_has(self, path):
        assert "No image has the id 'x'" in said(opened(path, "image", item="x"))

    def test_codes_alone(self, tmp_path):
        Codes.from_bits(np.random.default_rng(0).integers(0, 2, (30, 6))).save(tmp_path / "c.parquet")
        assert "export with --logits" in said(opened(tmp_path / "c.parquet", "image"))
        Codes.from_bits([[1, 0]]).save(tmp_path / "one.parquet")
        assert "no other image" in said(opened(tmp_path / "one.parquet", "image"))


class TestCompare:
    def test_two_codes_side_by_side(self, path, codes, tmp_path_factory):
        other = Codes.from_bits(
            np.random.default_rng(1).integers(0, 2, (100, 12)),
            labels=codes.labels,
            classes=codes.classes,
            items=codes.items,
        )
        file = tmp_path_factory.mktemp("other") / "other.parquet"
        other.save(file)
        app = opened(path, "compare", **{"with": str(file)})
        found = compare_codes(codes, other)
        shown = next(f.value for f in app.dataframe if "figure" in f.value)
        assert shown["figure"].tolist() == [row[0] for row in found.table()]
        assert found.matching.headline() in said(app)
        changes = neighbour_changes(codes, other, sample=1000)
        assert f"{changes.value:.0%} are the same in both codes" in said(app)

    def test_a_selection_is_lit_on_both_maps(self, path, codes, tmp_path_factory):
        file = tmp_path_factory.mktemp("other") / "other.parquet"
        Codes.from_bits(codes.to_bits()[:, ::-1], labels=codes.labels, classes=codes.classes, items=codes.items).save(
            file
        )
        app = opened(path, "compare", **{"with": str(file)}, sel="where 3 & ~5")
        press(app, "Lay out the map and its control")
        figures = [json.loads(e.proto.spec) for e in app.get("plotly_chart") if e.key.startswith("map-of-")]
        bits = codes.to_bits().astype(bool)
        expected = np.flatnonzero(bits[:, 3] & ~bits[:, 5])
        assert len(figures) == 2
        for figure in figures:
            _, lit = (
                np.frombuffer(b64decode(t["customdata"]["bdata"]), t["customdata"]["dtype"]) for t in figure["data"]
            )
            assert lit.tolist() == expected.tolist()
        assert f"**{len(expected)} of 100 images**" in said(app)

    def test_what_to_compare_with(self, path, tmp_path):
        assert "Name other codes" in said(opened(path, "compare"))
        assert "no codes in the explorer's folder" in said(opened(path, "compare", **{"with": "/etc/passwd"}))
        shapes(50).save(tmp_path / "fewer.parquet")
        app = opened(path, "compare", **{"with": str(tmp_path / "fewer.parquet")})
        assert "100" in app.info[0].value
        assert "50" in app.info[0].value
        (tmp_path / "cut.parquet").write_bytes(b"PAR1")
        assert len(opened(path, "compare", **{"with": str(tmp_path / "cut.parquet")}).error) == 1


class TestRun:
    def test_no_run(self, path):
        assert "No training run lies beside these codes" in said(opened(path, "run"))

    def test_curves_and_alarms(self, tmp_path, codes):
        codes.save(tmp_path / "codes.parquet")
        lines = [
            {"step": 10 * i, "loss": 1 - 0.1 * i, "entropy": 0.9, "agreement": 0.1 * i, "warning": "bits die"}
            for i in range(1, 6)
        ]
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        app = opened(tmp_path / "codes.parquet", "run")
        assert len(app.get("plotly_chart")) >= 2
        assert "bits die" in said(app)

    def test_a_broken_run_is_one_line(self, tmp_path, codes):
        codes.save(tmp_path / "codes.parquet")
        (tmp_path / "metrics.jsonl").write_text("{\n[]\n")
        app = opened(tmp_path / "codes.parquet", "run")
        assert len(app.error) == 1


class TestTypedCodes:
    def test_bits_patterns_and_hex(self):
        assert typed_code("1010", 4).code.code(0).to01() == "1010"
        assert typed_code("1 0\n1 0", 4).fixed.all()
        assert typed_code("1*", 4).fixed.tolist() == [True, False, False, False]
        assert typed_code("A0", 8).code.code(0).to01() == "10100000"
        assert typed_code("10", 8).fixed.tolist() == [True, True] + [False] * 6  # bits come first: 0x10 is hex
        assert typed_code("0x10", 8).code.code(0).to01() == "00010000"

    @pytest.mark.parametrize("words", ["", "2", "10101", "zz", "0x1", "f8", "é"])
    def test_what_is_no_code_is_refused(self, words):
        with pytest.raises(UsageError, match="code "):
            typed_code(words, 4)

    def test_a_pattern_counts_its_bits_alone(self, path, codes):
        app = opened(path, "retrieval", typed="1**0")
        checked(app.button_group(key="source").set_value("a code").run())
        bits = codes.to_bits()
        distance = (bits[:, 0] != 1).astype(int) + (bits[:, 3] != 0)
        expected = np.argsort(distance, kind="stable")[:24]
        assert rows(app, "near") == expected.tolist()
        assert [card["note"].split()[0] for card in gallery(app, "near")] == [str(d) for d in distance[expected]]


class TestWeights:
    def test_text_and_back(self):
        weights = weights_of("0:0 2:2.5", 4)
        assert weights.tolist() == [0, 1, 2.5, 1]
        assert weights_text(weights) == "0:0 2:2.5"
        assert weights_of("1:1", 4) is None

    @pytest.mark.parametrize("text", ["x", "9:1", "0:-1", "0:nan", "0:", "0:0 1:0", "0:1e9", "²:1"])
    def test_what_is_none_is_refused(self, text):
        with pytest.raises(UsageError, match="weights: "):
            weights_of(text, 2)

    def test_neighbours_follow_the_weights(self, path, codes):
        app = opened(path, "retrieval", item="item-7", weights="3:0 5:4")
        weights = weights_of("3:0 5:4", 12)
        others = [i for i in range(100) if i != 7]
        found = search(codes[others], codes[[7]], k=24, weights=weights)
        assert rows(app, "near") == [others[i] for i in found.indices[0]]
        press(app, "All bits alike")
        assert "weights" not in app.query_params

    def test_rescored_neighbours_have_both_distances(self, path, codes):
        app = opened(path, "retrieval", item="item-7", rescore="logits")
        others = [i for i in range(100) if i != 7]
        found = search(codes[others], codes[[7]], k=24, rescore="logits", oversample=4)
        assert rows(app, "near") == [others[i] for i in found.indices[0]]
        note = gallery(app, "near")[0]["note"]
        assert note.startswith(f"{found.distances[0][0]} · {found.rescored[0][0]:.2f}")


@pytest.mark.parametrize("curve", ["Precision and recall", "Fewer bits", "Oversampling"])
def test_curves_are_measured_when_asked_for(path, curve):
    app = opened(path, "retrieval", curve=curve)
    label = next(button.label for button in app.button if button.label.startswith("Measure: "))
    before = len(app.get("plotly_chart"))
    press(app, label)
    assert len(app.get("plotly_chart")) > before or "features" in said(app).lower()


def test_each_tile_leads_to_what_is_behind_it(path, codes):
    app = opened(path, "overview")
    links = {link.proto.label: link.proto for link in app.get("page_link")}
    assert list(links) == [label for label, _, _ in BEHIND.values()]
    assert set(BEHIND) == {title for section in SECTIONS for title, _ in section.verdicts}
    for label, page, names in BEHIND.values():
        assert links[label].page == page
        assert dict(parse_qsl(links[label].query_string)) == names
    assert f"codelab score {path} --out scorecard.html" in [block.value for block in app.code]


def test_the_bits_stand_in_the_order_of_the_address(path, codes):
    app = opened(path, "bits", sort="entropy")
    shown = next(frame.value for frame in app.dataframe if "entropy" in frame.value)
    entropy = bit_usage(codes).entropy[shown["bit"].to_numpy()]
    assert len(shown) == 12
    assert (np.diff(entropy) > -1e-9).all()
    assert checked(app.selectbox(key="sort").set_value("bit").run()).query_params["sort"] == "bit"


def test_near_copies_lead_to_the_nearest_pair(tmp_path):
    planted(tmp_path)
    app = opened(tmp_path / "codes.parquet", "retrieval")
    seen = [press(app, "Near copies").text_input(key="item").value for _ in range(2)]
    assert sorted(seen) == sorted(f"item-{row}" for row in TWINS)


def test_a_transformer_shows_its_attention(tmp_path):
    planted(tmp_path)
    assert (
        "attention" not in opened(tmp_path / "codes.parquet", "bit", part="where").button_group(key="heatmap").options
    )
    Encoder.from_timm("test_vit", bits=24).save(tmp_path / "encoder.safetensors")
    app = opened(tmp_path / "codes.parquet", "bit", part="where")
    checked(app.button_group(key="heatmap").set_value("attention").run())
    assert "the attention they get, an approximation" in said(app)
