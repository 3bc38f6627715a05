"""Distances of pairs against all pairs, and against a sum over all outcomes of independent bits."""

from itertools import product

import numpy as np
import pytest

from codelab import Codes, DataError, UsageError
from codelab.measures.pair_distances import pair_distances
from tests.support.synthetic import fair_bits, prototypes


def all_pairs(codes):
    """Distance and whether the class is the same, of every pair of different items."""
    bits = codes.to_bits()
    first, second = np.triu_indices(len(codes), 1)
    apart = (bits[first] != bits[second]).sum(axis=1)
    if codes.multilabel:
        return apart, (codes.labels[first] & codes.labels[second]).any(axis=1)
    return apart, codes.labels[first] == codes.labels[second]


@pytest.mark.parametrize("multilabel", [False, True])
def test_drawn_pairs_agree_with_all_pairs(multilabel):
    codes = prototypes(300, classes=6, bits=32, flip=0.2)
    if multilabel:
        labels = np.stack([codes.labels == c for c in range(6)], axis=1)
        codes = Codes(codes.packed, codes.bits, labels=labels, classes=codes.classes)
    apart, same = all_pairs(codes)
    found = pair_distances(codes, pairs=400_000)
    for histogram, distances in ((found.every, apart), (found.same, apart[same]), (found.different, apart[~same])):
        exact = np.bincount(distances, minlength=33) / len(distances)
        assert np.abs(histogram / histogram.sum() - exact).max() < 0.01
    nearer = (apart[same][:, None] < apart[~same][None, :20000]).mean()
    tied = (apart[same][:, None] == apart[~same][None, :20000]).mean()
    assert found.value == pytest.approx(nearer + tied / 2, abs=0.01)


def test_independent_bits_by_enumeration():
    codes = Codes.from_bits([[1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 1], [1, 0, 0, 0]])
    p = codes.to_bits().mean(axis=0)
    exact = np.zeros(5)
    for a, b in product(product((0, 1), repeat=4), repeat=2):
        chance = np.prod(np.where(np.array([a, b]), p, 1 - p))
        exact[np.not_equal(a, b).sum()] += chance
    assert pair_distances(codes, pairs=10).independent == pytest.approx(exact)


def test_fair_bits_look_independent_and_know_no_class():
    found = pair_distances(fair_bits(2000, 64, classes=5))
    assert np.abs(found.every / found.every.sum() - found.independent).max() < 0.01
    assert found.value == pytest.approx(0.5, abs=0.01)


def test_what_labels_allow():
    unlabelled = pair_distances(fair_bits(50, 8))
    assert unlabelled.same is None
    assert np.isnan(unlabelled.value)
    alone = pair_distances(Codes.from_bits(np.eye(5, 8), labels=np.arange(5)))
    assert alone.same is None
    assert alone.different is not None
    one_class = pair_distances(Codes.from_bits(np.eye(5, 8), labels=np.zeros(5, int)))
    assert one_class.different is None
    some = pair_distances(Codes.from_bits(np.eye(6, 8), labels=np.array([-1, 0, 0, 1, 1, -1])))
    assert np.flatnonzero(some.same).tolist() == np.flatnonzero(some.different).tolist() == [2]


def test_same_seed_same_pairs():
    codes = fair_bits(100, 16, classes=3)
    first, again, other = (pair_distances(codes, pairs=500, seed=seed).every.tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_wrong_calls():
    with pytest.raises(DataError, match=r"^pair_distances: found 1 codes, expected at least 2$"):
        pair_distances(Codes.from_bits([[1, 0]]))
    with pytest.raises(UsageError, match=r"^pairs 0: expected at least 1$"):
        pair_distances(fair_bits(5, 4), pairs=0)
