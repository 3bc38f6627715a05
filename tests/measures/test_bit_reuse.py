"""Reuse across classes on planted factors."""

import numpy as np
import pytest

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.measures.bit_reuse import bit_reuse
from codelab.measures.class_information import class_information
from codelab.statistics.counts import ClassCounts
from tests.support import synthetic


def test_a_shared_bit_splits_all_classes_and_a_class_bit_none():
    labels = np.repeat(np.arange(8), 100)
    generator = np.random.default_rng(0)
    coin = generator.integers(0, 2, 800)
    one_class = np.where(labels == 3, coin, 0)
    half = np.where(labels < 4, coin, 0)
    reuse = bit_reuse(Codes.from_bits(np.stack([coin, one_class, half, labels == 2], axis=1), labels))
    assert reuse.classes == 8
    assert reuse.split.tolist() == reuse.split_sure.tolist() == [8, 1, 4, 0]
    assert reuse.perplexity == pytest.approx([8, 1, 4, 0], abs=0.05)
    assert reuse.on_perplexity == pytest.approx([8, 1, 4, 1], abs=0.1)
    assert reuse.within_entropy == pytest.approx([1, 1 / 8, 1 / 2, 0], abs=0.02)
    assert list(reuse.to_frame().columns)[:3] == ["bit", "within_entropy", "within_plugin"]


def test_few_images_cannot_make_a_split_sure():
    bits = synthetic.fair_bits(40, 16).to_bits()
    reuse = bit_reuse(Codes.from_bits(bits, np.repeat(np.arange(8), 5)))
    assert (reuse.split_sure == 0).all()
    assert (reuse.within_plugin < 0.95).all()
    assert reuse.within_entropy.mean() == pytest.approx(1, abs=0.06)  # the plug-in value is far too low at 5 a class


def test_unlabelled_codes_are_refused():
    with pytest.raises(DataError, match="bit_reuse: needs labels"):
        bit_reuse(synthetic.fair_bits(40, 16))


def test_with_features_the_contrasts_stand_beside_the_counts():
    codes, where = synthetic.planted_factors(40, classes=8)
    reuse = bit_reuse(codes, permutations=50)
    shared = reuse.contrast
    assert shared.shared_q_value[where["shared"]] < 0.01
    assert {"split", "consistency", "shared_q_value"} <= set(reuse.to_frame().columns)
    assert reuse.headline().endswith(shared.headline())


def near_copies(objects, copies, *, classes=4, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), objects)
    coins = generator.integers(0, 2, (len(labels), 40))
    thing = np.repeat(np.arange(len(labels)), copies)
    flips = generator.random((len(thing), 40)) < 0.03
    return Codes.from_bits(coins[thing] ^ flips, labels[thing], items={"thing": thing.astype(str)})


def test_near_copies_make_no_split_sure_and_take_no_entropy_off():
    codes = near_copies(6, 20)
    alone, grouped = bit_reuse(codes), bit_reuse(codes, groups="thing", permutations=100)
    assert alone.split_sure.mean() > 1  # 120 images look like many
    assert grouped.split_sure.mean() == 0  # 6 objects are few
    assert alone.within_entropy.mean() < 0.93
    assert grouped.within_entropy.mean() == pytest.approx(0.97, abs=0.03)  # 24 coins have an entropy of 0.97
    assert (grouped.groups, alone.groups) == (24, None)
    assert "whole groups" in grouped.estimator
    many = bit_reuse(near_copies(100, 5), groups="thing", permutations=20)
    assert many.split_sure.mean() > 3.9
    same = bit_reuse(codes, groups=np.arange(len(codes)), permutations=400)
    assert same.split_sure.tolist() == alone.split_sure.tolist()
    assert same.within_entropy == pytest.approx(alone.within_entropy, abs=0.005)


def test_groups_are_refused_where_they_say_nothing():
    codes = near_copies(6, 2)
    with pytest.raises(UsageError, match="groups need the codes themselves, their counts are not enough"):
        bit_reuse(ClassCounts.of(codes), groups="thing")
    with pytest.raises(DataError, match="bit_reuse: all images are in one group, expected two groups or more"):
        bit_reuse(codes, groups=np.zeros(len(codes)))


def test_counts_are_enough_without_features():
    codes = synthetic.prototypes(300, bits=8, classes=3)
    assert np.array_equal(bit_reuse(ClassCounts.of(codes)).split, bit_reuse(codes).split)
    with pytest.raises(UsageError, match="need the codes themselves"):
        bit_reuse(ClassCounts.of(codes), np.ones((300, 2)))


def test_a_bit_set_by_its_class_does_not_vary_within_it_at_five_images_a_class():
    labels = np.repeat(np.arange(1000), 5)
    own = np.random.default_rng(0).integers(0, 2, (1000, 4))[labels]
    reuse = bit_reuse(Codes.from_bits(own, labels))
    assert reuse.within_plugin == pytest.approx(0, abs=1e-9)
    assert reuse.within_entropy.tolist() == [0, 0, 0, 0]
    found = class_information(Codes.from_bits(own, labels), permutations=2)
    assert found.note == "5000 items in 1000 classes, fewer than 10 each: the information is a lower estimate"
    assert class_information(Codes.from_bits(own, labels // 2), permutations=2).note == ""
