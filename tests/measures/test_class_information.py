"""Information of bits about classes: oracles, known truth, and the false positive rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.measures.class_information import class_information
from codelab.statistics.estimators import expected_information, table_information
from codelab.statistics.nulls import permuted_information
from tests.support import synthetic


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 300), st.integers(2, 9), st.integers(0, 999))
def test_plugin_and_expectation_are_scikit_learns(n, classes, seed):
    generator = np.random.default_rng(seed)
    labels = np.concatenate([[0, 1], generator.integers(0, classes, n - 2)])
    bits = generator.random((n, 4)) < [0.5, 0.1, 0.95, 0.0]
    found = class_information(Codes.from_bits(bits, labels), permutations=1)
    for b in range(4):
        assert found.plugin[b] == pytest.approx(mutual_info_score(bits[:, b], labels) / np.log(2), abs=1e-9)
        table = contingency_matrix(bits[:, b], labels, sparse=True)
        expected = expected_mutual_information(table, n) / np.log(2) if table.shape[0] == 2 else 0.0
        assert found.expectation[b] == pytest.approx(expected, abs=1e-9)


def test_expectation_is_the_mean_over_all_permutations():
    from itertools import permutations

    bits, labels = np.array([1, 1, 0, 0, 0, 1]), np.array([0, 0, 1, 1, 2, 2])
    values = []
    for order in permutations(range(6)):
        ones = np.bincount(labels[list(order)], weights=bits, minlength=3)
        values.append(table_information(ones, np.array([2, 2, 2])))
    assert expected_information(np.array([3]), np.array([2, 2, 2]))[0] == pytest.approx(np.mean(values))


def test_drawn_tables_are_label_shuffles():
    generator = np.random.default_rng(0)
    labels, bit = np.repeat([0, 1, 2], [30, 50, 20]), np.arange(100) < 37
    shuffled = []
    for _ in range(4000):
        generator.shuffle(labels)
        shuffled.append(table_information(np.bincount(labels[bit], minlength=3), np.array([30, 50, 20])))
    drawn = permuted_information(37, np.array([30, 50, 20]), 4000, generator)
    assert drawn.mean() == pytest.approx(np.mean(shuffled), rel=0.06)
    assert np.quantile(drawn, [0.5, 0.9, 0.99]) == pytest.approx(np.quantile(shuffled, [0.5, 0.9, 0.99]), rel=0.15)


def test_prototype_bits_carry_what_they_must():
    codes = synthetic.prototypes(5000, classes=2, bits=64, flip=0.1, seed=1)
    found = class_information(codes)
    channel = 1 + 0.1 * np.log2(0.1) + 0.9 * np.log2(0.9)  # a fair class bit through a 10 % flip
    informative = found.q_value < 1e-3
    assert found.information[informative] == pytest.approx(np.full(informative.sum(), channel), abs=0.06)
    assert 16 < informative.sum() < 48  # the two prototypes differ in about half of the bits
    assert np.abs(found.information[~informative]).max() < 0.005
    assert found.uncertainty[informative] == pytest.approx(found.information[informative], rel=0.1)


@pytest.mark.parametrize(("per_class", "classes"), [(5, 40), (50, 10)])
def test_noise_bits_carry_nothing_after_correction(per_class, classes):
    found = class_information(synthetic.fair_bits(per_class * classes, 256, classes=classes, seed=2))
    assert found.plugin.mean() > 0.01
    assert abs(found.information.mean()) < 4 * found.information.std() / 16
    assert (found.q_value < 0.05).sum() <= 2


@pytest.mark.parametrize(("per_class", "classes", "share"), [(5, 20, 0.5), (50, 4, 0.5), (5, 100, 0.1)])
def test_false_positives_stay_near_five_percent(per_class, classes, share):
    labels = np.repeat(np.arange(classes), per_class)
    p_values = []
    for seed in range(200):
        bits = synthetic.biased_bits(len(labels), np.full(20, share), seed=seed).to_bits()
        p_values.append(class_information(Codes.from_bits(bits, labels), permutations=100, seed=seed).p_value)
    rate = (np.concatenate(p_values) < 0.05).mean()
    assert 0.03 < rate < 0.07


def test_unlabelled_items_are_left_out():
    codes = synthetic.prototypes(400, classes=4, bits=8)
    some = np.where(np.arange(400) < 300, codes.labels, -1)
    partly = class_information(Codes.from_bits(codes.to_bits(), some))
    assert partly.n == 300
    assert np.array_equal(partly.plugin, class_information(codes[:300]).plugin)


def test_dead_bits_and_empty_classes():
    bits = np.zeros((30, 2))
    bits[:15, 1] = 1
    codes = Codes.from_bits(bits, np.repeat([0, 2], 15), classes=["a", "b", "c"])
    found = class_information(codes)
    assert found.classes == 2
    assert (found.information[0], found.p_value[0], found.q_value[0], found.uncertainty[0]) == (0, 1, 1, 0)
    assert found.plugin[1] == pytest.approx(1)
    assert not found.to_frame().isna().any().any()


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (synthetic.fair_bits(20, 4), "needs labels, and none of these codes has one"),
        (Codes.from_bits(np.eye(4), ["cat"] * 4), "all labels are 'cat', expected two classes or more"),
        (Codes.from_bits(np.zeros((0, 4)), np.zeros(0, int), ["a", "b"]), "needs labels"),
    ],
)
def test_what_cannot_be_measured_is_refused(codes, message):
    with pytest.raises(DataError, match=message):
        class_information(codes)


def test_permutations_must_be_some():
    with pytest.raises(UsageError, match="permutations 0: expected at least 1"):
        class_information(synthetic.fair_bits(20, 4, classes=2), permutations=0)


def test_same_seed_same_result():
    codes = synthetic.fair_bits(300, 16, classes=20)  # few of a class: draws decide
    first, again, other = (class_information(codes, seed=s) for s in (0, 0, 1))
    assert np.array_equal(first.p_value, again.p_value)
    assert not np.array_equal(first.p_value, other.p_value)
    assert first.p_value == pytest.approx(other.p_value, abs=0.2)


def test_full_classes_need_no_draw_and_agree_with_shuffled_labels(monkeypatch):
    """With 20 ones and zeros or more of every class, as Zipf's law may leave them, the gamma law stands for draws."""
    generator = np.random.default_rng(0)
    sizes = (1600 / np.arange(1, 21)).astype(int)
    labels = np.repeat(np.arange(20), sizes)
    bits = generator.random((len(labels), 12)) < 0.5
    bits[:, 6:] |= (labels[:, None] % 4 == 0) & (generator.random((len(labels), 6)) < 0.12)
    shuffled = np.zeros((1500, 12))
    for row in shuffled:
        ones = np.stack([np.bincount(generator.permutation(labels), bit, 20) for bit in bits.T], axis=1)
        row[:] = table_information(ones.astype(int).T, sizes)
    monkeypatch.setattr("codelab.statistics.information_nulls.permuted_information", None)
    found = class_information(Codes.from_bits(bits, labels))
    share = (shuffled >= found.plugin).mean(axis=0)
    assert np.abs(found.p_value - share).max() < 0.04  # three standard errors of 1,500 draws
    assert found.fitted_tail.tolist() == (found.p_value < 1 / 201).tolist()


def test_law_without_draws_has_its_level_on_rare_bits_and_zipf_classes():
    sizes = (3000 / np.arange(1, 11)).astype(int)
    labels = np.repeat(np.arange(10), sizes)
    generator = np.random.default_rng(1)
    p_value = class_information(Codes.from_bits(generator.random((len(labels), 2000)) < 0.07, labels)).p_value
    assert 0.037 < (p_value < 0.05).mean() < 0.063
    assert 0.45 < p_value.mean() < 0.55
