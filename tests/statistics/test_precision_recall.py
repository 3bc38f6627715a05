"""Areas under precision-recall curves, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from codelab.statistics.precision_recall import precision_recall_areas


@pytest.mark.parametrize("levels", [2, 5, 10**9])
def test_it_is_that_of_scikit_learn_with_and_without_ties(levels):
    rng = np.random.default_rng(levels)
    truth, score = rng.random((83, 12)) < rng.random(12) ** 2, rng.integers(0, levels, (83, 12)).astype(float)
    truth[:2] = [[True], [False]]
    peer = [average_precision_score(truth[:, q], score[:, q]) for q in range(12)]
    np.testing.assert_allclose(precision_recall_areas(truth, score), peer, rtol=1e-12)


def test_where_nothing_is_true_there_is_no_area():
    assert np.isnan(precision_recall_areas(np.zeros((4, 1), bool), np.arange(4.0)[:, None])[0])
