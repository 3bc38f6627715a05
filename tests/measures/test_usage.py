"""Usage, block entropy and degrees of freedom against known truth, SciPy and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import codelab
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.measures.bit_usage import bit_usage
from codelab.measures.block_entropy import arrange_blocks, block_entropy
from codelab.measures.degrees_of_freedom import degrees_of_freedom
from codelab.statistics.counts import BitCounts
from codelab.statistics.estimators import ESTIMATORS, entropy_of_counts, pair_information
from codelab.statistics.intervals import wilson_interval
from tests.support import synthetic


def test_usage_of_biased_bits():
    p = np.array([0.5, 0.1, 0.9, 0.01, 0.0, 1.0])
    usage = bit_usage(synthetic.biased_bits(20_000, p))
    assert ((usage.low <= p) & (p <= usage.high)).all()
    assert usage.state.tolist() == ["active", "active", "active", "rare", "dead", "dead"]
    assert usage.entropy == pytest.approx([stats.entropy([x, 1 - x], base=2) for x in usage.p])
    assert float(usage) == pytest.approx(usage.entropy.mean())
    frame = usage.to_frame()
    assert list(frame.columns) == ["bit", "p", "low", "high", "entropy", "state"]
    assert len(frame) == 6


@given(st.integers(1, 500), st.data())
def test_wilson_is_scipys(n, data):
    k = data.draw(st.integers(0, n))
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    low, high = wilson_interval(np.array([k]), n)
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_usage_of_small_and_empty_sets():
    assert bit_usage(Codes.from_bits([[1, 0]])).state.tolist() == ["dead", "dead"]
    with pytest.raises(DataError, match="found 0 codes, expected at least 1"):
        bit_usage(Codes.from_bits(np.zeros((0, 3))))


@pytest.mark.parametrize(
    ("estimator", "n", "low", "high"),
    [
        ("plugin", 500, 7.5, 7.65),
        ("miller-madow", 500, 7.85, 7.93),
        ("grassberger", 500, 7.95, 8.02),
        ("jackknife", 500, 7.95, 8.08),
        ("grassberger", 5000, 7.99, 8.01),
    ],
)
def test_entropy_of_fair_blocks(estimator, n, low, high):
    if n < 2560:
        with pytest.warns(UserWarning, match="fewer than 10 each"):
            found = block_entropy(synthetic.fair_bits(n, 256), estimator=estimator)
        assert "fewer than 10" in found.note
    else:
        found = block_entropy(synthetic.fair_bits(n, 256), estimator=estimator)
        assert found.note == ""
    assert low < found.value < high
    assert found.plugin.mean() < 8


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12).filter(lambda c: sum(c) > 1))
def test_estimators_against_their_definitions(cells):
    cells = np.array(cells)
    n = cells.sum()
    plugin = stats.entropy(cells, base=2)
    assert entropy_of_counts(cells, "plugin") == pytest.approx(plugin, abs=1e-9)
    miller = plugin + (np.count_nonzero(cells) - 1) / (2 * n * np.log(2))
    assert entropy_of_counts(cells, "miller-madow") == pytest.approx(miller, abs=1e-9)
    left_out = 0.0
    for c in np.flatnonzero(cells):
        others = cells.copy()
        others[c] -= 1
        left_out += cells[c] * stats.entropy(others, base=2)
    assert entropy_of_counts(cells, "jackknife") == pytest.approx(
        max(n * plugin - (n - 1) / n * left_out, 0), abs=1e-8
    )
    # G(1) = -gamma - ln 2, G(2) = 2 - gamma - ln 2, G(odd) = G(odd - 1), G(n + 2) = G(n) + 2 / (n + 1) for even n
    g = [0.0, -np.euler_gamma - np.log(2), 2 - np.euler_gamma - np.log(2)]
    for k in range(3, cells.max() + 1):
        g.append(g[k - 1] if k % 2 else g[k - 2] + 2 / (k - 1))
    expected = (np.log(n) - sum(c * g[c] for c in cells) / n) / np.log(2)
    assert entropy_of_counts(cells, "grassberger") == pytest.approx(max(expected, 0), abs=1e-9)


def test_prototype_codes_fool_block_entropy_and_not_the_degrees_of_freedom():
    codes = synthetic.prototypes(5000)
    assert block_entropy(codes).value == pytest.approx(7.1, abs=0.15)
    assert degrees_of_freedom(codes).value == pytest.approx(40, abs=4)


def test_dependent_blocks_find_copies_that_contiguous_blocks_miss():
    codes = synthetic.copied_bits(3000, 8, 8)
    assert block_entropy(codes).value == pytest.approx(8, abs=0.05)
    dependent = block_entropy(codes, blocks="dependent")
    assert dependent.value == pytest.approx(1, abs=0.01)
    assert sorted(dependent.members.ravel().tolist()) == list(range(64))
    random = block_entropy(codes, blocks="random", seed=3)
    assert dependent.value < random.value < 8
    assert np.array_equal(random.members, block_entropy(codes, blocks="random", seed=3).members)


def test_blocks_leave_over_what_does_not_fill_one():
    found = block_entropy(synthetic.fair_bits(4000, 19))
    assert found.left_out == (16, 17, 18)
    assert len(found.to_frame()) == 2


def test_block_entropy_refuses():
    codes = synthetic.fair_bits(200, 16)
    with pytest.raises(DataError, match="200 codes cannot fill the 256 cells"):
        block_entropy(codes)
    with pytest.raises(UsageError, match="'chao': expected one of grassberger"):
        block_entropy(codes, estimator="chao")
    with pytest.raises(UsageError, match="'nearest': expected one of contiguous"):
        block_entropy(codes, 2, blocks="nearest")
    with pytest.raises(UsageError, match="width 17: expected 1 to 16"):
        block_entropy(codes, 17)
    with pytest.raises(UsageError, match="'chao'"):
        entropy_of_counts(np.array([1, 2]), "chao")
    assert set(ESTIMATORS) == {"plugin", "miller-madow", "grassberger", "jackknife"}
    assert arrange_blocks(codes, 4, "contiguous").tolist()[1] == [4, 5, 6, 7]


def test_pair_information_is_scikit_learns():
    from sklearn.metrics import mutual_info_score

    bits = synthetic.biased_bits(300, np.array([0.5, 0.2, 0.9, 0.0])).to_bits().astype(int)
    bits[:, 1] |= bits[:, 0]
    found = pair_information(bits.T @ bits, 300)
    expected = [[mutual_info_score(a, b) / np.log(2) for a in bits.T] for b in bits.T]
    assert found == pytest.approx(np.array(expected), abs=1e-12)


@pytest.mark.parametrize(
    ("codes", "truth"),
    [
        (synthetic.fair_bits(2000, 256), 256),
        (synthetic.copied_bits(2000, 32, 8), 32),
        (synthetic.complements(2000, 16), 16),
        (synthetic.xor_triples(2000, 10), 30),
    ],
)
def test_degrees_of_freedom_of_known_codes(codes, truth):
    dof = degrees_of_freedom(codes)
    assert dof.value == pytest.approx(truth, rel=0.02)
    assert dof.low <= dof.value <= dof.high
    assert dof.high - dof.low < 0.1 * truth
    assert dof.participation_ratio == pytest.approx(truth, rel=0.05)


def test_degrees_of_freedom_interval_covers_the_truth():
    """Not less than it says, and no more: an interval twice too wide covers all 200."""
    truth = degrees_of_freedom(_of_two_kinds(40_000, 0)).value
    for make, value in (
        (lambda seed: synthetic.biased_bits(300, np.full(40, 0.3), seed=seed), 40),
        (lambda seed: synthetic.fair_bits(1000, 32, seed=seed), 32),
        (lambda seed: _of_two_kinds(500, seed + 1), truth),
    ):
        found = [degrees_of_freedom(make(seed)) for seed in range(200)]
        assert 0.9 <= np.mean([dof.low <= value <= dof.high for dof in found]) <= 0.985


def _of_two_kinds(n, seed):
    """Bits that go with one another: here items, not pairs of items, make the spread."""
    generator = np.random.default_rng(seed)
    kind = generator.random((n, 1)) < 0.4
    return Codes.from_bits(kind ^ (generator.random((n, 32)) < 0.3))


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 40), st.integers(2, 12), st.integers(0, 999))
def test_degrees_of_freedom_is_over_all_pairs(n, bits, seed):
    codes = synthetic.fair_bits(n, bits, seed=seed)
    x = codes.to_bits()
    distances = np.array([(x[i] != x[j]).mean() for i in range(n) for j in range(n) if i != j])
    if distances.var() < 1e-12:
        return
    m, s = distances.mean(), distances.std()
    dof = degrees_of_freedom(codes)
    assert (dof.mean_distance, dof.spread) == pytest.approx((m, s))
    assert dof.value == pytest.approx(m * (1 - m) / s**2)


def test_degrees_of_freedom_at_the_edges():
    assert degrees_of_freedom(Codes.from_bits(np.zeros((50, 8)))).value == 0
    with pytest.raises(DataError, match="found 7 codes, expected at least 8"):
        degrees_of_freedom(synthetic.fair_bits(7, 8))
    with pytest.raises(DataError, match="differ in the same number of bits"):
        degrees_of_freedom(Codes.from_bits(np.eye(9)))


def test_results_know_what_they_were_made_from():
    codes = synthetic.fair_bits(300, 8)
    usage = codelab.bit_usage(codes)
    assert usage.source.sha256 == codes.sha256
    assert usage.source.n == 300
    assert set(usage.to_dict()) >= {"source", "p", "entropy", "state"}


@pytest.mark.parametrize("estimator", ["plugin", "miller-madow", "grassberger", "jackknife"])
def test_an_entropy_is_never_below_zero(estimator):
    cells = np.array([[n, 0, 0, 0] for n in range(1, 2000)])
    entropy = entropy_of_counts(cells, estimator)
    assert (entropy >= 0).all()
    assert entropy[100:].max() < 0.02


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_wilson_interval_solves_the_score_equation_at_its_confidence(confidence):
    expected = stats.binomtest(30, 100).proportion_ci(confidence, method="wilson")
    low, high = wilson_interval(np.array([30]), 100, confidence)
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high))


def test_near_copies_are_not_counted_as_so_many_images():
    """With `groups` intervals cover the truth, also of rare bits; without, two thirds or fewer do."""
    p = np.linspace(0.03, 0.6, 20)
    cover = np.zeros((2, 20))
    freedom = np.zeros(2)
    for seed in range(60):
        codes = synthetic.near_copies(60, 5, p, seed=seed)
        for row, groups in enumerate((None, "object")):
            usage = bit_usage(codes, groups=groups)
            cover[row] += ((usage.low <= p) & (p <= usage.high)) / 60
            dof = degrees_of_freedom(codes, groups=groups)
            freedom[row] += (dof.low <= _independent_freedom(p) <= dof.high) / 60
    assert cover[0].mean() < 0.75
    assert 0.92 <= cover[1].mean() <= 0.98
    assert cover[1, :5].mean() >= 0.9
    assert freedom[0] < 0.3
    assert freedom[1] >= 0.88


def _independent_freedom(p):
    q = 2 * p * (1 - p)
    return q.mean() * (1 - q.mean()) / ((q * (1 - q)).sum() / len(p) ** 2)


def test_a_group_for_each_image_is_no_groups():
    codes = synthetic.biased_bits(400, np.linspace(0.1, 0.9, 12))
    alone = np.arange(400)
    usage, by_group = bit_usage(codes), bit_usage(codes, groups=alone)
    assert by_group.groups == 400
    assert by_group.low == pytest.approx(usage.low, abs=2e-3)
    dof, by_group = degrees_of_freedom(codes), degrees_of_freedom(codes, groups=alone)
    assert by_group.value == pytest.approx(dof.value)
    assert by_group.participation_ratio == pytest.approx(dof.participation_ratio)


def test_degrees_of_freedom_with_groups_is_over_pairs_of_different_groups():
    codes = synthetic.near_copies(30, 4, np.full(10, 0.4))
    x, thing = codes.to_bits(), np.repeat(np.arange(30), 4)
    distances = (x[:, None] != x).mean(axis=2)[thing[:, None] != thing]
    found = degrees_of_freedom(codes, groups="object")
    assert (found.mean_distance, found.spread) == pytest.approx((distances.mean(), distances.std()))
    assert "two of 30 groups" in found.estimator


def test_rare_bits_of_few_images_have_no_interval():
    codes = synthetic.biased_bits(30, np.full(20, 0.03))
    found = degrees_of_freedom(codes)
    assert np.isnan(found.low)
    assert "no interval: a bit changes in 1." in found.headline()
    assert not np.isnan(degrees_of_freedom(synthetic.biased_bits(30, np.full(20, 0.4))).low)


def test_groups_are_refused_where_they_cannot_help():
    codes = synthetic.near_copies(5, 4, np.full(10, 0.4))
    with pytest.raises(DataError, match="degrees_of_freedom: found 5 groups of images, expected at least 8"):
        degrees_of_freedom(codes, groups="object")
    with pytest.raises(UsageError, match="bit_usage: groups need the codes themselves"):
        bit_usage(BitCounts.of(codes), groups="object")
