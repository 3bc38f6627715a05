"""Sparse probing: planted bits are chosen, the read-out is scikit-learn's, controls are at chance."""

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from codelab import Codes, DataError, UsageError, probe_curve
from codelab.semantics.probing import Answers
from codelab.statistics.splits import held_out_part


def planted(n=600, *, bits=12, seed=0, classes=4):
    """Two bits that number the class, one that repeats half of it, and coins."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    code = rng.integers(0, 2, (n, bits))
    code[:, 5], code[:, 8] = labels & 1, labels >> 1
    items = {"tone": np.array(["dark", "light"])[labels & 1], "thing": [f"t{i // 3}" for i in range(n)]}
    return Codes.from_bits(code, labels=labels, items=items)


def test_planted_bits_are_chosen_and_enough():
    found = probe_curve(planted(), k=(1, 2, 12))
    assert set(found.chosen[:2].tolist()) == {5, 8}
    assert found.accuracy["bits"].tolist()[1:] == [1, 1]
    assert found.accuracy["bits"][0] == pytest.approx(0.5, abs=0.08)
    assert found.auprc["bits"][1] == 1
    assert (found.selectivity[1:] > 0.5).all()
    assert found.accuracy["random_bits"][0] < 0.5


def test_the_read_out_is_that_of_scikit_learn():
    codes = planted(seed=2)
    found = probe_curve(codes, k=(3,), seed=4)
    train, test = held_out_part(codes.labels, share=0.5, seed=4)
    x = 2.0 * codes.to_bits()[:, found.chosen[:3]] - 1
    model = LogisticRegression(max_iter=5000).fit(x[train], codes.labels[train])
    assert found.accuracy["bits"][0] == model.score(x[test], codes.labels[test])
    given = model.predict_proba(x[test])
    areas = [average_precision_score(codes.labels[test] == c, given[:, c]) for c in range(4)]
    assert found.auprc["bits"][0] == pytest.approx(np.mean(areas))
    assert (found.n_train, found.n_test) == (len(train), len(test))


def test_codes_without_meaning_are_chance():
    rng = np.random.default_rng(0)
    codes = Codes.from_bits(rng.integers(0, 2, (800, 16)), labels=rng.integers(0, 2, 800))
    found = probe_curve(codes, k=(1, 16))
    low, high = binom.interval(0.999, found.n_test, 0.5)
    assert (low <= found.accuracy["bits"] * found.n_test).all()
    assert (found.accuracy["bits"] * found.n_test <= high).all()
    assert np.abs(found.selectivity).max() < 0.1


def test_near_copies_do_not_help():
    """Random labels of 60 things, ten copies each: by images the bits know each thing, by groups nothing."""
    rng = np.random.default_rng(0)
    things = np.repeat(np.arange(60), 10)
    codes = Codes.from_bits(
        rng.integers(0, 2, (60, 64))[things],
        labels=rng.integers(0, 2, 60)[things],
        items={"thing": things.astype(str)},
    )
    assert probe_curve(codes, k=(64,)).accuracy["bits"][0] == 1
    fair = probe_curve(codes, k=(64,), groups="thing")
    assert fair.accuracy["bits"][0] < 0.75
    assert fair.groups == 60


def test_one_value_against_the_rest():
    found = probe_curve(planted(), "tone = dark", k=(1,))
    assert (found.accuracy["bits"][0], found.values, found.target) == (1, 2, "tone = dark")
    assert found.prevalence == pytest.approx(0.5)


def test_random_directions_and_the_table():
    codes = planted(300)
    features = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    found = probe_curve(Codes.from_bits(codes.to_bits(), codes.labels, features=features), k=(1, 12), draws=2)
    assert set(found.to_frame()["row"]) == {"bits", "shuffled", "random_bits", "random_directions"}
    assert found.accuracy["random_directions"][1] < 0.5
    assert len(found.plot().data) == 4
    assert "selectivity" in repr(found)


def test_random_labels_have_the_shares_of_each_half_so_that_coins_have_no_selectivity():
    selectivity = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        codes = Codes.from_bits(rng.random((160, 12)) < 0.5, np.arange(160) % 8)
        answers = Answers.of(codes, "class", groups=None, draws=3, seed=seed)
        for labels in answers.random:
            for half in (answers.train, answers.test):
                assert np.bincount(labels[half]).tolist() == np.bincount(answers.y[half]).tolist()
        right, chance = answers([1]).mean(axis=2)[:, 0]
        selectivity.append(right - chance)
    assert abs(np.mean(selectivity)) < 3 * np.std(selectivity) / 60**0.5  # .020 where the shares differ


def test_random_labels_are_one_a_group():
    answers = Answers.of(planted(), "class", groups="thing", draws=2, seed=0)
    for labels in answers.random:
        for half in (answers.train, answers.test):
            pairs = np.unique(np.stack([answers.unit[half], labels[half]]), axis=1)
            assert pairs.shape[1] == len(np.unique(answers.unit[half]))


def test_what_cannot_be_is_one_line():
    codes = planted(80)
    with pytest.raises(UsageError, match="k=13: the code has 12 bits"):
        probe_curve(codes, k=(13,))
    with pytest.raises(UsageError, match="tone has no value 'blue'"):
        probe_curve(codes, "tone = blue")
    with pytest.raises(DataError, match="class has 1 value, expected two or more"):
        probe_curve(codes[codes.labels == 1])
    with pytest.raises(DataError, match="class has 0 value"):
        probe_curve(Codes.from_bits(np.eye(8)))
