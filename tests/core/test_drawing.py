"""A result's figure draws the numbers of that result, and nothing else."""

import numpy as np
import plotly.graph_objects as go
import pytest

from codelab import Codes, bit_usage, block_entropy, class_information
from codelab.core import drawing
from codelab.measures.pair_distances import pair_distances
from codelab.semantics.exemplars import exemplars
from codelab.semantics.signatures import class_shares
from tests.support.pictured import shapes
from tests.support.synthetic import biased_bits, fair_bits, prototypes


def traces(figure):
    """The traces by name; the figure must be valid JSON with finite numbers."""
    assert isinstance(figure, go.Figure)
    assert "NaN" not in figure.to_json()
    assert figure.layout.template == drawing.template()
    return {trace.name: trace for trace in figure.data}


def test_bit_usage_draws_every_bit_once_in_its_state():
    usage = bit_usage(biased_bits(500, np.array([0.0, 0.02, 0.4, 0.6, 0.5])))
    drawn = traces(usage.plot())
    assert list(drawn) == ["active (3)", "rare (1)", "dead (1)"]
    seen = {int(b): y for trace in drawn.values() for b, y in zip(trace.customdata[:, 0], trace.y, strict=True)}
    assert seen == dict(enumerate(usage.p))
    for trace in drawn.values():
        bits = trace.customdata[:, 0].astype(int)
        assert trace.y + trace.error_y.array == pytest.approx(usage.high[bits])
        assert trace.y - trace.error_y.arrayminus == pytest.approx(usage.low[bits])


def test_distances_are_shares_of_pairs():
    found = pair_distances(prototypes(300, classes=5, bits=24), pairs=2000)
    drawn = traces(found.plot())
    assert set(drawn) == {"if bits were independent", "any two images", "different classes", "same class"}
    for name, counts in (("same class", found.same), ("different classes", found.different)):
        assert drawn[name].y == pytest.approx(counts / counts.sum())
    assert drawn["if bits were independent"].y == pytest.approx(found.independent)
    unlabelled = traces(pair_distances(fair_bits(60, 8)).plot())
    assert set(unlabelled) == {"if bits were independent", "any two images"}


def test_information_is_ranked_and_chance_is_grey():
    information = class_information(shapes(200), permutations=60)
    drawn = traces(information.plot())
    sure = drawn["q < 0.05"]
    assert sure.customdata[:, 0].astype(int).tolist() == [3]
    assert sure.marker.color == drawing.BLUE
    chance = next(trace for name, trace in drawn.items() if name.startswith("no better"))
    assert chance.marker.color == drawing.GREY
    assert chance.y.tolist() == sorted(chance.y.tolist(), reverse=True)
    assert sorted([*sure.x, *chance.x]) == list(range(1, 13))


def test_blocks_with_the_plug_in_beside_them():
    codes = fair_bits(3000, 16)
    results = [block_entropy(codes, blocks=blocks) for blocks in ("contiguous", "random", "dependent")]
    figure = results[0].plot(*results[1:])
    bars = [trace for trace in figure.data if trace.type == "bar"]
    rings = [trace for trace in figure.data if trace.type == "scatter"]
    for result, bar, ring in zip(results, bars, rings, strict=True):
        assert bar.y == pytest.approx(result.entropy)
        assert ring.y == pytest.approx(result.plugin)
        assert f"{result.value:.2f}" in bar.name


def test_class_shares_with_intervals_and_the_extremes_of_many():
    codes = Codes.from_bits(
        np.random.default_rng(0).integers(0, 2, (900, 2)), labels=[f"c{i % 90:02d}" for i in range(900)]
    )
    shares = class_shares(codes, 0)
    figure = shares.plot(most=10)
    (bar,) = figure.data
    assert bar.x[::-1] == pytest.approx([*shares.share[:5], *shares.share[-5:]])
    assert bar.x + bar.error_x.array == pytest.approx([*shares.high[:5], *shares.high[-5:]][::-1])
    assert figure.layout.yaxis.ticktext[-1].startswith(shares.classes[0])


def test_names_are_not_markup_in_a_figure():
    codes = Codes.from_bits([[1], [0]], labels=["<script>x</script>", "a & b"])
    ticks = class_shares(codes, 0).plot().layout.yaxis.ticktext
    assert ticks[-1].startswith("&lt;script&gt;")
    assert ticks[0].startswith("a &amp; b")


def test_margins_split_at_the_threshold():
    codes = shapes()
    found = exemplars(codes, 4)
    drawn = traces(found.plot())
    ones = int(codes.column(4).count())
    assert set(drawn) == {f"bit = 0 ({80 - ones} images)", f"bit = 1 ({ones} images)"}
    assert (drawn[f"bit = 1 ({ones} images)"].x > 0).all()
    assert drawn[f"bit = 1 ({ones} images)"].y.sum() == ones


def test_sides_differ_for_every_kind_of_colour_vision():
    """Okabe and Ito's colours, and never red against green for one meaning."""
    palette = {"#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"}
    assert {drawing.ONE, drawing.ZERO, drawing.SAME, drawing.DIFFERENT} <= palette
    luminance = [sum(w * int(c[i : i + 2], 16) for w, i in ((0.2126, 1), (0.7152, 3), (0.0722, 5))) for c in palette]
    assert len(set(luminance)) == len(palette)
