"""P-values: never below their floor, uniform where nothing is there; permuted tables against permuted labels."""

import numpy as np
import pytest
from scipy.stats import kstest

from codelab.statistics.estimators import table_information
from codelab.statistics.nulls import mid_p_value, permutation_p_value, permuted_information, tail_p_value


def test_the_floor_and_ties():
    null = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    assert permutation_p_value(np.array([5.0, 1.0]), null).tolist() == [0.25, 1.0]
    assert permutation_p_value(1.0 + 1e-15, null[:, 0]) == 0.75  # equal but for rounding


def test_equal_draws_count_half():
    null = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    assert mid_p_value(np.array([1.0, 1.0 - 1e-15]), null).tolist() == [0.5, 0.5]


def test_uniform_under_the_null():
    draws = np.random.default_rng(0).gamma(2, size=(200, 1000))
    for p_value in (permutation_p_value(draws[0], draws[1:]), tail_p_value(draws[0], draws[1:])[0]):
        assert kstest(p_value, "uniform").pvalue > 0.01


def test_the_fitted_tail_is_that_of_the_gamma_it_was_drawn_from():
    null = np.random.default_rng(0).gamma(4, size=(2000, 1))
    found = float(tail_p_value(np.array([20.0]), null)[0][0])
    assert found == pytest.approx(3.2e-6, rel=1)
    assert permutation_p_value(np.array([20.0]), null)[0] == 1 / 2001


def test_a_fitted_tail_is_below_one_in_a_thousand_in_one_of_a_thousand():
    """Its moments are those of 200 draws, whose errors alone would make it twice as often."""
    generator = np.random.default_rng(0)
    for draws in (generator.chisquare(3, (201, 40_000)), generator.exponential(size=(201, 40_000))):
        p_value, fitted = tail_p_value(draws[0], draws[1:])
        assert 0.0005 < (p_value <= 0.001).mean() < 0.0015
        assert fitted[p_value <= 0.001].all()


def test_a_fitted_tail_falls_with_the_observed_value_down_to_what_so_few_draws_can_say():
    null = np.random.default_rng(0).chisquare(3, (200, 1))
    found = [float(tail_p_value(np.array([value]), null)[0][0]) for value in (15, 20, 30, 100, 1e6)]
    assert (np.diff(found) <= 0).all()
    assert found[1] > found[2]
    assert found[-1] == pytest.approx(1.8e-5, rel=0.05)


def test_strata_are_permuted_within():
    """Tables drawn by stratum against labels permuted within each: the information has the same mean and spread."""
    generator = np.random.default_rng(0)
    sizes = np.array([[10, 20, 0], [5, 5, 30]])
    ones = np.array([12, 17])
    drawn = permuted_information(ones, sizes, 4000, generator)
    total, by_labels = sizes.sum(), np.zeros(4000)
    for k, class_n in zip(ones, sizes, strict=True):
        labels, bit = np.repeat(np.arange(3), class_n), np.arange(class_n.sum()) < k
        for i in range(4000):
            table = np.bincount(generator.permutation(labels)[bit], minlength=3)
            by_labels[i] += class_n.sum() / total * table_information(table, class_n)
    assert drawn.mean() == pytest.approx(by_labels.mean(), rel=0.05)
    assert drawn.std() == pytest.approx(by_labels.std(), rel=0.07)
