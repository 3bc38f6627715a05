"""CCGP, monosemanticity and matching on planted truth, against oracles, and on codes without meaning."""

import itertools
from time import process_time

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score

from codelab import Codes, DataError, UsageError, ccgp, match_bits, monosemanticity


def toned(n=600, *, shared, seed=0, classes=6):
    """Coins, and a bit of the tone: alike in all classes, or with the opposite sense in half of them."""
    rng = np.random.default_rng(seed)
    kind, tone = rng.integers(0, classes, n), rng.integers(0, 2, n)
    bits = rng.integers(0, 2, (n, 8))
    bits[:, 0] = tone if shared else tone ^ (kind & 1)
    bits[:, 1] = kind & 1
    return Codes.from_bits(bits, kind, items={"tone": np.array(["dark", "light"])[tone]})


def named(codes):
    return Codes.from_bits(codes.to_bits(), codes.labels, items={"name": [f"image {i}" for i in range(len(codes))]})


class TestCcgp:
    def test_a_shared_sense_holds_in_unseen_classes_and_one_of_each_class_does_not(self):
        shared, own = (ccgp(toned(shared=s), "tone", permutations=19) for s in (True, False))
        assert shared.value == shared.within == 1
        assert shared.p_value <= 0.05
        assert own.value < 0.6
        assert (shared.null, shared.chance) == (pytest.approx(0.5, abs=0.05), 0.5)

    def test_by_scikit_learn_class_by_class(self):
        rng = np.random.default_rng(1)
        codes = toned(900, shared=True, seed=1, classes=3)
        y = rng.choice(["a", "b", "c"], len(codes), p=[0.6, 0.3, 0.1])
        features = rng.normal(size=(len(codes), 5)) + np.stack([y == "b", 2.0 * (y == "c"), *3 * [y == "a"]], axis=1)
        codes = Codes.from_bits(
            codes.to_bits(), codes.labels, items={"kind": y}, features=(30 * features).astype(np.float32)
        )
        x = codes.features.astype(np.float64)  # of lengths beside which the added 1 is nothing
        wanted = []
        for c in range(3):
            out = codes.labels == c
            model = LinearDiscriminantAnalysis(solver="svd", priors=np.full(3, 1 / 3)).fit(x[~out], y[~out])
            wanted.append(balanced_accuracy_score(y[out], model.predict(x[out])))
        assert ccgp(codes, "kind", permutations=2).features == pytest.approx(np.mean(wanted))
        assert 0.6 < np.mean(wanted) < 0.95

    def test_a_value_that_no_other_class_has_is_never_answered(self):
        codes = toned(300, shared=True, classes=3)
        tone = np.where(codes.labels == 2, "grey", np.array(codes.items["tone"].to_pylist()))
        tone[codes.labels == 2] = np.resize(["grey", "dark", "light"], (codes.labels == 2).sum())
        found = ccgp(Codes.from_bits(codes.to_bits(), codes.labels, items={"tone": tone}), "tone", permutations=2)
        assert found.value < 1
        assert found.chance == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)

    def test_fifty_permutations_take_less_than_four_seconds(self):
        """The factor of the scatter is shared, so that a permutation is cheap."""
        codes = toned(1700, shared=True, classes=20)
        features = np.random.default_rng(0).normal(size=(1700, 256)).astype(np.float32)
        codes = Codes.from_bits(codes.to_bits(), codes.labels, items=codes.items, features=features)
        start = process_time()
        ccgp(codes, "tone", permutations=50)
        assert process_time() - start < 4

    def test_without_effect_five_in_a_hundred(self):
        p_values = []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            things = np.repeat(np.arange(40), 4)
            codes = Codes.from_bits(
                (rng.random((40, 6)) < 0.5)[things],
                (np.arange(40) % 4)[things],
                items={"tone": rng.integers(0, 2, 40)[things].astype(str)},
            )
            p_values.append(ccgp(codes, "tone", groups=things, permutations=39, seed=seed).p_value)
        assert (np.array(p_values) < 0.05).mean() < 0.15

    @pytest.mark.parametrize("unit", [1e-6, 1e-2, 1e2, 1e7])
    def test_the_unit_of_the_features_does_not_matter(self, unit):
        """Copied dimensions: without a ridge of their own size they have no inverse."""
        codes = toned(300, shared=True)
        narrow = np.random.default_rng(0).normal(size=(300, 5)) + codes.to_bits()[:, :1]
        features = np.repeat(narrow, 3, axis=1).astype(np.float32)
        found = [
            ccgp(Codes.from_bits(codes.to_bits(), codes.labels, items=codes.items, features=f), "tone", permutations=5)
            for f in (features, features * np.float32(unit))
        ]
        assert found[0].features == pytest.approx(found[1].features, abs=1e-9)
        assert found[0].features > 0.6

    def test_features_stand_beside(self):
        codes = toned(200, shared=True)
        features = codes.to_bits().astype(np.float32) + 0.1
        found = ccgp(Codes.from_bits(codes.to_bits(), codes.labels, items=codes.items, features=features), "tone")
        assert found.features == found.value == 1
        assert np.isnan(ccgp(codes, "tone", permutations=2).features)

    def test_what_cannot_be_is_one_line(self):
        codes = toned(100, shared=True)
        with pytest.raises(UsageError, match="expected an item column other than the class"):
            ccgp(codes, "class")
        with pytest.raises(DataError, match="ccgp: 1 classes have two values of tone"):
            ccgp(codes[codes.labels == 2], "tone")
        constant = Codes.from_bits(codes.to_bits(), codes.labels, items={"tone": ["dark"] * 100})
        with pytest.raises(DataError, match=r"^ccgp: tone has 1 value, expected two or more$"):
            ccgp(constant, "tone")
        with pytest.raises(DataError, match=r"^ccgp: these codes have no labels, expected classes to train on and to"):
            ccgp(Codes.from_bits(codes.to_bits(), items=codes.items), "tone")
        numbered = Codes.from_bits(codes.to_bits(), codes.labels, items={"number": np.arange(100), "x": np.ones(100)})
        with pytest.raises(DataError, match=r"^ccgp: number has 100 values in 100 images, expected values that two"):
            ccgp(numbered, "number")
        with pytest.raises(DataError, match=r"^ccgp: name has 100 values in 100 images, expected values that two"):
            ccgp(named(codes), "name")


