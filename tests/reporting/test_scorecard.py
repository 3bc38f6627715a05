"""The files of a scorecard: each says what is grey and not valid; the page opens in a browser without a network."""

import csv
import json
import re

import numpy as np
import pytest

from codelab import Codes, UsageError, scorecard, write_scorecard
from tests.support.browser import chromium


@pytest.fixture(scope="module")
def card():
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    clean = np.eye(4)[labels] > 0
    names = ["a|b & <i>c_%", "twin"]
    codes = [Codes.from_bits(clean ^ (rng.random(clean.shape) < 0.1), labels) for _ in names]
    return scorecard(*codes, names=names)


def test_json_has_all_that_is_needed_to_make_it_again(card, tmp_path):
    assert [path.name for path in write_scorecard(card, tmp_path / "a.md")] == ["a.md", "a.json"]
    found = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    about = found["provenance"]
    assert {"version", "commit", "codes", "seed", "features_sha256"} <= set(about)
    assert re.fullmatch("[0-9a-f]{64}", about["codes"][0]["sha256"])
    assert len(found["cells"]) == len(card.rows) * len(card.columns)
    assert len(found["differences"]) == len(card.rows) * (len(card.rows) - 1) * len(card.columns)
    assert all(column["how"] for column in found["columns"])
    again = scorecard(*_codes(card), names=["a|b & <i>c_%", "twin"])
    assert np.array_equal(again.values, card.values, equal_nan=True)


def _codes(card):
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    clean = np.eye(4)[labels] > 0
    return [Codes.from_bits(clean ^ (rng.random(clean.shape) < 0.1), labels) for _ in range(2)]


def test_markdown_marks_what_is_not_reliable(card, tmp_path):
    text = write_scorecard(card, tmp_path / "a.md")[0].read_text()
    tables = [line for line in text.splitlines() if line.startswith("|")]
    twin = next(line for line in tables if line.startswith("| twin |") and "±" in line)
    assert all(cell.strip().startswith("≈") for cell in twin.split("|")[2:5])
    assert "mean entropy (bits) (not valid)" in text
    assert "not valid as a score on this data set" in text
    assert "a&#124;b" in text
    assert "random directions, PCA + rotation, ITQ: these codes have no features" in text


def test_latex_greys_and_escapes(card, tmp_path):
    text = write_scorecard(card, tmp_path / "a.tex")[0].read_text()
    assert r"\textcolor{gray}{$\approx$ " in text
    assert r"a|b \& <i>c\_\%" in text
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert all(line.count("{") == line.count("}") for line in body)
    assert not re.search(r"(?<!\\)[%#_]", "\n".join(body))


def test_csv_has_a_line_for_each_cell_and_difference(card, tmp_path):
    path = write_scorecard(card, tmp_path / "a.csv")[0]
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    rows, columns = len(card.rows), len(card.columns)
    assert sum(line["kind"] == "value" for line in lines) == rows * columns
    assert sum(line["kind"] == "difference" for line in lines) == rows * (rows - 1) * columns


def test_page_in_a_browser(card, tmp_path):
    path = write_scorecard(card, tmp_path / "a.html", title="Two codes")[0]
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        assert page.locator("h1").inner_text() == "Two codes"
        assert page.locator("td.grey").count() > 10
        assert page.locator("th.invalid").count() >= 3
        assert page.locator("td", has_text="a|b & <i>c_%").first.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert asked == [path.as_uri()]


def test_other_suffixes_are_refused(card, tmp_path):
    with pytest.raises(
        UsageError, match=r"a\.pdf: expected a file name ending in \.html, \.md, \.csv, \.tex or \.json"
    ):
        write_scorecard(card, tmp_path / "a.pdf")
