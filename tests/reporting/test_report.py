"""The HTML report: opened from disk in a real browser, with nothing fetched, nothing executed that was data."""

import dataclasses
import json
import re
import shutil
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from codelab import Codes, DataError, UsageError, analyze
from codelab.analysis import SECTIONS
from codelab.core.formats import heading
from codelab.images.cards import card, picture_uri
from codelab.reporting.report import write_report
from codelab.reporting.verdict import verdicts
from tests.support.browser import chromium
from tests.support.pictured import png, shapes

WILD = ("<script>window.hacked = 1</script>", "</script><img src=x onerror='window.hacked = 1'>")


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser):
    """Opens a file in a browser; no error, no request beyond the file itself."""
    pages = []

    def open_file(path):
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        pages.append((page, path))
        return page

    yield open_file
    for page, path in pages:
        # what Chromium's own driver says of a map's points, drawn without a GPU, is not of the page
        assert [line for line in page.said if "GL Driver Message" not in line] == []
        assert {url for url in page.asked if not url.startswith(("data:", "blob:"))} == {path.as_uri()}
        page.close()


def test_report_shows_it_all(tmp_path, opened):
    codes = shapes(400, 16)
    codes.meta["data"] = {"name": "shapes", "attribution": "Drawn by hand"}
    path = tmp_path / "report.html"
    results = analyze(codes, permutations=60)
    table = pd.DataFrame({"name": ["trained", "pixels"], "code mAP": [0.23456, float("nan")], "dof": [20.12, 3.0]})
    write_report(codes, path, results=results, title="Bars & discs", extra_tables={"400 drawings": table})
    page = opened(path)
    assert page.title() == page.locator("h1").inner_text() == "Bars & discs"
    words = page.locator("main").inner_text()
    for line in verdicts(results)[:5]:
        assert line.text in words
    assert re.search(r"trained\s+0.235\s+20.1", words)
    assert re.search(r"pixels\s+–\s+3", words)
    assert codes.sha256 in words
    assert "Drawn by hand" in words
    assert "1st of 16 by information about the class" in words
    assert page.locator("article.bit").first.get_attribute("id") == "bit-3"
    assert page.locator(".js-plotly-plot .main-svg").count() >= 4 + 6
    for image in page.locator("article.bit img").all():
        assert image.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 0
    assert page.locator("article.bit img").count() == 6 * 3 * 8
    boxes = [figure.bounding_box() for figure in page.locator(".charts .js-plotly-plot").all()]
    assert all(box["width"] < 600 for box in boxes)  # two columns, none drawn over its neighbour
    provenance = json.loads(page.locator("pre").text_content())
    assert provenance["codes"]["sha256"] == codes.sha256
    assert provenance["results"]["degrees_of_freedom"]["value"] == pytest.approx(results["degrees_of_freedom"].value)
    page.get_by_text("Show the table").click()
    assert page.locator("details tbody tr").first.locator("td").first.inner_text() == "3"
    assert path.read_text().count("plotly.js v") <= 1


def test_names_are_data_and_not_markup(tmp_path, opened):
    items = pa.table({"id": [WILD[i % 2] for i in range(60)], "kind": [WILD[1]] * 60})
    codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (60, 8)), labels=list(WILD) * 30, items=items)
    codes.meta["data"] = {"attribution": WILD[0], "name": WILD[1]}
    table = pd.DataFrame({WILD[0]: [WILD[1]]})
    write_report(codes, tmp_path / "report.html", title=WILD[1], extra_tables={WILD[0]: table})
    page = opened(tmp_path / "report.html")
    assert page.evaluate("window.hacked") is None
    assert page.locator("h1").inner_text() == WILD[1]
    assert page.locator("script", has_text="window.hacked = 1").count() == 0
    assert page.locator("img[onerror]").count() == 0