class TestMonosemanticity:
    def test_the_cosines_are_those_of_all_pairs(self):
        rng = np.random.default_rng(0)
        bits, features = rng.integers(0, 2, (60, 3)), rng.normal(size=(60, 5))
        found = monosemanticity(Codes.from_bits(bits), features, permutations=400)
        every = 1 - pdist(features, "cosine").mean()
        for b, (side, values) in itertools.product(range(3), ((1, found.one), (0, found.zero))):
            mean = 1 - pdist(features[bits[:, b] == side], "cosine").mean()
            assert values[b] == pytest.approx(mean - every, abs=0.02)

    def test_a_bit_of_one_kind_of_image_is_found_and_coins_are_not(self):
        p_values = []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            things = np.repeat(np.arange(50), 3)
            kind = rng.integers(0, 2, 50)
            features = rng.normal(size=(50, 6))
            features[:, 0] += 3 * kind
            bits = np.column_stack([kind, rng.integers(0, 2, (50, 9))])[things]
            codes = Codes.from_bits(bits)
            near = features[things] + 0.1 * rng.normal(size=(150, 6))
            p_values.append(monosemanticity(codes, near, groups=things, permutations=39, seed=seed).p_value)
        assert (np.stack(p_values)[:, 0] < 0.05).mean() > 0.9
        assert 0.01 < (np.stack(p_values)[:, 1:] < 0.05).mean() < 0.11

    def test_what_cannot_be_is_one_line(self):
        codes = Codes.from_bits(np.eye(6))
        with pytest.raises(DataError, match="no features; give those of another backbone"):
            monosemanticity(codes)
        with pytest.raises(DataError, match=r"expected features \[6, d\], found float64 \[5, 2\]"):
            monosemanticity(codes, np.ones((5, 2)))
        with pytest.raises(DataError, match="row 2, column 1 is nan"):
            monosemanticity(codes, np.where(np.arange(12).reshape(6, 2) == 5, np.nan, 1.0))
        with pytest.raises(DataError, match="a finite length above 0"):
            monosemanticity(codes, np.zeros((6, 2)))


