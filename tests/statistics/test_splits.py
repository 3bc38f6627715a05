"""Halves by group: whole, disjoint, as near to a half as groups in their order allow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codelab import DataError
from codelab.core.attributes import group_numbers
from codelab.statistics.splits import fitting, half, held_out_part


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


class TestHeldOutPart:
    @given(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=60),
        st.booleans(),
        st.integers(0, 5),
    )
    @settings(max_examples=150, deadline=None)
    def test_it_is_fair(self, items, grouped, seed):
        labels, groups = (np.array(column) for column in zip(*items, strict=True))
        units = groups if grouped else np.arange(len(labels))
        try:
            fitted, held = held_out_part(labels, groups if grouped else None, seed=seed)
        except DataError:
            assert max(len(set(units[labels == c])) for c in set(labels)) < 2 or grouped
            return
        assert sorted([*fitted, *held]) == list(range(len(labels)))
        assert len(held) > 0
        assert not set(units[fitted]) & set(units[held])
        assert set(labels[fitted]) == set(labels)
        if not grouped:
            for c in set(labels):
                n = (labels == c).sum()
                assert (labels[held] == c).sum() == (0 if n == 1 else max(1, int(0.2 * n)))

    def test_another_seed_draws_others(self):
        labels = np.arange(100) % 3
        parts = [held_out_part(labels, seed=s)[1].tolist() for s in (0, 0, 1)]
        assert parts[0] == parts[1] != parts[2]

    def test_a_class_of_one_large_and_one_small_group_holds_out_the_small_one(self):
        fitted, held = held_out_part(np.zeros(10, int), np.array([0] * 7 + [1] * 3))
        assert held.tolist() == [7, 8, 9]
        assert len(fitted) == 7

    def test_nothing_to_part(self):
        with pytest.raises(DataError, match="none of 3 classes has 2 images"):
            held_out_part(np.arange(3))
        with pytest.raises(DataError, match="none of 1 classes has 2 groups"):
            held_out_part(np.zeros(5, int), np.zeros(5, int))

    def test_empty_values_are_no_group(self):
        assert len(set(group_numbers([None, "", "a", float("nan"), "a"]).tolist())) == 4


def test_groups_of_one_size_are_taken_as_long_as_they_fit():
    for size, room in ((1, 4), (3, 7.5), (2, 100), (4, 3)):
        sizes = np.full(6, size)
        alone = np.arange(6) == 0
        assert np.array_equal(fitting(sizes, room), np.cumsum(sizes) <= room if size <= room else alone)