@pytest.mark.parametrize("kind", ["unlabelled", "no pictures", "one image", "dead", "multi-label", "wide"])
def test_odd_codes_have_a_report(kind, tmp_path, opened):
    codes = shapes(60)
    rng = np.random.default_rng(0)
    codes = {
        "unlabelled": lambda: Codes(codes.packed, codes.bits, items=codes.items),
        "no pictures": lambda: shapes(60, thumbnails=False, logits=False),
        "one image": lambda: shapes(1),
        "dead": lambda: Codes.from_bits(np.zeros((40, 9)), labels=["a", "b"] * 20),
        "multi-label": lambda: Codes(codes.packed, codes.bits, labels=rng.random((60, 3)) < 0.4, items=codes.items),
        "wide": lambda: shapes(60, bits=300),
    }[kind]()
    write_report(codes, tmp_path / "report.html", title=kind)
    words = opened(tmp_path / "report.html").locator("main").inner_text()
    expected = {
        "unlabelled": "Needs labels",
        "no pictures": "no picture kept",
        "one image": "1 image ·",
        "dead": "9 bits never change (dead)",
        "multi-label": "3 classes, several an image",
        "wide": "The first 64 of 300 bits",
    }
    assert expected[kind] in words or expected[kind] in (tmp_path / "report.html").read_text()


def test_same_codes_same_bits_shown(tmp_path):
    codes = shapes(logits=False)
    for name in ("a.html", "b.html"):
        write_report(codes, tmp_path / name)
    pictures = [re.findall(r'src="(data:[^"]*)"', (tmp_path / name).read_text()) for name in ("a.html", "b.html")]
    assert pictures[0] == pictures[1] != []


def test_failed_report_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="there are no codes in this set"):
        write_report(Codes(np.empty((0, 1), np.uint8), 8), tmp_path / "report.html")
    with pytest.raises(UsageError, match=r"report.txt: expected a file name ending in .html"):
        write_report(shapes(9), tmp_path / "report.txt")
    with pytest.raises(UsageError, match="expected a file name"):
        write_report(shapes(9), tmp_path)
    assert list(tmp_path.iterdir()) == []


class TestCards:
    def test_caption_details_and_picture(self):
        shown = card(shapes(), 5)
        assert shown.id == "item-5"
        assert shown.caption.endswith("number 5")
        assert shown.details.splitlines()[:2] == ["item-5", f"class: {shown.label}"]
        assert "twin: pair-2" in shown.details
        assert shown.picture.startswith("data:image/png;base64,")

    def test_a_file_is_read_where_no_thumbnail_is_kept(self, tmp_path):
        (tmp_path / "a.png").write_bytes(png("disc", 1))
        (tmp_path / "b.png").write_bytes(b"not an image")
        paths = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
        codes = Codes.from_bits(np.eye(3), items=pa.table({"id": list("abc"), "path": paths}))
        cards = [card(codes, row, tmp_path) for row in range(3)]
        assert cards[0].picture.startswith("data:image/png")
        assert [c.missing for c in cards] == ["", "picture cannot be read", "no picture kept"]
        shutil.copy(tmp_path / "a.png", tmp_path / "b.png")  # mended: seen at once
        assert card(codes, 1, tmp_path).picture == cards[0].picture

    def test_large_pictures_are_made_small(self):
        import base64
        import io

        from PIL import Image

        out = io.BytesIO()
        Image.effect_noise((900, 450), 60).convert("RGB").save(out, "BMP")
        uri = picture_uri(out.getvalue(), "noise.bmp")
        assert uri.startswith("data:image/webp;base64,")
        assert Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).size == (160, 80)


