"""How parallel contrasts are across classes, on planted directions and on data without effect."""

import numpy as np
import pytest

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.measures.bit_reuse import bit_reuse
from codelab.measures.contrast_consistency import contrast_consistency
from codelab.statistics.nulls import false_discovery
from tests.support import synthetic


def planted(kind, classes, per_class, scale=1.0, noise=1.0, seed=0):
    """One bit that moves each class along one direction (`shared`), half of them (`half`), each along its `own`, or
    along one line but in every second class the other way (`opposite`)."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    bit = generator.integers(0, 2, len(labels))
    features = noise * generator.normal(size=(len(labels), 16)) + generator.normal(size=(classes, 16))[labels]
    factor = {"half": np.arange(classes) % 2, "opposite": 1 - 2 * (np.arange(classes) % 2)}.get(kind, 1)
    along = np.broadcast_to(np.eye(16)[0], (classes, 16))
    if kind == "own":
        along = generator.normal(size=(classes, 16)) / 4
    features += bit[:, None] * (along * np.broadcast_to(scale * factor, classes)[:, None])[labels]
    return Codes.from_bits(bit[:, None], labels), features


def test_shared_half_and_scattered_factors_are_told_from_noise():
    codes, where = synthetic.planted_factors(60, classes=12)
    found = contrast_consistency(codes)
    value = {name: found.consistency[bit] for name, bit in where.items()}
    assert value["shared"] == pytest.approx(1, abs=0.02)
    assert 0.55 < value["half"] < 1.05  # 1 less the noise of the classes that do not move
    assert abs(value["scattered"]) < 0.1
    of_own = found.shared / found.own
    assert of_own[where["shared"]] == pytest.approx(1, abs=0.05)
    pairs = (6 * 5) / (12 * 11)  # of classes that share it
    assert of_own[where["half"]] == pytest.approx(pairs / 0.5, abs=0.12)
    assert found.shared[where["single"]] == pytest.approx(0, abs=0.04)
    assert found.own[where["shared"]] == pytest.approx(1, abs=0.12)  # a step of length 1
    assert (found.shared_q_value[[where["shared"], where["half"]]] < 0.01).all()
    assert found.flip_p_value[where["shared"]] < 0.01
    assert found.flip_p_value[where["scattered"]] > 0.05
    assert (found.low[where["single"]], found.high[where["single"]]) == (-1, 1)  # one class has no parallel
    moves = {name for name, bit in where.items() if found.moves_q_value[bit] < 0.05}
    assert moves == {"shared", "half", "single", "scattered"}
    assert found.low[where["shared"]] > 0.9
    coins = [bit for name, bit in where.items() if name.startswith("noise")]
    told = found.contrast_z[coins] >= 2
    assert (np.isnan(found.consistency[coins]) == ~told).all()
    assert (~told).sum() >= 3
    assert f"{int((found.contrast_z < 2).sum())} of 8 bits: cannot tell" in found.note
    assert found.same_view
    assert "random directions" in found.headline()


@pytest.mark.parametrize("scale", [np.geomspace(0.3, 10, 10), np.array([1.0] * 9 + [20.0])])
def test_a_direction_shared_at_uneven_sizes_is_still_shared(scale):
    found = contrast_consistency(*planted("shared", 10, 200, scale, 0.05), permutations=60)
    assert found.consistency[0] > 0.99
    assert found.low[0] > 0.95
    assert found.shared[0] / found.own[0] < 0.8  # the ratio of means falls where sizes are uneven


def test_error_at_uneven_sizes_stays_small():
    """Root mean square error over sizes of contrasts that differ by a factor of 30 and true W of 0, 0.5 and 1."""
    errors = []
    for seed in range(12):
        for truth in (0.0, 0.5, 1.0):
            generator = np.random.default_rng([seed, 1])
            aside = generator.normal(size=(12, 15))
            aside *= np.sqrt(1 - truth) / np.linalg.norm(aside, axis=1, keepdims=True)
            steps = np.column_stack([np.full(12, np.sqrt(truth)), aside]) * np.geomspace(0.2, 6, 12)[:, None]
            labels, bit = np.repeat(np.arange(12), 40), generator.integers(0, 2, 480)
            features = generator.normal(size=(480, 16)) + bit[:, None] * steps[labels]
            found = contrast_consistency(Codes.from_bits(bit[:, None], labels), features, permutations=20)
            errors.append(found.consistency[0] - truth)
    assert np.sqrt(np.mean(np.square(errors))) < 0.12


def test_opposite_senses_share_nothing_but_move():
    found = contrast_consistency(*planted("opposite", 10, 60, 3.0))
    assert found.consistency[0] == pytest.approx(-1 / 9, abs=0.05)
    assert found.shared_p_value[0] > 0.5
    assert found.moves_p_value[0] < 1e-4


def test_five_images_a_class_are_enough_for_a_factor_of_all_classes():
    found = {
        kind: [contrast_consistency(*planted(kind, 60, 5, 1.5, seed=s), permutations=20, seed=s) for s in range(5)]
        for kind in ("shared", "own")
    }
    mean = {kind: np.nanmean([c.consistency[0] for c in contrasts]) for kind, contrasts in found.items()}
    assert mean["shared"] > 0.8
    assert abs(mean["own"]) < 0.2


def without_effect(seed, classes, objects, copies, bits=10):
    """Coins and features that are independent; `copies` near copies of each object, and the group of each image."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), objects)
    features = generator.normal(size=(len(labels), 8)) * [3, 2, 1, 1, 1, 1, 1, 1]
    features += generator.normal(size=(classes, 8))[labels]
    coins = generator.integers(0, 2, (len(labels), bits))
    thing = np.repeat(np.arange(len(labels)), copies)
    flips = generator.random((len(thing), bits)) < (0.03 if copies > 1 else 0)
    features = features[thing] + (0.1 if copies > 1 else 0) * generator.normal(size=(len(thing), 8))
    return Codes.from_bits(coins[thing] ^ flips, labels[thing], items={"thing": thing.astype(str)}), features


