"""The delete-a-part jackknife against the formula of a mean, and against truths of many simulated samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codelab.statistics.jackknife import (
    PARTS,
    deal,
    each_pair_once,
    jackknife_interval,
    jackknife_p_value,
    standard_error,
)


def without_each(values, parts):
    return np.array([values[parts != part].mean() for part in range(parts.max() + 1)])


@given(st.lists(st.integers(0, 40), min_size=1, max_size=200), st.integers(0, 99), st.integers(1, 25))
def test_units_stay_together_and_parts_have_equal_numbers_of_them(units, seed, parts):
    units = np.array(units)
    dealt = deal(units, parts=parts, seed=seed)
    pairs = np.unique(np.stack([units, dealt], axis=1), axis=0)
    assert len(pairs) == len(np.unique(units))
    sizes = np.bincount(pairs[:, 1])
    assert len(sizes) == min(parts, len(pairs))
    assert sizes.max() - sizes.min() <= 1


@given(st.integers(1, 200), st.integers(1, 8), st.integers(0, 99))
def test_each_part_has_its_share_of_each_stratum(n, strata, seed):
    labels = np.random.default_rng(seed).integers(0, strata, n)
    dealt = deal(np.arange(n), labels, seed=seed)
    for stratum in np.unique(labels):
        sizes = np.bincount(dealt[labels == stratum], minlength=min(PARTS, n))
        assert sizes.max() - sizes.min() <= 1


def test_another_seed_deals_another_way():
    assert np.array_equal(deal(np.arange(50), seed=1), deal(np.arange(50), seed=1))
    assert not np.array_equal(deal(np.arange(50), seed=1), deal(np.arange(50), seed=2))


def test_the_error_of_a_mean_of_equal_parts_is_that_of_the_means_of_the_parts():
    values = np.random.default_rng(0).normal(size=100)
    parts = deal(np.arange(100))
    means = np.array([values[parts == part].mean() for part in range(PARTS)])
    assert standard_error(without_each(values, parts)) == pytest.approx(means.std(ddof=1) / np.sqrt(PARTS))


def test_coverage_and_p_values_hold_for_means_of_groups():
    """The truth 0 lies in about 95 % of the intervals, and p is below 0.05 in the others."""
    held, rejected, runs = 0, 0, 400
    for seed in range(runs):
        generator = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), 4)
        values = generator.normal(size=60)[groups] + 0.1 * generator.normal(size=240)
        deleted = without_each(values, deal(groups, seed=seed))
        low, high = jackknife_interval(values.mean(), deleted, (-9, 9))
        held += low <= 0 <= high
        rejected += jackknife_p_value(values.mean(), deleted) < 0.05
    assert 0.92 * runs < held < 0.98 * runs
    assert held + rejected == runs


def test_where_there_is_no_error_the_interval_is_the_range():
    for deleted in (np.array([0.5]), np.array([0.5, np.nan, 0.4]), np.array([])):
        assert jackknife_interval(0.5, deleted, (0.0, 1.0)) == (0.0, 1.0)
        assert jackknife_p_value(0.5, deleted) == 1
    constant = np.full(20, 0.3)
    assert jackknife_interval(0.3, constant, (0.0, 1.0)) == (0.3, 0.3)
    assert (jackknife_p_value(0.3, constant), jackknife_p_value(0.0, constant)) == (0, 1)


def test_the_interval_is_clipped_to_the_range():
    assert jackknife_interval(0.95, np.array([0.9, 1.0, 0.95]), (0.0, 1.0))[1] == 1


@pytest.mark.parametrize("alone", [0.0, 0.2])
def test_a_mean_over_pairs_counts_each_once(alone):
    """The jackknife's variance is twice as large where pairs alone have an effect."""
    values, plain, once = [], [], []
    m = 20
    for seed in range(300):
        generator = np.random.default_rng(seed)
        own = alone * generator.normal(size=m)
        table = np.triu(own[:, None] + own + generator.normal(size=(m, m)), 1)
        table = table + table.T
        total = m * (m - 1)
        deleted = np.array([(table.sum() - 2 * table[i].sum()) / ((m - 1) * (m - 2)) for i in range(m)])
        values.append(table.sum() / total)
        plain.append(standard_error(deleted) ** 2)
        once.append(standard_error(each_pair_once(deleted, table / total)) ** 2)
    assert 0.9 < np.mean(once) / np.var(values) < 1.25
    assert np.mean(plain) > 1.3 * np.mean(once)


def test_few_parts_have_no_pairs_to_count():
    deleted = np.array([0.1, 0.2, 0.4])
    assert np.array_equal(each_pair_once(deleted, np.ones((3, 3))), deleted)
