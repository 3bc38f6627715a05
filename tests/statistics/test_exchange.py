"""Labels change places only where near copies and strata let them, and all permitted orders come up alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codelab.statistics.exchange import Exchange, shuffled_rows


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 1)), min_size=1, max_size=24),
    st.integers(0, 100),
)
def test_a_permutation_keeps_groups_and_strata(rows, seed):
    labels, groups, strata = np.array(rows).T
    exchange = Exchange.of(labels, groups, strata)
    drawn = exchange.draw(np.random.default_rng(seed))
    profiles = {}
    for group in np.unique(groups):
        rows_of = groups == group
        if len(np.unique(labels[rows_of])) == 1:  # a group of one label changes as a whole
            assert len(np.unique(drawn[rows_of])) == 1
            key = tuple(np.unique(strata[rows_of]))
            profiles.setdefault(key, []).append((labels[rows_of][0], drawn[rows_of][0]))
        else:  # elsewhere labels stay in the group and stratum
            for stratum in np.unique(strata[rows_of]):
                cell = rows_of & (strata == stratum)
                assert sorted(drawn[cell]) == sorted(labels[cell])
    for pairs in profiles.values():
        before, after = zip(*pairs, strict=True)
        assert sorted(before) == sorted(after)


def test_without_groups_every_order_is_as_likely():
    exchange = Exchange.of(np.array([0, 1, 2]))
    generator = np.random.default_rng(0)
    orders, times = np.unique([exchange.draw(generator) for _ in range(3000)], axis=0, return_counts=True)
    assert len(orders) == 6
    assert times == pytest.approx(500, abs=100)


def test_whole_groups_come_in_every_order():
    groups = np.repeat([0, 1, 2], [3, 1, 2])
    exchange = Exchange.of(np.array([5, 6, 7])[groups], groups)
    generator = np.random.default_rng(0)
    assert exchange.units == 3
    assert len({tuple(exchange.draw(generator)) for _ in range(200)}) == 6


def test_rows_of_equal_groups_change_places_as_a_whole():
    groups = np.array([2, 0, 1, 0, 2, 1, 3, 3])
    firsts = set()
    for seed in range(100):
        rows = shuffled_rows(groups, np.random.default_rng(seed))
        assert sorted(rows) == list(range(8))
        donors = groups[rows]
        assert all(len(set(donors[groups == g])) == 1 for g in range(4))
        firsts.add((donors[0], rows[0]))
    assert len(firsts) == 8  # every group comes to every place, in either order


def test_rows_of_unequal_groups_come_from_one_group_each():
    groups = np.repeat([0, 1, 2], [5, 2, 1])
    for seed in range(20):
        rows = shuffled_rows(groups, np.random.default_rng(seed))
        donors = [np.unique(groups[rows[groups == g]]) for g in range(3)]
        assert sorted(int(one[0]) for one in donors) == [0, 1, 2]
        assert {len(one) for one in donors} == {1}
        if donors[0][0] == 1:  # two rows in five places: each two or three times
            assert sorted(np.bincount(rows[:5])[5:7]) == [2, 3]


def test_images_that_are_each_a_group_get_the_rows_that_sorting_by_group_gives():
    groups = np.random.default_rng(0).permutation(200)
    generator = np.random.default_rng(1)
    order, donor = np.lexsort((generator.random(200), groups)), generator.permutation(200)[groups]
    assert np.array_equal(shuffled_rows(groups, np.random.default_rng(1)), order[donor])