@pytest.mark.parametrize(("classes", "objects", "copies"), [(10, 5, 1), (4, 50, 1), (8, 10, 5)])
def test_false_positives_stay_near_five_percent(classes, objects, copies):
    p_values = []
    for seed in range(40):
        codes, features = without_effect(seed, classes, objects, copies)
        groups = "thing" if copies > 1 else None
        found = contrast_consistency(codes, features, groups=groups, permutations=60, seed=seed)
        p_values.append([found.moves_p_value, found.shared_p_value, found.flip_p_value])
    rates = (np.array(p_values) < 0.05).mean(axis=(0, 2))
    assert (rates[:2] > 0.02).all()
    assert (rates < 0.085).all()  # 400 tests: standard error .011


def test_near_copies_without_groups_would_be_found():
    codes, features = without_effect(1, 8, 10, 5, bits=60)
    alone = contrast_consistency(codes, features, permutations=60)
    assert (alone.moves_p_value < 0.05).mean() > 0.5
    grouped = contrast_consistency(codes, features, groups="thing", permutations=60)
    assert (grouped.moves_p_value < 0.05).mean() < 0.15
    assert (grouped.groups, alone.groups) == (80, None)
    assert grouped.own.mean() == pytest.approx(0, abs=0.15 * alone.own.mean())


def test_a_group_of_one_image_each_is_no_group():
    codes, features = without_effect(0, 5, 20, 1)
    grouped = contrast_consistency(codes, features, groups=np.arange(len(codes)), permutations=20)
    assert grouped.own == pytest.approx(contrast_consistency(codes, features, permutations=20).own)
    assert (grouped.moves_p_value > 0.01).all()


def test_a_group_of_several_classes_counts_in_one_of_them():
    codes, features = without_effect(0, 5, 20, 2)
    pairs = np.arange(len(codes)) % 100  # the two images of a group are of different classes
    found = contrast_consistency(codes, features, groups=pairs, permutations=5)
    assert found.items == 100
    with pytest.raises(DataError, match="contrast_consistency: all images are in one group"):
        contrast_consistency(codes, features, groups=np.zeros(len(codes)))
    with pytest.raises(UsageError, match="groups='colour'"):
        contrast_consistency(codes, features, groups="colour")


def test_at_most_so_many_items_in_whole_groups():
    codes, features = without_effect(0, 5, 20, 4)
    found = contrast_consistency(codes, features, groups="thing", permutations=2, items=102)
    assert (found.items, found.groups) == (100, 25)


