"""Reuse of an attribute across classes, on planted effects."""

import numpy as np
import pytest

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.measures.attribute_reuse import attribute_reuse


def planted(signs, objects=100, copies=1, values=2, bits=60, effect=0.4, seed=0):
    """Bits that lean on `tone` with `effect` times a sign for each class; near copies differ in 3 % of the bits."""
    generator = np.random.default_rng(seed)
    signs = np.array(signs)
    kind = np.repeat(np.arange(len(signs)), objects)
    tone = generator.integers(0, values, len(kind))
    lean = effect * signs[kind] * (tone / (values - 1) - 0.5)
    coins = generator.random((len(kind), bits)) < 0.5 + lean[:, None]
    thing = np.repeat(np.arange(len(kind)), copies)
    flips = generator.random((len(thing), bits)) < (0.03 if copies > 1 else 0)
    items = {"tone": np.array(list("abcdefgh"))[tone[thing]], "thing": thing.astype(str)}
    return Codes.from_bits(coins[thing] ^ flips, kind[thing], items=items)


def in_classes(some, sign=1, others=0):
    return [sign] * some + [others] * (10 - some)


@pytest.mark.parametrize(
    ("signs", "reuse"),
    [
        (in_classes(10), 1.0),
        (in_classes(5), 0.45),
        (in_classes(3), 0.23),
        (in_classes(1), 0.01),
        (in_classes(3, sign=-1, others=1), 0.07),
        (in_classes(4, sign=-1, others=1), -0.07),
        (in_classes(5, sign=-1, others=1), -0.11),
    ],
)
@pytest.mark.parametrize("copies", [1, 3])
def test_reuse_is_the_share_of_classes_that_agree(signs, reuse, copies):
    codes = planted(signs, copies=copies)
    found = attribute_reuse(codes, "tone", groups="thing" if copies > 1 else None, permutations=2)
    told = ~np.isnan(found.reuse)
    assert np.mean(found.reuse[told]) == pytest.approx(reuse, abs=0.06)
    left = 0.94**2 if copies > 1 else 1  # flips of copies shrink the effect
    assert found.own.mean() == pytest.approx(0.16 * left * np.mean(np.square(signs)), rel=0.15)
    assert found.shared.mean() == pytest.approx(reuse * found.own.mean(), abs=0.006)


def test_a_bit_without_effect_cannot_be_told():
    """With and without near copies `own` is above twice its error in at most about 5 % of such bits."""
    for copies in (1, 5):
        codes = planted([0] * 10, objects=40, copies=copies, bits=400)
        found = attribute_reuse(codes, "tone", groups="thing" if copies > 1 else None, permutations=1)
        assert np.isnan(found.reuse).mean() > 0.93
        assert found.own.mean() == pytest.approx(0, abs=0.0006)
        assert found.note.endswith("of 400 bits: cannot tell, effects not above noise")
    alone = attribute_reuse(codes, "tone", permutations=1)
    assert np.isnan(alone.reuse).mean() < 0.3  # near copies taken for independent images


def test_more_than_two_values_and_values_that_a_class_lacks():
    every = planted(in_classes(10), values=4)
    found = attribute_reuse(every, "tone", permutations=2)
    assert np.nanmean(found.reuse) == pytest.approx(1, abs=0.06)
    # effects of 4 values at -.2 to .2, each against the mean of the others: 4 / 3 (.2, .067, ...)
    assert found.own.mean() == pytest.approx(np.mean(np.square([0.8 / 3, 0.8 / 9])), rel=0.1)
    lacks = np.flatnonzero((every.labels > 0) | (np.array(every.items["tone"]) != "a"))
    assert np.nanmean(attribute_reuse(every[lacks], "tone", permutations=2).reuse) == pytest.approx(1, abs=0.12)


def test_the_interval_over_classes_holds_the_reuse():
    inside = []
    for seed in range(6):
        generator = np.random.default_rng(seed)
        signs = (generator.random(20) < 0.5).astype(int)
        found = attribute_reuse(planted(signs, bits=20, effect=0.8, seed=seed), "tone", permutations=1)
        inside.append((found.low <= 0.5) & (found.high >= 0.5))
        assert (found.low <= found.reuse).all()
        assert (found.reuse <= found.high).all()
    assert np.mean(inside) > 0.8
    few = attribute_reuse(planted([1] * 5), "tone", permutations=1)
    assert np.isnan([few.low, few.high]).all()
    assert few.reuse.min() > 0.8


def test_a_bit_that_is_the_attribute_and_one_that_is_the_class():
    generator = np.random.default_rng(4)
    kind = generator.integers(0, 5, 4000)
    tone = generator.random(4000) < np.array([0.1, 0.3, 0.5, 0.7, 0.9])[kind]
    bits = np.stack([tone, kind >= 3, generator.integers(0, 2, 4000)], axis=1)
    codes = Codes.from_bits(bits, kind, items={"tone": tone.astype(str)})
    found = attribute_reuse(codes, "tone")
    assert found.reuse[0] == pytest.approx(1)
    assert np.isnan(found.reuse[1:]).all()
    assert (found.within_q_value < 0.01).tolist() == [True, False, False]
    assert found.within_dependent_q_value == pytest.approx(np.minimum(found.within_q_value * (1 + 1 / 2 + 1 / 3), 1))
    assert found.headline() == (
        "mean reuse 1.000 over 5 classes (1: the same in all); 1 of 3 bits read tone within classes at q < 0.05"
    )


def test_groups_of_several_classes_and_calls_that_are_wrong():
    codes = planted(in_classes(10), bits=8)
    pairs = np.arange(len(codes)) % 500  # the two images of a group are of different classes
    found = attribute_reuse(codes, "tone", groups=pairs, permutations=1)
    assert found.groups == 500
    assert np.nanmean(found.reuse) == pytest.approx(1, abs=0.15)
    alone = attribute_reuse(codes, "tone", groups=np.arange(len(codes)), permutations=1)
    assert alone.own.tolist() == attribute_reuse(codes, "tone", permutations=1).own.tolist()
    with pytest.raises(DataError, match="attribute_reuse: all images are in one group"):
        attribute_reuse(codes, "tone", groups=np.zeros(len(codes)))
    with pytest.raises(DataError, match="attribute_reuse: no image has both a value of tone and one of class"):
        attribute_reuse(Codes.from_bits(codes.to_bits(), items=codes.items), "tone")
    with pytest.raises(DataError, match="attribute_reuse: kind has one value only within each value of class"):
        attribute_reuse(Codes.from_bits(codes.to_bits(), codes.labels, items={"kind": codes.labels}), "kind")
    with pytest.raises(UsageError, match="attribute 'class': expected an item column other"):
        attribute_reuse(codes, "class")
