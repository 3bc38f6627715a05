"""Bits that another code still holds: planted, against scikit-learn, and on codes without relation."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, matthews_corrcoef

from codelab import Codes, DataError, decodable_bits


def reset(n=240, *, copies=1, seed=0):
    """Old bits: a new bit's complement, the majority of three new bits, the parity of two, a coin, and a constant."""
    rng = np.random.default_rng(seed)
    new = rng.integers(0, 2, (n, 8))
    parity, coin = new[:, 6] ^ new[:, 7], rng.integers(0, 2, n)
    old = np.stack([1 - new[:, 4], new[:, :3].sum(axis=1) > 1, parity, coin, np.ones(n)], axis=1)
    rows = np.repeat(np.arange(n), copies)
    items = {"id": [f"i{i}" for i in range(len(rows))], "thing": rows}
    return Codes.from_bits(old[rows], items=items), Codes.from_bits(new[rows], items=items)


def test_linear_bits_are_found_and_parity_coins_and_constants_are_not():
    found = decodable_bits(*reset(copies=2), groups="thing")
    assert (found.p_value < 0.05).tolist() == [True, True, False, False, False]
    assert found.accuracy[:2].tolist() == found.auprc[:2].tolist() == [1, 1]
    assert (found.single[0], found.single_phi[0]) == (4, 1)
    assert found.single_phi[1] < 0.8 < found.phi[1]  # no one bit is the majority of three
    assert np.isnan([found.accuracy[4], found.auprc[4]]).all()
    assert found.phi[4] == 0
    assert "2 of 5 bits can be read at p < 0.05" in repr(found)


def test_by_scikit_learn_on_the_same_halves():
    before, after = reset(seed=1)
    found = decodable_bits(before, after, seed=5)
    order = np.random.default_rng(5).permutation(len(before))
    fit, score = np.sort(order[:120]), np.sort(order[120:])
    x, y = after.to_bits() * 2.0 - 1, before.to_bits()
    for b in range(4):
        model = LogisticRegression(max_iter=2000).fit(x[fit], y[fit, b])
        assert found.phi[b] == pytest.approx(matthews_corrcoef(y[score, b], model.predict(x[score])))
        area = average_precision_score(y[score, b], model.predict_proba(x[score])[:, 1])
        assert found.auprc[b] == pytest.approx(area)
        assert found.accuracy[b] == model.score(x[score], y[score, b])
        assert found.majority[b] == max(y[score, b].mean(), 1 - y[score, b].mean())


def test_unrelated_codes_five_in_a_hundred():
    """Near copies in groups: some bit of a code has p < 0.05 in about 5 % of unrelated pairs of codes."""
    some = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        things = np.repeat(np.arange(40), 4)
        old, new = (rng.random((2, 40, 2)) < 0.4)[:, things] ^ (rng.random((2, 160, 2)) < 0.03)
        codes = Codes.from_bits(old), Codes.from_bits(new)
        some.append(decodable_bits(*codes, groups=things, permutations=60, seed=seed).p_value.min() < 0.05)
    assert np.mean(some) < 0.13


def test_other_images_and_too_few_are_one_line():
    before, after = reset(40)
    with pytest.raises(DataError, match=r"^decodable_bits: before has 40 images and after has 39"):
        decodable_bits(before, after[:39])
    with pytest.raises(DataError, match=r"^decodable_bits: after has the same images in another order"):
        decodable_bits(before, after[::-1])
    with pytest.raises(DataError, match=r"^decodable_bits: found 3 codes, expected at least 4"):
        decodable_bits(before[:3], after[:3])
    with pytest.raises(DataError, match=r"^decodable_bits: 2 images or groups, expected two or more in"):
        decodable_bits(before, after, groups=[1] * 20 + [2] * 20)
