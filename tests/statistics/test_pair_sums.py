"""Sums over pairs of items of different groups against a loop over all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codelab.core.codes import Codes
from codelab.statistics import pair_sums
from codelab.statistics.counts import GROUPS, PairCounts
from codelab.statistics.jackknife import deal
from codelab.statistics.pair_sums import PairSums


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 90), st.integers(1, 70), st.integers(2, 30), st.booleans(), st.integers(0, 999))
def test_sums_are_over_pairs_of_different_groups(n, bits, groups, one_large, seed):
    generator = np.random.default_rng(seed)
    units = generator.integers(0, groups, n)
    if one_large:  # counted, not compared one by one
        n, units = n + 80, np.concatenate([units, np.zeros(80, np.int64)])
    codes, part = Codes.from_bits(generator.random((n, bits)) < 0.3), deal(units, parts=GROUPS)
    counts = PairCounts.of(codes, parts=part)
    found = PairSums.of_counts(counts.group_n, counts.both).without(codes, units, part)
    x = codes.to_bits().astype(float)
    apart = (x[:, None] != x).mean(axis=2)
    other = units[:, None] != units
    assert found.number.sum() == other.sum()
    of = np.eye(GROUPS)[part]
    assert found.number == pytest.approx(of.T @ other @ of)
    for power in (1, 2):
        assert found.sums[power - 1] == pytest.approx(of.T @ (other * apart**power) @ of, abs=1e-9)


def test_sums_do_not_depend_on_the_rows_in_memory(monkeypatch):
    generator = np.random.default_rng(0)
    codes, units = Codes.from_bits(generator.random((200, 9)) < 0.5), generator.integers(0, 20, 200)
    part = deal(units, parts=GROUPS)
    counts = PairCounts.of(codes, parts=part)
    whole = PairSums.of_counts(counts.group_n, counts.both)
    expected = whole.without(codes, units, part).sums
    monkeypatch.setattr(pair_sums, "ROWS", 7)
    assert whole.without(codes, units, part).sums == pytest.approx(expected)