def test_six_classes_have_32_patterns_of_signs_and_the_p_value_is_a_share_of_them():
    """Of the best pattern it is 1 / 32 and of the second 2 / 32, so below .05 in one of 32 samples and not in two."""
    codes, features = without_effect(0, 6, 20, 1, bits=60)
    found = contrast_consistency(codes, features, permutations=5).flip_p_value * 32
    assert found == pytest.approx(np.rint(found))
    assert found.min() == 1


def test_q_values_that_hold_however_bits_depend_and_where_tails_are_fitted():
    codes, where = synthetic.planted_factors(40, classes=8)
    found = contrast_consistency(codes, permutations=60)
    for name in ("moves", "shared"):
        p_value = getattr(found, f"{name}_p_value")
        bits = len(p_value)
        by = np.minimum(false_discovery(p_value) * (1 / np.arange(1, bits + 1)).sum(), 1)
        assert getattr(found, f"{name}_dependent_q_value") == pytest.approx(by)
        assert (p_value[~getattr(found, f"{name}_fitted_tail")] >= 1 / 61).all()
        assert getattr(found, f"{name}_fitted_tail")[where["shared"]]
        assert {f"{name}_dependent_q_value", f"{name}_fitted_tail"} <= set(found.to_frame().columns)


def test_flipped_signs_tell_a_shared_factor_from_one_of_each_class():
    p_values = [
        contrast_consistency(*planted("own", 10, 30, 4.0, seed=seed), permutations=1, seed=seed).flip_p_value
        for seed in range(100)
    ]
    assert np.mean(np.array(p_values) < 0.05) <= 0.12
    few = contrast_consistency(*planted("shared", 5, 30), permutations=5)
    assert np.isnan([few.flip_p_value, few.low, few.high]).all()  # five classes cannot tell
    assert few.consistency[0] > 0.8


def test_any_direction_is_consistent_so_the_yardstick_is_beside_it():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 100)
    features = generator.normal(size=(1000, 16)) + 3 * generator.normal(size=(10, 16))[labels]
    hyperplanes = features @ generator.normal(size=(16, 20)) > 0
    found = contrast_consistency(Codes.from_bits(hyperplanes, labels, features=features), permutations=60)
    assert (found.shared_q_value < 0.05).mean() > 0.9
    assert np.nanmean(found.consistency) == pytest.approx(found.random_directions, abs=0.1)
    other_view = contrast_consistency(
        Codes.from_bits(hyperplanes, labels), generator.normal(size=(1000, 16)), permutations=60
    )
    assert (other_view.moves_q_value < 0.05).mean() < 0.1
    assert not other_view.same_view


def test_a_bit_that_splits_no_class_cannot_be_told():
    labels = np.repeat([0, 1], 10)
    bits = np.zeros((20, 3))
    bits[:10, 1] = 1  # the class itself: no class has both sides
    bits[0, 2] = 1
    found = contrast_consistency(Codes.from_bits(bits, labels), np.ones((20, 4)), permutations=5)
    assert np.isnan(found.consistency).all()
    assert found.classes_used.tolist() == [0, 0, 0]
    assert found.shared_p_value.tolist() == found.moves_p_value.tolist() == [1, 1, 1]
    assert found.headline() == "0 of 3 bits share a direction at q < 0.05; consistency cannot be told"
    assert bit_reuse(Codes.from_bits(bits, labels, features=np.ones((20, 4)))).headline().endswith("cannot be told")


@pytest.mark.parametrize(
    ("codes", "features", "message"),
    [
        (synthetic.fair_bits(8, 4), np.ones((8, 2)), "needs labels"),
        (synthetic.fair_bits(8, 4, classes=2), None, "no features; export them with --features"),
        (synthetic.fair_bits(8, 4, classes=2), np.ones((7, 2)), r"expected features \[8, d\], found float64 \[7, 2\]"),
        (synthetic.fair_bits(8, 4, classes=2), np.full((8, 2), np.nan), "row 0, column 0 is nan"),
        (Codes.from_bits(np.eye(4), ["cat"] * 4), np.eye(4), "all labelled items are of one class"),
        (Codes.from_bits(np.eye(4), np.eye(4, dtype=bool)), np.eye(4), "found multi-label data"),
    ],
)
def test_contrast_refuses(codes, features, message):
    with pytest.raises(DataError, match=message):
        contrast_consistency(codes, features)
