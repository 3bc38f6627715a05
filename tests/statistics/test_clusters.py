"""Design effects against sums over pairs of images, statsmodels' formula by hand, and what groups are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.statistics import clusters
from codelab.statistics.clusters import DesignEffects, as_independent, group_sums, group_units
from codelab.statistics.counts import BitCounts
from tests.support import synthetic


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(1, 9), st.integers(2, 20), st.integers(0, 999))
def test_effects_are_those_of_sums_over_pairs_of_a_group(n, bits, groups, seed):
    generator = np.random.default_rng(seed)
    units = np.unique(generator.integers(0, groups, n), return_inverse=True)[1]
    codes = Codes.from_bits(generator.random((n, bits)) < 0.4)
    found = DesignEffects.of(codes.packed, bits, units)
    same = units[:, None] == units
    most = same.sum() / n
    assert found.most == pytest.approx(most)
    # the mean of the quotient below where all images of a group are equal
    share = same.mean(axis=1)
    alike = sum(n * w * (1 - 2 * w + most / n) for w in share) / (n - most) if most < n else 1.0
    assert found.groups == units.max() + 1
    for b, x in enumerate(codes.to_bits().T.astype(float)):
        moved = x - x.mean()
        between = (np.outer(moved, moved) * same).sum() / (moved @ moved) if moved.any() else 1.0
        own = 1 + (between - 1) * (most - 1) / (alike - 1) if alike > 1 + 1e-9 else 1.0
        assert found.own[b] == pytest.approx(np.clip(own, 1, most), rel=1e-6)
    assert (found.shrunk >= 1 - 1e-12).all()
    assert (found.shrunk <= found.most + 1e-12).all()


def test_a_large_group_of_equal_images_has_its_whole_effect():
    sizes = np.r_[100, np.full(120, 2)]
    units = np.repeat(np.arange(len(sizes)), sizes)
    bits = np.random.default_rng(0).random((len(sizes), 2000)) < 0.4
    found = DesignEffects.of(Codes.from_bits(bits[units]).packed, 2000, units)
    assert found.shrunk.mean() > 0.8 * found.most  # less than 0.6 without the correction


def test_sums_do_not_depend_on_how_many_groups_are_in_memory(monkeypatch):
    codes = synthetic.near_copies(50, 3, np.full(12, 0.4))
    units = np.random.default_rng(0).permutation(np.repeat(np.arange(50), 3))
    expected = np.stack([codes.to_bits()[units == g].sum(axis=0) for g in range(50)])
    whole = DesignEffects.of(codes.packed, 12, units)
    monkeypatch.setattr(clusters, "AT_ONCE", 7)
    assert np.array_equal(np.concatenate([sums for _, sums in group_sums(codes.packed, 12, units)]), expected)
    assert DesignEffects.of(codes.packed, 12, units).own == pytest.approx(whole.own)


def test_equal_copies_count_once_and_different_images_each():
    fair = synthetic.fair_bits(40, 5)
    copies = Codes.from_bits(np.repeat(fair.to_bits(), 4, axis=0))
    assert DesignEffects.of(copies.packed, 5, np.repeat(np.arange(40), 4)).own == pytest.approx(np.full(5, 4.0))
    alone = DesignEffects.of(fair.packed, 5, np.arange(40))
    assert alone.own == pytest.approx(np.ones(5))
    assert alone.of_products(alone, np.arange(5), np.arange(5)).tolist() == [1.0] * 5


def test_products_of_independent_bits_vary_by_the_factor():
    """The variance of how often two bits are both 1, over samples, is the factor times that without copies."""
    counts, factors = [], []
    for seed in range(400):
        codes = synthetic.near_copies(40, 4, np.array([0.4, 0.5]), renewed=0.3, seed=seed)
        bits = codes.to_bits().astype(float)
        effects = DesignEffects.of(codes.packed, 2, np.repeat(np.arange(40), 4))
        factors.append(float(effects.of_products(effects, np.array([0]), np.array([1]))[0]))
        p, q = bits.mean(axis=0)
        counts.append((bits[:, 0] - p) @ (bits[:, 1] - q) / np.sqrt(160 * p * (1 - p) * q * (1 - q)))
    assert np.var(counts) == pytest.approx(np.mean(factors), rel=0.15)
    assert 1.3 < np.mean(factors) < 2.5


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.floats(1, 8), st.data())
def test_divided_tables_are_tables(n, factor, data):
    a, b = (data.draw(st.integers(0, n)) for _ in range(2))
    both = data.draw(st.integers(max(0, a + b - n), min(a, b)))
    ones_a, ones_b, common, size = (
        int(v[0]) for v in as_independent(*np.array([[a], [b], [both]]), n, np.array([factor]))
    )
    assert 0 <= ones_a <= size
    assert 0 <= ones_b <= size
    assert max(0, ones_a + ones_b - size) <= common <= min(ones_a, ones_b)
    if size > 1:
        assert (ones_a == 0, ones_a == size) == (a == 0, a == n)
    if factor == 1:
        assert (ones_a, ones_b, common, size) == (a, b, both, n)


def test_groups_that_cannot_be_are_refused_in_a_line():
    codes = synthetic.near_copies(3, 2, np.full(4, 0.5))
    assert group_units("usage", codes, None) is None
    assert group_units("usage", codes, "object").tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(DataError, match=r"^usage: found 1 groups of images, expected at least 2$"):
        group_units("usage", codes, ["a"] * 6)
    with pytest.raises(UsageError, match=r"^usage: groups need the codes themselves, their counts are not enough$"):
        group_units("usage", BitCounts.of(codes), "object")
    with pytest.raises(UsageError, match=r"^groups='shape': these codes have object"):
        group_units("usage", codes, "shape")