def test_no_figure_is_cut_to_its_own_number_of_digits_and_no_chance_is_zero(tmp_path, opened):
    codes = shapes(400, 16)
    results = analyze(codes, permutations=20)
    found = results["class_information"]
    information = np.where(np.arange(16) == 5, 0.19, found.information)
    results["class_information"] = dataclasses.replace(
        found, information=information, q_value=np.where(np.arange(16) == 3, 0.0, found.q_value)
    )
    table = pd.DataFrame({"name": ["a", "b"], "code_map": [0.19, 0.301], "dof": [9.5, 23.71]})
    write_report(codes, tmp_path / "report.html", results=results, extra_tables={"two": table})
    page = opened(tmp_path / "report.html")
    page.get_by_text("Show the table").click()
    headings = [cell.inner_text() for cell in page.locator("details thead th").all()]
    assert headings[:4] == ["bit", "share of ones", "95 % low", "95 % high"]
    assert headings[6:10] == ["information (bits)", "plug-in (bits)", "q-value", "share of its entropy"]
    assert headings[10] == "classes split"
    assert headings == ["bit", *(heading(column.name) for section in SECTIONS for column in section.columns)]
    rows = [[cell.inner_text() for cell in row.locator("td").all()] for row in page.locator("details tbody tr").all()]
    assert {row[0]: row[6] for row in rows}["5"] == "0.190"
    assert {row[0]: row[8] for row in rows}["3"] == "< 0.001"
    assert {len(row[column].partition(".")[2]) for row in rows for column in (1, 2, 3, 4, 6, 7, 8, 9)} == {3}
    words = page.locator("main").inner_text()
    assert "q < 0.001)" in words  # of the best bit, in its heading
    assert "Plug-in is the information as counted" in words
    assert re.search(r"code mAP\s+degrees of freedom\s+a\s+0.190\s+9.5\s+b\s+0.301\s+23.7", words)
    assert page.evaluate("document.querySelector('details .wide').scrollWidth") <= 1064  # the table fits the page


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (None, "near copies count as independent images: the column &#39;group&#39; has one value for several images"),
        ("group", "near copies share one group"),
        ("none", ""),
    ],
)
def test_the_page_itself_says_what_near_copies_count_as(tmp_path, groups, said):
    bits = np.random.default_rng(0).integers(0, 2, (40, 8)).repeat(2, axis=0)
    codes, path = Codes.from_bits(bits, items={"group": np.arange(80) // 2}), tmp_path / "report.html"
    write_report(codes, path, results=analyze(codes, sections=["bit_usage"], groups=groups or "none"), groups=groups)
    assert ("near copies" in path.read_text()) == bool(said)
    assert said in path.read_text()


@pytest.mark.parametrize("groups", [np.arange(80) // 2, "one", ""])
def test_groups_of_a_page_that_are_no_column_of_groups_are_one_line(tmp_path, groups):
    codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (80, 8)), items={"one": ["x"] * 80})
    results = analyze(codes, sections=["bit_usage", "pair_distances"])
    with pytest.raises(UsageError, match=r"^[^\n]*groups[^\n]*$"):
        write_report(codes, tmp_path / "report.html", results=results, groups=groups)


def test_the_note_on_p_values_says_that_only_some_are_from_a_fitted_tail(tmp_path):
    codes, path = (
        Codes.from_bits(np.arange(800).reshape(100, 8) % 3 == 0, np.arange(100) % 2),
        tmp_path / "report.html",
    )
    write_report(codes, path, results=analyze(codes, sections=["bit_usage", "class_information"], permutations=20))
    assert "exact or count label permutations; the smallest may come from a tail fitted to these" in path.read_text()


def test_near_copies_are_looked_for_once(tmp_path, monkeypatch):
    module, found = sys.modules["codelab.analysis.near_copies"], []
    real = module.search
    monkeypatch.setattr(module, "search", lambda *given, **how: found.append(given) or real(*given, **how))
    bits = np.random.default_rng(0).integers(0, 2, (40, 64))
    path = tmp_path / "report.html"
    with pytest.warns(UserWarning, match=r"near copies count .*; name the column that says which by groups="):
        write_report(Codes.from_bits(np.repeat(bits, 3, axis=0)), path)
    assert len(found) == 1
    assert "near copies count as independent images: 100% of the images" in path.read_text()
