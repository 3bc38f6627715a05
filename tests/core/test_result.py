"""Every result as a person meets it: one line to quote, a bounded table in a notebook, a figure where there is one."""

import dataclasses
import json
import pkgutil
import re
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from textwrap import shorten

import numpy as np
import plotly.graph_objects as go
import pytest

import codelab
from codelab import Codes
from codelab.analysis import Skipped, headlines
from codelab.analysis.analyze import WIDTHS
from codelab.core.result import LONGEST, MOST_ROWS, PerBit, Result, html_table
from codelab.demo import Comparison, Scores
from codelab.reporting.terminal import print_analysis
from tests.support import synthetic
from tests.support.pictured import shapes

ABSTRACT = {Result, PerBit}
LONG = "a class with a very long name " * 20


class Shape(HTMLParser):
    """Counts rows, and checks that what is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.tags = [], 0, set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.rows += tag == "tr"
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def results():
    """One result of every public function that returns one, by name."""
    codes = shapes(300, 32)
    labels = np.where(codes.labels == 0, LONG, "<b>bar</b>")
    items = {"tone": np.where(codes.to_bits()[:, 0], "dark & deep", "light"), "size": np.arange(300) % 3}
    features = np.random.default_rng(0).normal(size=(300, 6)) + codes.to_bits()[:, :6]
    codes = Codes.from_bits(codes.to_bits(), labels, items=items, features=features.astype(np.float32))
    logits = np.where(codes.to_bits(), 1.0, -1.0) * np.random.default_rng(1).random((300, 32))
    codes = dataclasses.replace(codes, logits=logits.astype(np.float16))
    found = dict(codelab.analyze(codes, view=codes, permutations=20))
    found |= {
        "contrast_consistency": codelab.contrast_consistency(codes, permutations=20),
        "retrieval_map": codelab.retrieval_map(codes, bootstrap=20),
        "knn_accuracy": codelab.knn_accuracy(codes, k=3, bootstrap=20, by="features"),
        "compare_retrieval": codelab.compare_retrieval(codes, codes.select_bits(range(8))),
        "precision_recall_curve": codelab.precision_recall_curve(codes),
        "bit_budget_curve": codelab.bit_budget_curve(codes, budgets=(16, 8)),
        "search": codelab.search(codes, codes[:5], k=7),
        "view_channels": codelab.view_channels(codes, {"same": codes, "shifted": codes}),
        "exemplars": codelab.exemplars(codes, 3),
        "project": codelab.project(codes, k=5, cache=False),
        "class_shares": codelab.class_shares(codes, 3),
        "describe_bit": codelab.describe_bit(codes, 3, permutations=20),
        "minimal_pairs": codelab.minimal_pairs(codes, 3),
        "attribute_pairs": codelab.attribute_pairs(codes, "tone", equal=["size"], permutations=20),
        "align_attributes": codelab.align_attributes(codes, permutations=20),
        "probe_curve": codelab.probe_curve(codes, "tone", k=(1, 4), draws=2),
        "ccgp": codelab.ccgp(codes, "tone", permutations=4),
        "monosemanticity": codelab.monosemanticity(codes, permutations=10),
        "describe": codelab.describe(codes, "size = 1", literals=2, permutations=2),
        "bit_value": codelab.bit_value(codes, queries=50),
        "name_bits": codelab.name_bits(codes, permutations=20),
        "class_signatures": codelab.class_signatures(codes),
        "match_bits": codelab.match_bits(codes, codes, permutations=4),
        "decodable_bits": codelab.decodable_bits(codes, codes, permutations=4),
        "compare_codes": codelab.compare_codes(codes, codes.select_bits(range(16))),
        "neighbour_changes": codelab.neighbour_changes(codes, codes),
        "shared_codes": codelab.shared_codes(Codes.from_bits(np.zeros((300, 32)), labels)),
        "scorecard": codelab.scorecard(codes, attributes=["tone"], cache=False, progress=False),
    }
    return found


def test_every_public_function_that_returns_a_result_is_among_them(results):
    """A measure added later must be added to the fixture above, or this fails."""
    for module in pkgutil.walk_packages(codelab.__path__, "codelab."):
        if module.name != "codelab.__main__":  # which runs
            import_module(module.name)
    kinds, todo = set(), [Result]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind.__module__.startswith("codelab.") and kind not in ABSTRACT:
            kinds.add(kind)
    kinds -= {Skipped}  # it has a reason in place of a figure
    # those need a trained run, and an encoder with one image
    kinds = {kind for kind in kinds if kind.__module__ not in ("codelab.demo", "codelab.images.heatmap")}
    assert kinds == {type(result) for result in results.values()}


def test_a_result_is_one_line_to_quote(results):
    for name, result in results.items():
        line = repr(result)
        assert len(line) <= LONGEST, line
        assert "\n" not in line
        assert line.startswith(type(result).__name__), line
        assert "N=300, B=32" in line, line
        assert not re.search(r"array\(|\[|\.\.\.|dtype|nan", line), line
        assert result.headline(), name
        assert re.search(r"\d", line.replace("N=300, B=32", "")), line


def test_the_docstring_says_what_the_line_quotes(results):
    for result in results.values():
        assert "The line quotes " in " ".join(type(result).__doc__.split()), type(result)


def test_the_line_quotes_the_figure_with_its_interval(results):
    freedom, usage = results["degrees_of_freedom"], results["bit_usage"]
    line = f"DegreesOfFreedom {freedom.value:.1f} (95 % {freedom.low:.1f} to {freedom.high:.1f}), N=300, B=32"
    assert repr(freedom) == line
    assert repr(usage) == f"BitUsage: 32 active, 0 rare, 0 dead; mean entropy {usage.value:.3f} bit, N=300, B=32"
    ranking = results["retrieval_map"]
    low, high = ranking.interval
    assert f"{ranking.value:.3f} (95 % {low:.3f} to {high:.3f}), 300 queries, Hamming, N=300, B=32" in repr(ranking)
    assert str(ranking).startswith(f"{ranking.measure} = {ranking.value:.4f}")  # the long form stays


def test_a_notebook_shows_a_bounded_table(results):
    for result in results.values():
        html = result._repr_html_()
        shape = Shape(html)
        assert 2 <= shape.rows <= (MOST_ROWS + 1) * html.count("<table>")
        assert "<b>bar" not in html
        total = len(result.to_frame())
        assert (f"… and {total - MOST_ROWS:,} more" in html) == (total > MOST_ROWS)


def test_text_in_a_table_is_data():
    html = html_table("<i>", ["<script>"], [["<img src=x>"]], 1)
    assert Shape(html).tags <= {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}


def test_the_strongest_pairs_are_the_ones_shown(results):
    shown, total = results["bit_dependence"]._first_rows(5)
    assert total == 32 * 31 // 2
    assert shown["information"].tolist() == sorted(results["bit_dependence"].to_frame()["information"])[-5:][::-1]


def test_a_result_with_a_figure_draws_it_and_one_without_says_so(results):
    drawn = {name for name, result in results.items() if hasattr(type(result), "plot")}
    assert {"bit_usage", "pair_distances", "class_information", "exemplars", "class_shares"} <= drawn
    for name, result in results.items():
        assert hasattr(result, "plot") == (name in drawn), name
        if name in drawn:
            assert isinstance(result.plot(), go.Figure)
            assert result.plot().data
    with pytest.raises(AttributeError, match=r"^Geometry has no figure to plot; its table is \.to_frame\(\)$"):
        results["geometry"].plot()
    with pytest.raises(AttributeError, match="'Geometry' object has no attribute 'plt'"):
        results["geometry"].plt  # noqa: B018


def test_without_logits_there_is_no_histogram_to_plot():
    found = codelab.exemplars(synthetic.fair_bits(20, 4), 0)
    with pytest.raises(codelab.DataError, match="nothing to plot without logits"):
        found.plot()


def test_bare_features_say_their_dimensions():
    found = codelab.geometry(np.random.default_rng(0).normal(size=(60, 6)))
    assert repr(found).endswith("of 6 dimensions, N=60, d=6")
    Shape(found._repr_html_())


@pytest.mark.parametrize(
    "codes",
    [
        Codes.from_bits([[1, 0, 1]], ["cat"]),
        Codes.from_bits(np.zeros((200, 9)), np.arange(200) % 2),
        Codes.from_bits(np.eye(300)[:, :8], np.eye(300, dtype=bool)[:, :5]),
    ],
    ids=["one item", "all zero", "multi-label"],
)
def test_odd_codes_have_a_line_too(codes):
    for result in codelab.analyze(codes, permutations=5).values():
        assert len(repr(result)) <= LONGEST
        Shape(result._repr_html_())


def test_an_analysis_shows_its_headlines_and_stays_a_dictionary(results, capsys):
    codes = shapes(300, 32)
    found = codelab.analyze(codes, permutations=5)
    lines = repr(found).splitlines()
    assert lines[0] == f"Analysis of N=300, B=32, {len(found)} sections, 3 of them skipped"
    assert [line.split()[0] for line in lines[2:]] == list(found)
    assert max(map(len, lines)) <= 204
    assert found["degrees_of_freedom"].headline() in repr(found)
    assert isinstance(found, dict)
    assert json.loads(json.dumps({name: result.to_dict() for name, result in found.items()}))
    shape = Shape(found._repr_html_())
    assert shape.rows == len(found) + 1
    print_analysis(found)
    printed = " ".join(capsys.readouterr().out.split())
    for name, result in found.items():
        figure, what = {row[0]: row[1:] for row in headlines(found)}[name]
        assert result.headline() in (figure, what)
        assert what  # every section says what its figure is
        assert shorten(figure, WIDTHS[1], placeholder=" …") in repr(found)
    assert "DegreesOfFreedom" not in printed
    assert found["degrees_of_freedom"].headline() in printed


def test_parts_and_sections_show_themselves_alike():
    codes = synthetic.fair_bits(500, 16)
    assert repr(codelab.analyze_parts([codes])).startswith("Analysis of N=500, B=16, 8 sections")
    assert repr(codelab.analyze(codes, sections=["collisions"])).count("\n") == 2
    assert repr(codelab.analyze(codes, sections=[])).startswith("Analysis of 0 sections")


def test_what_a_notebook_needs_is_importable_from_codelab():
    readme = (Path(codelab.__file__).parent.parent / "README.md").read_text()
    named = set(re.findall(r"codelab\.(\w+)\(", readme)) | {
        "channel_of_views",
        "class_shares",
        "describe_bit",
        "exemplars",
        "iter_codes",
        "pair_distances",
        "verdicts",
        "view_channels",
        "write_report",
    }
    assert named <= set(codelab.__all__)
    for name in codelab.__all__:
        assert getattr(codelab, name) is not None
        assert name == "__version__" or getattr(codelab, name).__doc__


def test_the_terminal_gives_figures_of_one_kind_the_same_digits_and_never_a_chance_of_zero(results, capsys):
    found = results["class_information"]
    information = np.where(np.arange(32) == 3, 0.9, found.information)
    results = {"class_information": dataclasses.replace(found, information=information, q_value=found.q_value * 0)}
    print_analysis(results)
    said = capsys.readouterr().out
    table = said[said.index("the 10 bits with the most information") :]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if "│" in line]
    assert [cell.strip() for cell in table.splitlines()[2].split("┃")[1:-1]] == [
        "bit",
        "information (bits)",
        "plug-in (bits)",
        "p-value",
        "q-value",
        "share of its entropy",
    ]
    assert rows[0][:2] == ["3", "0.900"]
    assert {row[4] for row in rows} == {"< 0.001"}
    assert {len(row[column].partition(".")[2]) for row in rows for column in (1, 2, 5)} == {3}


def test_the_table_of_the_demo_has_one_number_of_digits_in_a_column():
    row = {"code_map": 0.19, "feature_map": 0.301, "code_knn": 0.5, "feature_knn": 1.0, "entropy": float("nan")}
    scores = (Scores(name="a", **row, dof=1.9), Scores(name="b", **row, dof=23.71))
    comparison = Comparison(scores=scores, n=10, bits=4, measure="")
    assert comparison.rows()[0] == ("a", "0.190", "0.301", "0.500", "1.000", "–", "1.9")
    assert comparison.rows()[1][-1] == "23.7"
    assert repr(comparison) == "Comparison: code mAP a 0.190, b 0.190"
