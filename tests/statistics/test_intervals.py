"""One bootstrap for images and for groups, over images and over classes; Wilson's interval against SciPy."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score

from codelab.statistics.intervals import (
    Members,
    averages,
    cluster_bootstrap,
    mean_of_classes,
    percentiles,
    wilson_interval,
)


@pytest.mark.parametrize(("ones", "n"), [(0, 7), (3, 7), (7, 7), (40, 1000)])
def test_wilson_is_that_of_scipy(ones, n):
    peer = binomtest(ones, n).proportion_ci(method="wilson")
    assert np.ravel(wilson_interval(ones, n)) == pytest.approx([peer.low, peer.high])


def test_means_of_classes_by_a_loop():
    generator = np.random.default_rng(0)
    values, times = generator.random(50), generator.integers(0, 3, 50).astype(float)
    labels = generator.random((50, 4)) < 0.4
    labels[:, 3] = False
    found = Members.of(labels).means(values, times)
    wanted = [np.average(values[has], weights=times[has]) for has in labels.T[:3]]
    assert found[:3] == pytest.approx(wanted)
    assert np.isnan(found[3])
    assert mean_of_classes(found) == pytest.approx(np.mean(wanted))
    assert np.isnan(mean_of_classes(np.full(3, np.nan)))


def test_items_without_a_label_are_in_no_class():
    assert Members.of(np.array([0, -1, 1]), 3).means(np.array([1.0, 9.0, 3.0])).tolist()[:2] == [1, 3]


def test_a_group_of_copies_is_one_draw():
    """Drawing whole groups of copies gives the draws of the single items, of both averages."""
    generator = np.random.default_rng(0)
    values, labels = generator.random(40), generator.integers(0, 3, 40)
    once = cluster_bootstrap(values, Members.of(labels), resamples=50, seed=3)
    copies = cluster_bootstrap(
        np.repeat(values, 4), Members.of(np.repeat(labels, 4)), np.repeat(np.arange(40), 4), resamples=50, seed=3
    )
    assert copies == pytest.approx(once)
    assert (cluster_bootstrap(values, Members.of(labels), resamples=50, seed=4) != once).any()


def test_one_average_alone_is_the_same():
    generator = np.random.default_rng(0)
    values, members = generator.random(40), Members.of(generator.integers(0, 3, 40))
    both = cluster_bootstrap(values, members, resamples=20)
    for column, average in enumerate(("query", "class")):
        alone = cluster_bootstrap(values, members, average=average, resamples=20)
        assert np.array_equal(alone[:, column], both[:, column])
        assert np.isnan(alone[:, 1 - column]).all()


def test_averages_of_several_labels():
    values = np.array([1.0, 0.0, 0.5])
    labels = np.array([[True, False], [True, True], [False, False]])
    found = averages(values, labels)
    assert (found.value, found.class_value) == (0.5, 0.25)


def test_percentiles_hold_what_they_say():
    values = np.random.default_rng(0).normal(size=100_000)
    assert percentiles(values) == pytest.approx((-1.96, 1.96), abs=0.03)


class TestAverages:
    def test_over_images_and_over_classes(self):
        rng = np.random.default_rng(0)
        truth, answer = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
        found = averages(truth == answer, truth)
        assert found.value == (truth == answer).mean()
        assert found.class_value == pytest.approx(balanced_accuracy_score(truth, answer))
        assert found.interval[0] < found.value < found.interval[1]
        assert found.class_interval[0] < found.class_value < found.class_interval[1]
        assert "Wilson" in found.how

    def test_wilson_by_its_formula(self):
        right = np.arange(50) < 40
        low, high = averages(right, np.zeros(50, int)).interval
        z, p, n = 1.959964, 0.8, 50
        middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-6)

    def test_copies_of_an_image_add_nothing(self):
        rng = np.random.default_rng(0)
        values, labels = rng.random(80), rng.integers(0, 3, 80)
        one = averages(values, labels)
        copies = averages(np.repeat(values, 5), np.repeat(labels, 5), np.repeat(np.arange(80) * 7, 5))
        assert copies.interval == pytest.approx(one.interval)
        assert copies.class_interval == pytest.approx(one.class_interval)
        careless = averages(np.repeat(values, 5), np.repeat(labels, 5))
        assert np.diff(careless.interval) < 0.6 * np.diff(one.interval)

    def test_the_bootstrap_is_as_wide_as_the_standard_error_says(self):
        values = np.random.default_rng(0).normal(size=400)
        low, high = averages(values, np.zeros(400, int)).interval
        assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)

    def test_a_class_without_an_image_does_not_count(self):
        assert averages(np.array([1.0, 0.0]), np.array([0, 7])).class_value == 0.5
