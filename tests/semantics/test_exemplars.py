"""Images that show a bit, and class shares, against what a loop over the items finds."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from codelab import Codes, DataError, UsageError
from codelab.semantics.exemplars import exemplars
from codelab.semantics.signatures import class_shares
from codelab.statistics.intervals import wilson_interval
from tests.support.synthetic import near_copies

logit_tables = hnp.arrays(
    np.float16, st.tuples(st.integers(1, 30), st.integers(1, 9)), elements=st.integers(-40, 40).map(lambda v: v / 8)
)


@given(logit_tables, st.integers(1, 6), st.data())
@settings(deadline=None)  # milliseconds, but a busy machine takes longer
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


@given(logit_tables, st.integers(1, 9), st.integers(1, 6), st.data())
def test_quantile_bins_hold_all_images_once_and_one_side_each(logits, bins, count, data):
    codes = Codes.from_logits(logits, labels=data.draw(hnp.arrays(np.int32, len(logits), elements=st.integers(-1, 2))))
    bit = data.draw(st.integers(0, codes.bits - 1))
    found = exemplars(codes, bit, bins=bins, count=count).bins
    column = codes.logits[:, bit]
    taken = np.zeros(len(codes), int)
    for place, part in enumerate(found):
        inside = (column > part.low if place else column >= part.low) & (column <= part.high)
        taken += inside
        assert part.share == pytest.approx(inside.mean()) != 0
        assert part.ones == (column[inside] > 0).mean() in (0, 1)
        assert inside[part.rows].all()
        assert len(set(part.rows.tolist())) == len(part.rows) == min(count, inside.sum())
        of_class = [(codes.labels[part.rows] == c).sum() for c in range(-1, 3)]
        left = [(codes.labels[inside] == c).sum() > had for c, had in zip(range(-1, 3), of_class, strict=True)]
        assert all(max(of_class) <= had + 1 for had, more in zip(of_class, left, strict=True) if more)  # in turn
    assert (taken == 1).all()
    assert len(found) <= bins + 1


def test_bins_of_a_logit_without_ties_are_of_equal_size_and_show_a_planted_rare_class():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 1)) + 8  # all are 1: no border
    labels = (np.arange(4000) < 40).astype(int)  # 1 % of the images are of class 1
    codes = Codes.from_logits(logits, labels=labels, classes=["many", "few"])
    found = exemplars(codes, 0, count=4)
    assert [part.share for part in found.bins] == pytest.approx([0.125] * 8, abs=0.01)  # float16 has ties
    assert re.fullmatch(r"\d\.\d+ to \d\.\d+: contains 1[123] % of the images", str(found.bins[0]))
    rare = [(codes.labels[part.rows] == 1).sum() for part in found.bins]
    column = codes.logits[codes.labels == 1, 0]
    there = [((column > part.low) & (column <= part.high)).sum() for part in found.bins[1:]]
    assert rare[1:] == [min(2, n) for n in there]
    again, other = (exemplars(codes, 0, count=4, seed=seed) for seed in (0, 1))
    assert [part.rows.tolist() for part in again.bins] == [part.rows.tolist() for part in found.bins]
    assert [part.rows.tolist() for part in other.bins] != [part.rows.tolist() for part in found.bins]


def test_near_copies_are_once_in_a_bin():
    rng = np.random.default_rng(0)
    codes = Codes.from_logits(np.repeat(rng.normal(size=(30, 1)), 4, axis=0), items={"thing": np.arange(120) // 4})
    shown = [part.rows // 4 for part in exemplars(codes, 0, count=8, group="thing").bins]
    assert all(len(set(things.tolist())) == len(things) for things in shown)
    assert sorted(np.concatenate(shown).tolist()) == list(range(30))


def test_without_logits_images_are_ordered_by_the_bits_that_depend_on_it():
    rng = np.random.default_rng(0)
    sure = rng.random(2000)  # how often the planted bits copy the factor
    factor = rng.integers(0, 2, 2000)
    copies = np.where(rng.random((2000, 4)) < sure[:, None], factor[:, None], rng.integers(0, 2, (2000, 4)))
    bits = np.column_stack([factor, copies[:, :3], 1 - copies[:, 3], rng.integers(0, 2, (2000, 20))])
    found = exemplars(Codes.from_bits(bits), 0, count=20)
    assert sorted(found.related) == [1, 2, 3, 4]
    assert "ordered by agreement with the bits that depend most on it" in found.chosen
    assert "these codes have no logits" in found.chosen
    assert (copies[found.one] == 1).all()
    assert (copies[found.zero] == 0).all()
    assert bits[found.one, 0].all()
    assert not bits[found.zero, 0].any()
    ones = [part.ones for part in found.bins]
    assert ones == sorted(ones)
    assert ones[0] < 0.2 < 0.8 < ones[-1]
    assert sum(part.share for part in found.bins) == pytest.approx(1)
    assert found.bins[0].low >= -1
    assert found.bins[-1].high <= 1


def test_without_logits_chance_is_not_an_order():
    """At nominal 5 %, near copies in groups: how often a fair bit finds a bit that depends on it."""
    hits = 0
    for seed in range(200):
        codes = near_copies(60, 5, np.full(12, 0.5), seed=seed)
        hits += bool(exemplars(codes, 0, count=1, classes=0, group="object").related)
    assert hits <= 20


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
    with pytest.raises(UsageError, match=r"^count=0: expected 1 or more"):
        exemplars(codes, 0, count=0)
    with pytest.raises(UsageError, match=r"^bins=0: expected 1 or more$"):
        exemplars(codes, 0, bins=0)
