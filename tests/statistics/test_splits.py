"""Halves by group: whole, disjoint, as near to a half as groups in their order allow."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codelab.statistics.splits import fitting, half


@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.integers(0, 9))
def test_groups_stay_whole_and_fill_at_most_half(values, seed):
    groups = np.unique(values, return_inverse=True)[1]
    n_groups = groups.max() + 1
    found = half(np.random.default_rng(seed).permutation(n_groups), groups)
    assert not set(groups[found]) & set(groups[~found])
    assert found.any()
    sizes = np.bincount(groups)
    if n_groups > 1:
        assert not found.all()
    assert found.sum() <= len(groups) // 2 or found.sum() == sizes.min()
    left = sizes[[g for g in range(n_groups) if g not in set(groups[found])]]
    assert found.sum() == sizes.min() or (found.sum() + left > len(groups) // 2).all()


def test_single_items_are_groups_of_their_own():
    order = np.random.default_rng(0).permutation(31)
    assert np.array_equal(half(order), half(order, np.arange(31)))
    assert half(order).sum() == 15


def test_a_group_that_does_not_fit_is_passed_over():
    assert fitting(np.array([9, 4, 3, 2]), 6).tolist() == [False, True, False, True]
    assert fitting(np.array([9, 4, 3]), 2).tolist() == [False, False, True]
