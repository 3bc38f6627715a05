"""Reuse across classes on planted factors."""

import numpy as np
import pytest

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.measures.bit_reuse import attribute_reuse, bit_reuse
from codelab.measures.class_information import class_information
from codelab.measures.contrast_consistency import contrast_consistency
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


def test_contrast_tells_shared_half_and_scattered_factors_from_noise():
    codes, where = synthetic.planted_factors(60, classes=12)
    reuse = bit_reuse(codes)
    contrast = reuse.contrast
    value = {name: contrast.consistency[bit] for name, bit in where.items()}
    assert value["shared"] > 0.95
    truth = (6 * 5) / (12 * 11) / 0.5  # pairs of classes that share it, over classes that it moves
    assert value["half"] == pytest.approx(truth, abs=0.2)
    assert contrast.low[where["half"]] < truth < contrast.high[where["half"]]
    assert abs(value["scattered"]) < 0.1
    assert contrast.low[where["single"]] < 0 < contrast.high[where["single"]]
    found = {n for n, bit in where.items() if contrast.q_value[bit] < 0.05 and contrast.flip_p_value[bit] < 0.05}
    assert found == {"shared", "half"}
    shared = where["shared"]
    assert contrast.low[shared] > 0.9
    assert contrast.cosine[shared] < value["shared"]  # noise pulls the plain cosine down
    assert contrast.same_view
    frame = reuse.to_frame()
    assert {"split", "consistency", "null", "q_value"} <= set(frame.columns)
    assert not frame.isna().any().any()


def test_interval_over_classes_covers_the_share_of_classes_that_have_the_factor():
    inside = []
    for seed in range(20):
        codes, where = synthetic.planted_factors(60, classes=40, seed=seed)
        contrast = contrast_consistency(codes, permutations=1, seed=seed)
        truth = (20 * 19) / (40 * 39) / 0.5
        inside.append(contrast.low[where["half"]] <= truth <= contrast.high[where["half"]])
    assert np.mean(inside) >= 0.8


def _contrast_of(kind, classes, per_class, scale, noise, seed):
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    bit = generator.integers(0, 2, len(labels))
    features = noise * generator.normal(size=(len(labels), 16)) + generator.normal(size=(classes, 16))[labels]
    sizes = np.broadcast_to(scale, classes) * {"shared": 1, "half": np.arange(classes) % 2}.get(kind, 1)
    along = np.broadcast_to(np.eye(16)[0], (classes, 16))
    if kind == "own":
        along = generator.normal(size=(classes, 16)) / 4
    features += bit[:, None] * (along * np.asarray(sizes)[:, None])[labels]
    return contrast_consistency(Codes.from_bits(bit[:, None], labels), features, permutations=60, seed=seed)


def test_five_images_a_class_are_enough_for_a_factor_of_all_classes():
    found = {
        kind: [_contrast_of(kind, 100, 5, 1.0, 1.0, seed) for seed in range(10)] for kind in ("shared", "half", "own")
    }
    mean = {kind: np.mean([c.consistency[0] for c in contrasts]) for kind, contrasts in found.items()}
    assert mean["shared"] > 0.75
    assert min(c.consistency[0] for c in found["shared"]) > 0.3
    assert mean["half"] == pytest.approx(0.5, abs=0.2)
    assert abs(mean["own"]) < 0.15
    assert np.mean([c.high[0] > 0.9 for c in found["shared"]]) >= 0.8


@pytest.mark.parametrize("scale", [np.geomspace(0.3, 10, 10), np.array([1.0] * 9 + [20.0])])
def test_a_direction_shared_at_uneven_sizes_is_still_shared(scale):
    contrast = _contrast_of("shared", 10, 200, scale, 0.05, 0)
    assert contrast.consistency[0] > 0.95
    assert contrast.low[0] > 0.9


@pytest.mark.parametrize(("per_class", "classes"), [(5, 10), (50, 4)])
def test_false_positives_of_contrast_stay_near_five_percent(per_class, classes):
    p_values = []
    labels = np.repeat(np.arange(classes), per_class)
    for seed in range(200):
        generator = np.random.default_rng(seed)
        features = generator.normal(size=(len(labels), 8)) * [3, 2, 1, 1, 1, 1, 1, 1]
        features += generator.normal(size=(classes, 8))[labels]
        noise = generator.integers(0, 2, (len(labels), 10))
        codes = Codes.from_bits(noise, labels)
        p_values.append(contrast_consistency(codes, features, permutations=50, resamples=1, seed=seed).p_value)
    assert 0.03 < (np.concatenate(p_values) < 0.05).mean() < 0.07


def test_flipped_signs_tell_a_shared_factor_from_one_of_each_class():
    p_values = []
    for seed in range(100):
        codes, where = synthetic.planted_factors(30, classes=10, seed=seed)
        generator = np.random.default_rng(seed)
        own = generator.normal(size=(10, 32))  # a direction at random for each class
        features = generator.normal(size=(300, 32)) + codes.to_bits()[:, where["scattered"], None] * own[codes.labels]
        p_values.append(
            contrast_consistency(codes, features, permutations=1, seed=seed).flip_p_value[where["scattered"]]
        )
    assert np.mean(np.array(p_values) < 0.05) <= 0.12


def test_any_direction_is_consistent_so_the_yardstick_is_beside_it():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 100)
    features = generator.normal(size=(1000, 16)) + 3 * generator.normal(size=(10, 16))[labels]
    hyperplanes = features @ generator.normal(size=(16, 20)) > 0
    contrast = contrast_consistency(Codes.from_bits(hyperplanes, labels, features=features), permutations=60)
    assert (contrast.q_value < 0.05).mean() > 0.9
    assert contrast.consistency.mean() == pytest.approx(contrast.random_directions, abs=0.1)
    other_view = contrast_consistency(
        Codes.from_bits(hyperplanes, labels), generator.normal(size=(1000, 16)), permutations=60
    )
    assert (other_view.q_value < 0.05).mean() < 0.1
    assert not other_view.same_view


def test_contrast_at_the_edges():
    labels = np.repeat([0, 1], 10)
    bits = np.zeros((20, 3))
    bits[:10, 1] = 1  # the class itself: no class has both sides
    bits[0, 2] = 1
    contrast = contrast_consistency(Codes.from_bits(bits, labels), np.ones((20, 4)), permutations=5)
    assert contrast.consistency.tolist() == [0, 0, 0]
    assert contrast.classes_used.tolist() == [0, 0, 0]
    assert contrast.p_value.tolist() == [1, 1, 1]
    assert not contrast.to_frame().isna().any().any()


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


def test_a_bit_that_reads_the_attribute_is_told_from_one_that_reads_the_class():
    generator = np.random.default_rng(4)
    kind = generator.integers(0, 5, 4000)
    tone = generator.random(4000) < np.array([0.1, 0.3, 0.5, 0.7, 0.9])[kind]
    bits = np.stack([tone, kind >= 3, generator.integers(0, 2, 4000)], axis=1)
    codes = Codes.from_bits(bits, kind, items={"tone": tone.astype(str)})
    found = attribute_reuse(codes, "tone")
    truth = np.mean([-(p * np.log2(p) + (1 - p) * np.log2(1 - p)) for p in (0.1, 0.3, 0.5, 0.7, 0.9)])
    assert found.reuse == pytest.approx([truth, 0, 0], abs=0.02)
    assert (found.q_value < 0.01).tolist() == [True, True, False]
    assert (found.within_q_value < 0.01).tolist() == [True, False, False]
    with pytest.raises(UsageError, match="attribute 'class': expected an item column other"):
        attribute_reuse(codes, "class")


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
