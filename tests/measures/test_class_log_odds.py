"""Log odds ratios: intervals that hold the truth with near copies, and what groups leave as it is."""

import numpy as np
import pytest

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.measures.class_information import class_information
from codelab.measures.class_log_odds import class_log_odds
from codelab.measures.joint_information import joint_information
from codelab.statistics.counts import ClassCounts
from tests.statistics.test_information_nulls import copies


def test_intervals_hold_the_truth_with_near_copies():
    alone, grouped = [], []
    for seed in range(30):
        codes = copies(seed)
        for held, groups in ((alone, None), (grouped, "object")):
            found = class_log_odds(codes, groups=groups, permutations=1)
            held.append((found.low <= 0) & (found.high >= 0))
    assert np.mean(alone) < 0.75
    assert 0.92 < np.mean(grouped) < 0.98


def test_groups_change_the_interval_and_not_the_log_odds():
    codes = copies(0)
    alone, grouped = class_log_odds(codes), class_log_odds(codes, groups="object", permutations=10)
    assert np.array_equal(alone.log_odds, grouped.log_odds)
    wider = (grouped.high - grouped.low) / (alone.high - alone.low)
    assert 1.3 < np.median(wider) < np.sqrt(5)
    assert (alone.groups, grouped.groups) == (None, 40)
    assert (grouped.dependent_q_value >= grouped.q_value).all()
    assert {"fitted_tail", "dependent_q_value"} <= set(grouped.to_frame().columns)


def test_a_group_for_each_image_has_the_interval_without_groups():
    codes = copies(0, objects=400, times=1)
    alone, grouped = class_log_odds(codes), class_log_odds(codes, groups=np.arange(400), permutations=1)
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.02)


def test_bits_that_never_vary_in_a_class_count_each_group_once():
    thing = np.repeat(np.arange(40), 5)
    labels = thing % 2
    found = class_log_odds(Codes.from_bits(labels[:, None], labels), groups=thing, permutations=10)
    objects = class_log_odds(Codes.from_bits((np.arange(40) % 2)[:, None], np.arange(40) % 2))
    width, wanted = found.high - found.low, objects.high - objects.low
    assert width == pytest.approx(wanted, rel=0.05)


def test_classes_of_several_labels_have_wider_intervals_with_groups():
    codes = copies(3)
    sets = np.random.default_rng(0).random((40, 3))[np.repeat(np.arange(40), 5)] < 0.4
    several = Codes.from_bits(codes.to_bits(), sets, classes=["a", "b", "c"], items={"object": codes.items["object"]})
    alone, grouped = class_log_odds(several), class_log_odds(several, groups="object", permutations=20)
    assert ((grouped.high - grouped.low) > (alone.high - alone.low)).all()
    assert np.array_equal(alone.p, grouped.p)


@pytest.mark.parametrize("groups", [None, np.arange(30) // 2])
def test_bits_that_never_change_say_nothing(groups):
    codes = Codes.from_bits(np.repeat([[0, 1]], 30, axis=0), np.arange(30) % 3)
    odds, information = class_log_odds(codes, groups=groups), class_information(codes, groups=groups)
    assert (odds.p_value == 1).all()
    assert (odds.log_odds == 0).all()
    assert information.p_value.tolist() == [1, 1]
    assert information.information.tolist() == [0, 0]


@pytest.mark.parametrize("measure", [class_information, class_log_odds, joint_information])
def test_one_group_is_refused(measure):
    with pytest.raises(DataError, match=f"{measure.__name__}: all images are in one group, expected two groups or"):
        measure(copies(0), groups=np.zeros(200, int))


@pytest.mark.parametrize("measure", [class_information, class_log_odds])
def test_counts_have_no_groups(measure):
    counts = ClassCounts.of(copies(0))
    with pytest.raises(UsageError, match="groups need the codes themselves, their counts are not enough"):
        measure(counts, groups="object")


def test_images_without_a_label_do_not_count_as_groups():
    codes = copies(0)
    labels = np.where(np.arange(200) < 100, codes.labels, -1)
    part = Codes.from_bits(codes.to_bits(), labels, classes=["a", "b", "c"], items={"object": codes.items["object"]})
    whole = class_log_odds(codes[:100], groups="object", permutations=20)
    found = class_log_odds(part, groups="object", permutations=20)
    assert found.groups == 20
    assert np.array_equal(found.low, whole.low)
    assert np.array_equal(found.p_value, whole.p_value)


def test_the_best_bits_together_say_nothing_about_near_copies():
    p_values, alone = [], []
    for seed in range(60):
        codes = copies(seed, classes=2)
        found = joint_information(codes, 3, groups="object", permutations=60, seed=seed)
        p_values.append(found.p_value)
        alone.append(joint_information(codes, 3, permutations=60, seed=seed).p_value)
        assert found.groups == 40
        assert found.chosen_items % 5 == found.scored_items % 5 == 0
    assert np.mean(np.array(alone) < 0.05) > 0.8
    assert np.mean(np.array(p_values) < 0.05) < 0.15
