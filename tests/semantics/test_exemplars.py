"""Images that show a bit, and class shares, against what a loop over the items finds."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from codelab import Codes, DataError, UsageError
from codelab.semantics.exemplars import exemplars
from codelab.semantics.signatures import class_shares
from codelab.statistics.intervals import wilson_interval

logit_tables = hnp.arrays(
    np.float16, st.tuples(st.integers(1, 30), st.integers(1, 9)), elements=st.integers(-40, 40).map(lambda v: v / 8)
)


@given(logit_tables, st.integers(1, 6), st.data())
def test_sides_hold_their_surest_images(logits, count, data):
    codes = Codes.from_logits(logits)
    bit = data.draw(st.integers(0, codes.bits - 1))
    found = exemplars(codes, bit, count=count)
    column = codes.logits[:, bit]
    for rows, inside, sign in ((found.one, column > 0, -1), (found.zero, column <= 0, 1)):
        assert inside[rows].all()
        assert len(set(rows.tolist())) == len(rows) == min(count, inside.sum())
        assert sorted((sign * column[inside]).tolist())[: len(rows)] == (sign * column[rows]).tolist()
    margin = np.sort(np.abs(column))
    assert sorted(np.abs(column[found.threshold]).tolist()) == margin[: len(found.threshold)].tolist()
    assert (np.diff(column[found.threshold]) >= 0).all()
    assert (np.diff(column[found.quantiles]) >= 0).all()
    if count > 1:
        assert column[found.quantiles[0]] == column.min()
        assert column[found.quantiles[-1]] == column.max()


@given(logit_tables, st.data())
def test_histogram_counts_both_sides_of_the_threshold(logits, data):
    codes = Codes.from_logits(logits)
    found = exemplars(codes, data.draw(st.integers(0, codes.bits - 1)))
    ones = int(codes.column(found.bit).count())
    middle = (found.edges[:-1] + found.edges[1:]) / 2
    assert found.counts[middle > 0].sum() == ones
    assert found.counts[middle < 0].sum() == len(codes) - ones
    assert np.isclose(found.edges, 0).any()


def test_a_group_is_shown_once_in_a_list():
    items = pa.table({"thing": ["a", "a", "b", None, None, "b"]})
    codes = Codes.from_logits(np.array([[6.0], [5], [4], [3], [2], [1]]), items=items)
    found = exemplars(codes, 0, count=4, group="thing")
    assert found.one.tolist() == [0, 2, 3, 4]  # items without a value are things of their own
    assert "at most one image for each thing" in found.chosen
    with pytest.raises(UsageError, match=r"^groups='kind': these codes have thing$"):
        exemplars(codes, 0, group="kind")


def test_without_logits_the_sides_are_drawn_by_the_seed():
    codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (200, 3)))
    found, again, other = (exemplars(codes, 1, seed=seed) for seed in (4, 4, 5))
    assert found.one.tolist() == again.one.tolist() != other.one.tolist()
    assert codes.to_bits()[found.one, 1].all()
    assert not codes.to_bits()[found.zero, 1].any()
    assert found.counts is None
    assert len(found.threshold) == len(found.quantiles) == 0
    assert "drawn at random (seed 4)" in found.chosen


@pytest.mark.parametrize("multilabel", [False, True])
def test_contrasts_are_of_one_class_and_of_the_two_sides(multilabel):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 120)
    shown = np.stack([labels == c for c in range(4)], axis=1) if multilabel else labels
    logits = rng.normal(size=(120, 2))
    logits[labels == 0, 0] = 1  # class 0 is all on one side
    codes = Codes.from_logits(logits, labels=shown, classes=list("abcd"))
    found = exemplars(codes, 0, count=6, classes=4)
    assert sorted(contrast.label for contrast in found.contrasts) == ["b", "c", "d"]
    for contrast in found.contrasts:
        assert set(labels[contrast.zero]) == set(labels[contrast.one]) == {"abcd".index(contrast.label)}
        assert not codes.to_bits()[contrast.zero, 0].any()
        assert codes.to_bits()[contrast.one, 0].all()
        assert len(contrast.zero) == len(contrast.one) == 3
    split = [abs(codes.to_bits()[labels == "abcd".index(c.label), 0].mean() - 0.5) for c in found.contrasts]
    assert split == sorted(split)


@given(st.data())
def test_class_shares_against_a_loop(data):
    n = data.draw(st.integers(1, 40))
    bits = data.draw(hnp.arrays(bool, (n, 3)))
    labels = data.draw(hnp.arrays(np.int32, n, elements=st.integers(-1, 4)).filter(lambda v: (v >= 0).any()))
    codes = Codes.from_bits(bits, labels=labels, classes=list("abcde"))
    shares = class_shares(codes, 1)
    assert (np.diff(shares.share) <= 0).all()
    assert sorted(shares.classes) == sorted("abcde"[c] for c in set(labels.tolist()) - {-1})
    assert shares.overall == pytest.approx(bits[labels >= 0, 1].mean())
    for place, name in enumerate(shares.classes):
        member = bits[labels == "abcde".index(name), 1]
        low, high = wilson_interval(member.sum(), len(member))
        assert (shares.n[place], shares.share[place]) == (len(member), pytest.approx(member.mean()))
        assert (shares.low[place], shares.high[place]) == (low, high)


def test_wrong_calls():
    codes = Codes.from_bits(np.eye(3))
    with pytest.raises(DataError, match=r"^class_shares: needs labels"):
        class_shares(codes, 0)
    with pytest.raises(UsageError, match=r"^bit 3: this code has bits 0 to 2$"):
        exemplars(codes, 3)
    with pytest.raises(UsageError, match=r"^count 0"):
        exemplars(codes, 0, count=0)
