"""One bit in one object: the figures of the measures, the images of the page, and nothing measured twice."""

import dataclasses
import json
import sys

import numpy as np
import plotly.graph_objects as go
import pytest

import codelab
from codelab import Codes, DataError, UsageError
from codelab.semantics.describe import MOST_PICTURES
from tests.support import synthetic
from tests.support.pictured import shapes


@pytest.fixture(scope="module")
def codes():
    return shapes(300, 16)


def test_it_says_what_the_measures_say(codes):
    results = codelab.analyze(codes, permutations=20)
    usage, information = results["bit_usage"], results["class_information"]
    best = int(information.information.argmax())
    for bit in (best, 5, 15):
        found = codelab.describe_bit(codes, bit, results=results)
        assert (found.p, found.low, found.high) == (usage.p[bit], usage.low[bit], usage.high[bit])
        assert (found.entropy, found.state) == (usage.entropy[bit], usage.state[bit])
        for name in ("information", "plugin", "p_value", "q_value", "uncertainty"):
            assert getattr(found, name) == getattr(information, name)[bit]
        assert found.rank == 1 + int((information.information > information.information[bit]).sum())
        assert found.split == results["bit_reuse"].split[bit]
        assert found.shares.to_frame().equals(codelab.class_shares(codes, bit).to_frame())
        assert found.exemplars.one.tolist() == codelab.exemplars(codes, bit).one.tolist()
        assert codelab.describe_bit(codes, bit, permutations=20).to_frame().equals(found.to_frame())
    line = repr(codelab.describe_bit(codes, best, results=results))
    assert line.startswith(f"BitDescription: bit {best} is 1 in {usage.p[best]:.3f} (95 % ")
    assert line.endswith("1st of 16 by information about the class, N=300, B=16")


def test_with_results_nothing_is_measured_again(codes, monkeypatch):
    results = codelab.analyze(codes, sections=["bit_usage", "class_information"], permutations=5)

    def refuse(*_, **__):
        raise AssertionError("measured again")

    for name in ("bit_usage", "class_information"):
        monkeypatch.setattr(sys.modules["codelab.semantics.describe"], name, refuse)
    assert codelab.describe_bit(codes, 2, results=results).bit == 2


def test_a_notebook_shows_its_pictures_and_no_markup_of_the_data(codes):
    wild = "<script>alert(1)</script>"
    names = codes.items.set_column(codes.items.column_names.index("name"), "name", [[wild] * len(codes)])
    found = codelab.describe_bit(dataclasses.replace(codes, items=names), 3, count=6, permutations=5)
    html = found._repr_html_()
    assert html.count('<img src="data:image/') == 18
    assert wild not in html
    assert "Share of ones in each class" in html
    many = codelab.describe_bit(codes, 3, count=100, permutations=5)
    assert many._repr_html_().count("<img ") == 3 * MOST_PICTURES
    assert "data:image" not in json.dumps(found.to_dict(), allow_nan=False)
    assert len(found.to_frame()) == 1


def test_near_copies_stand_once(codes):
    items = codes.items.append_column("group", codes.items["twin"])
    found = codelab.describe_bit(dataclasses.replace(codes, items=items), 3, permutations=5)
    twins = [codes.items["twin"][int(row)].as_py() for row in found.exemplars.one]
    assert len(set(twins)) == len(twins)
    assert "at most one image for each group" in found.exemplars.chosen


@pytest.mark.parametrize(
    ("codes", "traces"),
    [
        (shapes(60), 3),
        (shapes(60, logits=False, thumbnails=False), 1),
        (synthetic.fair_bits(50, 4), 1),
        (Codes.from_bits([[1, 0, 1, 1]], ["cat"]), 1),
        (Codes.from_bits(np.eye(60)[:, :8], np.eye(60, dtype=bool)[:, :5]), 1),
    ],
    ids=["all", "bare", "no labels", "one item", "multi-label"],
)
def test_odd_codes_are_described_and_drawn(codes, traces):
    found = codelab.describe_bit(codes, 3, permutations=5)
    figure = found.plot()
    assert isinstance(figure, go.Figure)
    assert len(figure.data) == traces
    assert "nan" not in repr(found)
    assert ("by entropy" in repr(found)) == (found.information is None)
    found._repr_html_()


def test_what_cannot_be_described_is_refused_in_one_line(codes):
    with pytest.raises(UsageError, match="bit 16"):
        codelab.describe_bit(codes, 16)
    with pytest.raises(DataError, match="describe_bit: there are no codes in this set"):
        codelab.describe_bit(Codes.from_bits(np.zeros((0, 3))), 0)
    other = codelab.analyze(shapes(300, 16, seed=1), sections=["bit_usage"])
    with pytest.raises(UsageError, match=f"results: BitUsage was measured on other codes, .*{codes.sha256}"):
        codelab.describe_bit(codes, 3, results=other)
