"""Signatures: planted bits, distances against SciPy, nothing in shuffled classes."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from codelab import Codes, DataError, UsageError, class_signatures


def planted(n=400, seed=0, copies=1):
    """Four classes: bit c is 1 in class c in 9 of 10 images, the rest are coins."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    bits = rng.integers(0, 2, (n, 12)).astype(bool)
    bits[:, :4] = (labels[:, None] == np.arange(4)) ^ (rng.random((n, 4)) < 0.1)
    rows = np.repeat(np.arange(n), copies)
    return Codes.from_bits(bits[rows], labels[rows], ("a", "b", "c", "d"), items={"thing": rows.astype(str)})


def test_planted_bits_are_each_class_s_own():
    found = class_signatures(planted(copies=2), most=2, groups="thing")
    for c, signature in enumerate(found.signatures):
        assert (signature.bits[0], signature.sides[0]) == (c, 1)
        assert signature.q_value[0] < 0.05
        assert signature.low[0] < signature.log_odds[0] < signature.high[0]
        assert signature.share[0] == pytest.approx(0.9, abs=0.1)
        assert signature.elsewhere[0] == pytest.approx(0.1, abs=0.1)
    assert "4 of 4 classes have a bit" in repr(found)


def test_distances_and_medoids_are_those_of_all_pairs():
    codes = planted(120)
    found = class_signatures(codes)
    bits = codes.to_bits()
    for c in range(4):
        own = bits[codes.labels == c].astype(float)
        assert found.distances[c, c] == pytest.approx(pdist(own, "cityblock").mean())
        for d in range(c):
            other = bits[codes.labels == d].astype(float)
            assert found.distances[c, d] == pytest.approx(cdist(own, other, "cityblock").mean())
        away = np.abs(bits - own.mean(axis=0)).sum(axis=1)
        medoid = found.signatures[c].medoid
        assert codes.labels[medoid] == c
        assert away[medoid] == pytest.approx(away[codes.labels == c].min())
        nearest = np.where(np.arange(4) == c, np.inf, found.distances[c]).argmin()
        assert found.signatures[c].nearest == "abcd"[nearest]


def test_two_classes_are_told_apart_by_their_own_bits():
    frame = class_signatures(planted()).between("a", "c")
    assert set(frame["bit"][:2]) == {0, 2}
    assert (np.diff(frame["difference"].abs()) <= 0).all()
    with pytest.raises(UsageError, match="class 'x': these codes have a, b, c, d"):
        class_signatures(planted()).between("a", "x")


@pytest.mark.parametrize("groups", [None, "thing"])
def test_two_classes_with_log_odds(groups):
    """Against a table by hand, and near copies make the intervals wider."""
    codes = planted(copies=3)
    frame = class_signatures(codes, groups=groups).between("a", "c", codes, groups=groups).set_index("bit")
    one, two = (codes.to_bits()[codes.labels == c] for c in (0, 2))
    for bit in range(12):
        cells = [one[:, bit].sum(), (~one[:, bit]).sum(), two[:, bit].sum(), (~two[:, bit]).sum()]
        a, b, c, d = (float(cell) + 0.5 for cell in cells)
        assert frame["log_odds"][bit] == pytest.approx(np.log(a * d / b / c))
        woolf = 1.96 * np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
        half = (frame["high"][bit] - frame["low"][bit]) / 2
        assert half == pytest.approx(woolf, rel=1e-3) if groups is None else half > 1.3 * woolf
    assert set(frame.index[frame["q_value"] < 0.01]) >= {0, 2}
    if groups:  # the copies are no evidence
        assert (frame["q_value"].drop([0, 2]) > 0.01).all()


def test_two_classes_of_other_codes_is_one_line():
    codes = planted()
    found = class_signatures(codes)
    with pytest.raises(UsageError, match="codes: found classes 0, 1, expected a, b, c and 1 more"):
        found.between("a", "c", Codes.from_bits(np.eye(4), [0, 1, 0, 1]))
    with pytest.raises(DataError, match="two classes or more"):
        found.between("a", "a", codes)


def test_shuffled_classes_have_no_bits_of_their_own():
    some = []
    for seed in range(20):
        codes = planted(160, seed)
        labels = np.random.default_rng(seed).permutation(codes.labels)
        found = class_signatures(Codes.from_bits(codes.to_bits(), labels), seed=seed)
        some.append(any((s.q_value < 0.05).any() for s in found.signatures))
    assert np.mean(some) < 0.25


def test_what_cannot_be_is_one_line():
    codes = planted(40)
    with pytest.raises(DataError, match="needs labels"):
        class_signatures(Codes.from_bits(np.eye(4)))
    with pytest.raises(DataError, match="1 classes have images in both halves"):
        class_signatures(codes[codes.labels == 1])
    with pytest.raises(DataError, match="multi-label"):
        class_signatures(Codes.from_bits(np.eye(4), np.eye(4, dtype=bool), tuple("abcd")))