class TestMatching:
    def test_a_turned_and_negated_code_is_matched_bit_for_bit(self):
        rng = np.random.default_rng(0)
        bits, order = rng.integers(0, 2, (300, 12)).astype(bool), rng.permutation(12)
        signs = rng.random(12) < 0.5
        found = match_bits(Codes.from_bits(bits), Codes.from_bits(bits[:, order] ^ signs))
        assert found.matched.all()
        assert found.value == pytest.approx(1)
        for a, b, phi in zip(found.a, found.b, found.phi, strict=True):
            assert (order[b], phi < 0) == (a, signs[b])

    def test_it_is_the_best_of_all_matchings(self):
        rng = np.random.default_rng(1)
        a, b = rng.integers(0, 2, (2, 80, 5))
        phi = np.abs(np.corrcoef(a.T, b.T)[:5, 5:])
        best = max(sum(phi[i, p] for i, p in enumerate(order)) for order in itertools.permutations(range(5)))
        assert match_bits(Codes.from_bits(a), Codes.from_bits(b)).value == pytest.approx(best / 5)

    def test_lost_and_new_bits(self):
        rng = np.random.default_rng(2)
        bits = rng.integers(0, 2, (400, 8))
        other = np.column_stack([bits[:, 2:6], rng.integers(0, 2, (400, 2))])
        found = match_bits(Codes.from_bits(bits), Codes.from_bits(other))
        assert found.lost.tolist() == [0, 1, 6, 7]
        assert found.new.tolist() == [4, 5]
        assert "4 of 6 bits matched" in repr(found)

    def test_unrelated_codes_are_not_matched(self):
        some = []
        for seed in range(30):
            rng = np.random.default_rng(seed)
            things = np.repeat(np.arange(40), 4)
            a, b = rng.integers(0, 2, (2, 40, 10))
            codes = Codes.from_bits(a[things]), Codes.from_bits(b[things])
            some.append(match_bits(*codes, groups=things, permutations=30, seed=seed).matched.any())
        assert np.mean(some) < 0.2

    def test_two_heads_on_one_backbone(self):
        rng = np.random.default_rng(0)
        codes = Codes.from_bits(rng.integers(0, 2, (200, 6)), features=rng.normal(size=(200, 3)).astype(np.float32))
        assert match_bits(codes, codes).random > match_bits(codes, codes).null

    def test_another_seed_stands_beside(self):
        rng = np.random.default_rng(0)
        bits = rng.integers(0, 2, (400, 4))
        a, b = Codes.from_bits(bits), Codes.from_bits(rng.integers(0, 2, (400, 4)))
        found = match_bits(a, b, reseeded=Codes.from_bits(1 - bits[:, ::-1]))
        assert found.reseeded == 1 > found.value
        assert "another seed 1.000" in repr(found)
        assert np.isnan(match_bits(a, b).reseeded)
        with pytest.raises(DataError, match="match_bits: reseeded has the same images in another order"):
            match_bits(a, b, reseeded=b[::-1])

    def test_other_images_are_one_line(self):
        codes = Codes.from_bits(np.eye(4), items={"id": list("abcd")})
        with pytest.raises(DataError, match="a has 4 images and b has 3"):
            match_bits(codes, codes[:3])
        with pytest.raises(DataError, match="the same images in another order: row 0 is 'a' in a and 'd' in b"):
            match_bits(codes, codes[::-1])
