"""The report's section on what bits mean: what was planted is there, beside its nulls, each note once."""

import re

import numpy as np
import pytest

from codelab import Codes
from codelab.neighbours.projection import Projection
from codelab.reporting.meaning import meaning
from codelab.reporting.report import write_report


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CODELAB_CACHE", str(tmp_path / "cache"))


def planted(n=90):
    """Bit 0 is the class, bit 1 the tone, the rest are coins; each image twice."""
    rng = np.random.default_rng(0)
    labels, tone = rng.integers(0, 2, (2, n))
    bits = np.column_stack([labels, tone, rng.integers(0, 2, (n, 10))])
    rows = np.repeat(np.arange(n), 2)
    items = {"tone": np.array(["dark", "light"])[tone[rows]], "thing": rows.astype(str)}
    features = (bits[rows] + rng.normal(size=(2 * n, 12))).astype(np.float32)
    return Codes.from_bits(bits[rows], labels[rows], ("cat", "dog"), items=items, features=features)


def test_the_page_shows_each_part_beside_its_null_and_each_note_once(tmp_path):
    codes, path = planted(), tmp_path / "report.html"
    write_report(codes, path, results={}, groups="thing", meaning=True)
    page = path.read_text()
    section = page[page.index("<h2>What bits mean</h2>") :]
    section = section[: section.index("</section>")]
    titles = re.findall("<h3>(.*?)</h3>", section)
    assert titles == [
        *("Named bits", "Undecided bits: the best guess did not hold", "The question that each bit answers"),
        *("Bits that tell a class from the rest", "Formulas of classes"),
        *("Reading class from few bits", "Reading tone from few bits", "Map beside its control"),
    ]
    notes = re.findall('<p class="soft">(.*?)</p>', section)
    assert len(notes) == len(set(notes)) == 4
    assert "2 of 12 bits hold" in notes[0]
    headings = re.findall("<th>(.*?)</th>", section)
    assert "" not in headings
    assert {"constant iou", "random phi", "p-value", "null iou", "q-value", "information / entropy"} <= set(headings)
    named = section[: section.index("Undecided")]
    assert re.search(r"<td>0</td><td>class = (cat|dog)</td>", named)
    assert re.search(r"<td>1</td><td>tone = (dark|light)</td>", named)


def test_brief_leaves_it_out(tmp_path):
    write_report(planted(), tmp_path / "brief.html", results={}, groups="thing", meaning=False)
    assert "What bits mean" not in (tmp_path / "brief.html").read_text()


def test_what_is_missing_has_its_reason():
    found = meaning(Codes.from_bits(planted().to_bits()[:20]), None)
    assert not found.tables
    assert not found.figures
    assert set(found.missing) == {"names", "alignment", "signatures", "formulas", "map"}
    assert all(found.missing.values())


def test_the_legend_of_a_map_is_not_over_its_titles():
    points = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    some = {"trustworthiness": 0.9, "control_trustworthiness": 0.7, "recall": 1.0, "distinct": 9, "sample": 9}
    near = {"neighbours": np.zeros((9, 2), np.int32), "distances": np.zeros((9, 2), np.int32)}
    found = Projection(source=None, method="umap", k=2, coordinates=points, control=points, **some, **near)
    legend = found.plot(np.arange(9) % 2, ("cat", "dog")).layout.legend
    assert legend.yanchor == "top"
    assert legend.y < 0
