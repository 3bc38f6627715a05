"""Value of bits against mAP computed set by set, on planted truth, and for twins."""

import itertools
from math import factorial

import numpy as np
import pytest

from codelab import Codes, DataError, bit_value, retrieval_map


def planted(n=160, bits=8, seed=0):
    """Bit 0 is the class, bits 1 and 2 are equal noisy copies of it, the rest are coins."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    code = rng.integers(0, 2, (n, bits))
    code[:, 0] = labels
    code[:, 1] = code[:, 2] = np.where(rng.random(n) < 0.2, 1 - labels, labels)
    return Codes.from_bits(code, labels, items={"thing": [f"t{i // 2}" for i in range(n)]})


def shapley(codes, groups=None):
    """Shapley values by the sum over all sets of bits, each scored by itself."""
    bits = codes.bits
    value = {}
    for size in range(bits + 1):
        for some in itertools.combinations(range(bits), size):
            chosen = codes.select_bits(some) if some else Codes.from_bits(np.zeros((len(codes), 1)), codes.labels)
            value[some] = retrieval_map(
                Codes.from_bits(chosen.to_bits(), codes.labels, items=codes.items), groups=groups, bootstrap=1
            ).value
    found = np.zeros(bits)
    for b in range(bits):
        for some in value:
            if b not in some:
                weight = factorial(len(some)) * factorial(bits - len(some) - 1) / factorial(bits)
                found[b] += weight * (value[tuple(sorted({*some, b}))] - value[some])
    return found, value[tuple(range(bits))], value[()]


def test_masked_is_the_map_without_the_bit():
    codes = planted()
    found = bit_value(codes, groups="thing", subsets=0)
    whole = retrieval_map(codes, groups="thing").value
    assert found.retrieval_map == pytest.approx(whole)
    for b in range(8):
        without = codes.select_bits([x for x in range(8) if x != b])
        assert found.masked[b] == pytest.approx(whole - retrieval_map(without, groups="thing").value)
    assert (found.masked_low <= found.masked).all()
    assert (found.masked <= found.masked_high).all()
    assert np.isnan([found.share, found.share_error]).all()


def test_permuted_is_the_map_with_a_column_of_noise():
    """A constant bit loses nothing; on average over seeds, the others lose what shuffled columns do."""
    codes = planted(80, bits=5)
    bits = codes.to_bits()
    bits[:, 4] = True
    codes = Codes.from_bits(bits, codes.labels)
    whole, rng, lost = retrieval_map(codes).value, np.random.default_rng(1), np.zeros((20, 5))
    for draw, b in itertools.product(range(20), range(5)):
        shuffled = bits.copy()
        shuffled[:, b] = rng.permutation(bits[:, b])
        lost[draw, b] = whole - retrieval_map(Codes.from_bits(shuffled, codes.labels), bootstrap=1).value
    found = np.stack([bit_value(codes, subsets=0, seed=seed).permuted for seed in range(20)])
    error = np.sqrt((lost.var(axis=0) + found.var(axis=0)) / 20)
    assert found[:, 4].tolist() == [0] * 20
    assert (np.abs(found.mean(axis=0) - lost.mean(axis=0))[:4] < 4 * error[:4]).all()
    assert (found.std(axis=0)[:4] > 0).all()


@pytest.mark.parametrize("groups", [None, "thing"])
def test_all_sets_of_six_bits_give_the_shapley_values(groups):
    codes = planted(60, bits=6)
    truth, whole, nothing = shapley(codes, groups)
    found = bit_value(codes, subsets=64, groups=groups)
    assert found.subsets == 64
    assert found.share == pytest.approx(truth)
    assert found.share.sum() == pytest.approx(whole - nothing)
    assert found.chance == pytest.approx(nothing)
    assert (found.share_error == 0).all()
    assert found.share[1] == pytest.approx(found.share[2])  # equal columns are worth the same


def test_random_sets_come_near_them_and_their_errors_are_not_too_small():
    codes = planted(30, bits=6)
    truth, whole, nothing = shapley(codes)
    several = [bit_value(codes, subsets=20, seed=seed) for seed in range(20)]
    off = np.stack([found.share - truth for found in several])
    assert np.abs(off.mean(axis=0)).max() < 4 * off.std(axis=0).max() / np.sqrt(20)
    ratio = np.sqrt((off**2).mean(axis=0)) / np.stack([f.share_error for f in several]).mean(axis=0)
    assert ratio.max() < 1.5
    assert ratio.mean() > 0.4
    for found in several:
        assert found.share.sum() == pytest.approx(whole - nothing)


def test_images_with_several_labels_and_packed_bytes_that_are_not_full():
    rng = np.random.default_rng(0)
    codes = Codes.from_bits(rng.integers(0, 2, (70, 11)), rng.random((70, 4)) < 0.3, classes=tuple("abcd"))
    found = bit_value(codes, subsets=0)
    without = codes.select_bits([b for b in range(11) if b != 9])
    assert found.masked[9] == pytest.approx(retrieval_map(codes).value - retrieval_map(without).value)


def test_the_class_is_worth_most_and_noise_less_than_nothing():
    found = bit_value(planted())
    assert found.masked.argmax() == found.permuted.argmax() == found.share.argmax() == 0
    assert found.masked_low[0] > 0
    assert (found.masked[3:] < 0).all()
    assert found.permuted[0] > found.masked[0]  # noise in place of the class is worse than none
    assert (found.share[1:3] > found.share[3:].max() + 0.01).all()


def test_a_part_of_the_queries():
    codes = planted()
    found = bit_value(codes, queries=60)
    assert found.queries == 60
    assert found.masked[0] == pytest.approx(bit_value(codes).masked[0], abs=0.1)
    assert bit_value(codes, queries=60).to_frame().equals(found.to_frame())


def test_what_cannot_be_is_one_line():
    with pytest.raises(DataError, match="one bit"):
        bit_value(Codes.from_bits(np.eye(4)[:, :1], [0, 1, 0, 1]))
    with pytest.raises(DataError, match=r"^bit_value: all labels are '0', expected two classes"):
        bit_value(Codes.from_bits(np.eye(4), [0] * 4))
    with pytest.raises(DataError, match="label"):
        bit_value(Codes.from_bits(np.eye(4)))
    with pytest.raises(DataError, match="relevant"):
        bit_value(Codes.from_bits(np.eye(4), [0, 1, 2, 3]))
