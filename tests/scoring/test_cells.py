"""Differences of cells: their least reliable size, and how often equal codes are told apart."""

import numpy as np
import pytest
from scipy import stats

from codelab.scoring.cells import Cell, Seeds, difference, holm, interval, mean_cell, spread, without_each

PARTS = 20


def of_images(values):
    """The mean of values `[N]` as a cell, images dealt to parts in turn."""
    part = np.arange(len(values)) % PARTS
    return Cell(values.mean(), np.array([values[part != i].mean() for i in range(PARTS)]))


def test_without_seeds_it_is_the_paired_t_test_of_the_part_means():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 400)) + np.array([[0.2], [0.0]])
    found = difference(of_images(a), of_images(b), Seeds(), Seeds())
    parts = (a - b).reshape(-1, PARTS).mean(axis=0)
    assert found.p_value == pytest.approx(stats.ttest_1samp(parts, 0).pvalue, rel=1e-9)
    low, high = stats.t.interval(0.95, PARTS - 1, parts.mean(), stats.sem(parts))
    assert found.least == pytest.approx((high - low) / 2, rel=1e-9)


def test_what_is_hard_for_both_codes_cancels():
    rng = np.random.default_rng(1)
    hard, noise = 3 * rng.normal(size=400), 0.1 * rng.normal(size=(2, 400))
    a, b = of_images(hard + noise[0]), of_images(hard + noise[1] + 0.1)
    assert difference(b, a, Seeds(), Seeds()).reliable
    assert interval(a, (-9, 9))[1] - interval(a, (-9, 9))[0] > 0.3


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_methods_are_told_apart_in_five_percent_at_most(seeds):
    """Each method adds an effect of its seed to every image: one file borrows the spread of five random codes."""
    rng, wrong, tries = np.random.default_rng(2), 0, 1000
    for _ in range(tries):
        common = rng.normal(size=200)

        def method(codes, common=common):
            return [of_images(common + 0.3 * rng.normal() + 0.5 * rng.normal(size=200)) for _ in range(codes)]

        a, b, random = method(seeds), method(seeds), method(5)
        of = [Seeds(spread(each), seeds) if seeds > 1 else Seeds(spread(random), 5, own=False) for each in (a, b)]
        wrong += difference(mean_cell(a), mean_cell(b), *of).reliable
    assert 0 < wrong <= stats.binom.ppf(0.999, tries, 0.05)


def test_without_the_spread_over_seeds_equal_methods_would_be_told_apart():
    rng = np.random.default_rng(3)
    a, b = (of_images(shift + 0.1 * rng.normal(size=200)) for shift in (0.0, 0.3))
    assert difference(a, b, Seeds(), Seeds()).reliable
    assert not difference(a, b, *[Seeds(0.3, 5, own=False)] * 2).reliable


def test_no_interval_is_no_reliable_difference():
    whole = of_images(np.arange(100.0))
    for other in (Cell(1.0, reason="no interval"), Cell(reason="no features")):
        found = difference(whole, other, Seeds(), Seeds())
        assert not found.reliable
        assert np.isnan(found.least)


def test_the_same_cell_differs_by_nothing():
    cell = of_images(np.arange(100.0))
    found = difference(cell, cell, Seeds(), Seeds())
    assert (found.value, found.p_value, found.reliable) == (0.0, 1.0, False)


def test_holm_is_that_of_statsmodels_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).round(3).tolist() == [0.03, 0.06, 0.06, 0.02]
    assert holm(np.empty(0)).size == 0


def test_without_each_leaves_whole_parts_out():
    values, part = np.arange(40.0), np.arange(40) % 20
    cell = without_each(part, lambda kept: float(values[kept].mean()))
    assert len(cell.deleted) == 10
    assert cell.deleted[0] == values[part % 10 != 0].mean()
