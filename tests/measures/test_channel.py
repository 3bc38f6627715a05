"""Two views of the same images against channels whose capacity is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, mutual_info_score

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.measures.channel import channel, channel_of_views, view_channels
from codelab.measures.view_bits import ViewCounts, capacity, per_bit_figures
from codelab.statistics.counts import total
from codelab.statistics.intervals import wilson_interval
from tests.support import synthetic


def noisy(codes, flip, seed=1):
    generator = np.random.default_rng(seed)
    return Codes.from_bits(codes.to_bits() ^ (generator.random((len(codes), codes.bits)) < flip))


@given(st.floats(0, 1), st.floats(0, 1))
def test_capacity_is_the_most_over_all_inputs(e0, e1):
    if abs(1 - e0 - e1) < 1e-3:
        return
    transition = np.array([[1 - e0, e0], [e1, 1 - e1]])
    shares = np.linspace(0, 1, 20001)
    out = shares * transition[1, 1] + (1 - shares) * transition[0, 1]

    def h(p):
        p = np.clip(p, 1e-300, 1)
        r = np.clip(1 - p, 1e-300, 1)
        return -(p * np.log2(p) + r * np.log2(r))

    information = h(out) - shares * h(transition[1, 1]) - (1 - shares) * h(transition[0, 1])
    assert capacity(np.array([e0]), np.array([e1]))[0] == pytest.approx(information.max(), abs=1e-5)


def test_each_bit_against_scikit_learn():
    sent = synthetic.biased_bits(400, np.array([0.5, 0.2, 0.9, 0.0, 0.5]))
    got = noisy(sent, [0.1, 0.1, 0.3, 0.05, 1.0])
    found = channel(sent, got)
    a, b = sent.to_bits(), got.to_bits()
    for bit in range(5):
        assert found.flip_rate[bit] == (a[:, bit] != b[:, bit]).mean()
        assert found.plugin[bit] == pytest.approx(mutual_info_score(a[:, bit], b[:, bit]) / np.log(2))
        if bit != 3:
            assert found.kappa[bit] == pytest.approx(cohen_kappa_score(a[:, bit], b[:, bit]))
    assert (found.kappa[3], found.information[3], found.p_value[3], found.capacity[3]) == (0, 0, 1, 0)
    assert found.kappa[4] == pytest.approx(-1, abs=0.02)  # a bit that always flips still tells everything
    assert found.capacity[4] == 1
    assert not found.to_frame().isna().any().any()


def test_the_bound_of_independent_bits_is_tight_below_its_ceiling():
    sent = synthetic.fair_bits(6000, 12)
    found = channel(sent, noisy(sent, 0.11))
    truth = 12 * (1 - 0.4999)
    assert found.information_sum == pytest.approx(truth, abs=0.15)
    assert truth - 0.5 < found.value < truth + 0.1
    assert found.value <= found.ceiling
    assert found.upper == pytest.approx(12, abs=0.1)
    assert found.low.max() < 0.13
    assert ((found.low <= 0.11) & (found.high >= 0.11)).mean() > 0.7


def test_the_bound_does_not_count_copied_bits_twice():
    sent = synthetic.fair_bits(4000, 4)
    got = noisy(sent, 0.11)
    copies = [Codes.from_bits(np.tile(c.to_bits(), (1, 8))) for c in (sent, got)]
    found = channel(*copies)
    assert found.information_sum == pytest.approx(16, abs=0.5)  # which is why the sum is no bound
    assert found.value == pytest.approx(2, abs=0.15)
    assert found.value < found.upper


def test_views_with_nothing_in_common():
    found = channel(synthetic.fair_bits(2000, 32), synthetic.fair_bits(2000, 32, seed=5))
    assert found.value == pytest.approx(0, abs=0.05)
    assert found.kappa == pytest.approx(np.zeros(32), abs=0.1)
    assert (found.q_value > 0.01).all()
    assert found.information.mean() == pytest.approx(0, abs=1e-3)


def test_false_positives_stay_near_five_percent():
    p = []
    for seed in range(200):
        a, b = (synthetic.biased_bits(40, np.full(10, 0.4), seed=2 * seed + i) for i in (0, 1))
        p.append(channel(a, b, items=2).p_value)
    assert 0.03 < (np.concatenate(p) < 0.05).mean() < 0.07


def test_counts_add_and_several_views():
    sent = synthetic.fair_bits(300, 6)
    views = [noisy(sent, 0.05, seed=s) for s in range(3)]
    whole = ViewCounts.of(views[0], views[1])
    summed = total(ViewCounts.of(views[0][r], views[1][r]) for r in (slice(0, 77), slice(77, 300)))
    assert whole.both.tolist() == summed.both.tolist()
    found = channel_of_views(views)
    pairs = [channel(views[i], views[j]).flip_rate for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found.flip_rate == pytest.approx(np.mean(pairs, axis=0))
    by_name = view_channels(sent, {"weak": noisy(sent, 0.02), "strong": noisy(sent, 0.3)}).to_frame()
    assert by_name["view"].tolist() == ["weak", "strong"]
    assert by_name["flip_rate"].tolist() == pytest.approx([0.02, 0.3], abs=0.05)


def test_views_of_other_images_are_refused():
    codes = synthetic.fair_bits(20, 4)
    with pytest.raises(DataError, match="20 codes of 4 bits and 10 of 4"):
        channel(codes, codes[:10])
    with pytest.raises(DataError, match="row 0 is '0' in one view and '19' in the other"):
        channel(codes, codes[::-1])
    with pytest.raises(DataError, match="found 5 codes, expected at least 8"):
        channel(codes[:5], codes[:5])
    with pytest.raises(UsageError, match="found 1, expected at least 2"):
        channel_of_views([codes])
    with pytest.raises(UsageError, match="no view given"):
        view_channels(codes, {})
    with pytest.raises(UsageError, match="items 1"):
        channel(codes, codes, items=1)


def test_a_channel_names_both_views_and_flip_rates_have_an_interval():
    sent = synthetic.fair_bits(300, 4)
    views = [noisy(sent, 0.1, seed) for seed in (1, 2)]
    one, other = (channel(sent, view).source for view in views)
    assert one.sha256 != other.sha256 != channel(sent, sent).source.sha256
    found = view_channels(sent, {"weak": views[0]})
    low, high = wilson_interval(np.round(found.flip_rate * 300), 300)
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)
    assert {"low", "high", "chance"} <= set(found.to_frame().columns)


def test_near_copies_are_not_counted_as_so_many_images():
    p, groups, rate, cover = np.full(10, 0.4), np.repeat(np.arange(60), 5), np.zeros(2), np.zeros((2, 2))
    for seed in range(40):
        sent, other = (synthetic.near_copies(60, 5, p, seed=2 * seed + i) for i in (0, 1))
        # a bit flips in all images of an object or in none
        flips = np.repeat(np.random.default_rng(seed).random((60, 10)) < 0.1, 5, axis=0)
        got = Codes.from_bits(sent.to_bits() ^ flips)
        for row, column in enumerate((None, groups)):
            rate[row] += (per_bit_figures([(sent, other)], column)["p_value"] < 0.05).mean() / 40
            view = view_channels(sent, {"again": got}, groups=column)
            cover[row, 0] += ((view.low <= 0.1) & (view.high >= 0.1)).mean() / 40
            cover[row, 1] += ((view.mean_low <= 0.1) & (view.mean_high >= 0.1)).mean() / 40
    assert rate[0] > 0.2
    assert 0.02 <= rate[1] <= 0.07
    assert (cover[0] < 0.8).all()
    assert (cover[1] > 0.88).all()


def test_near_copies_are_no_negatives_of_each_other():
    sent = synthetic.near_copies(120, 5, np.full(30, 0.5))
    plain, grouped = channel(sent, noisy(sent, 0.05)), channel(sent, noisy(sent, 0.05), groups="object")
    assert grouped.ceiling == pytest.approx(np.log2(60))
    assert grouped.value > 0.95 * grouped.ceiling
    assert plain.value < 0.9 * plain.ceiling  # five images of one object cannot be told apart
    assert grouped.groups == 120


def test_the_bound_has_an_interval_from_a_hundred_images():
    sent = synthetic.fair_bits(120, 8)
    found = channel(sent[:99], noisy(sent[:99], 0.1))
    assert np.isnan(found.value_low)
    assert "no interval below 100 images" in repr(found)
    assert not np.isnan(channel(sent, noisy(sent, 0.1)).value_low)
    with pytest.raises(DataError, match="channel: found 7 groups of images, expected at least 8"):
        channel(sent, sent, groups=np.arange(120) % 7)


def test_near_its_ceiling_the_bound_has_no_interval_and_says_so():
    sent = synthetic.fair_bits(300, 20)
    found = channel(sent, noisy(sent, 0.03))
    assert found.ceiling - 0.1 < found.value <= found.ceiling
    assert np.isnan([found.value_low, found.value_high]).all()
    assert found.note == "near its ceiling of 7.2 bits: no interval"
    assert found.note in found.headline()


def test_the_interval_of_the_bound_holds_its_mean_over_samples():
    found = []
    for seed in range(40):
        sent = synthetic.fair_bits(300, 6, seed=seed)
        found.append(channel(sent, noisy(sent, 0.15, seed=seed + 1000)))
    mean = np.mean([one.value for one in found])
    assert np.mean([one.value_low <= mean <= one.value_high for one in found]) >= 0.87


def test_several_views_of_an_image_are_one_observation():
    """Flip rates of all pairs of four views: their interval is narrower than that of one pair, and covers."""
    cover, narrower = 0.0, 0.0
    for seed in range(40):
        sent = synthetic.fair_bits(150, 8, seed=seed)
        views = [noisy(sent, 0.1, seed=10 * seed + k) for k in range(4)]
        found = per_bit_figures([(a, b) for i, a in enumerate(views) for b in views[i + 1 :]], None)
        pair = per_bit_figures([(views[0], views[1])], None)
        cover += ((found["low"] <= 0.18) & (found["high"] >= 0.18)).mean() / 40
        narrower += ((found["high"] - found["low"]) / (pair["high"] - pair["low"])).mean() / 40
    assert 0.9 <= cover <= 0.98
    assert narrower < 0.8


def test_one_group_of_most_images_has_no_interval_and_says_so(recwarn):
    groups = np.repeat(np.arange(121), np.r_[300, np.ones(120, int)])
    bits = np.random.default_rng(0).integers(0, 2, (420, 12))
    found = channel(Codes.from_bits(bits), Codes.from_bits(bits), groups=groups)
    assert np.isnan([found.value_low, found.value_high]).all()
    assert found.note == "one group is so large that only 1 could be held out: no interval"
    assert not recwarn
