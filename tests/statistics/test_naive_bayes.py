"""Naive Bayes judged by log-loss on held-out images, against what is known of them."""

import numpy as np
import pytest

from codelab.statistics.naive_bayes import loss_saved


def saved(bits, labels):
    """Fitted on the first half, judged on the second."""
    n, classes = len(labels) // 2, int(labels.max()) + 1
    ones = np.stack([bits[:n][labels[:n] == c].sum(axis=0) for c in range(classes)])
    class_n = np.bincount(labels[:n][labels[:n] >= 0], minlength=classes)
    part = np.arange(len(labels) - n) % 2 == 0
    return loss_saved(bits[n:].astype(np.float32), labels[n:], part, ones, class_n)


@pytest.mark.parametrize("copies", [1, 30])
@pytest.mark.parametrize("flip", [0.1, 0.3])
def test_the_share_saved_is_the_information_however_often_the_bit_is_there(flip, copies):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 20_000)
    bits = np.repeat((labels ^ (generator.random(20_000) < flip))[:, None], copies, axis=1)
    information = 1 + flip * np.log2(flip) + (1 - flip) * np.log2(1 - flip)
    assert saved(bits, labels) == pytest.approx(information, abs=0.02)


@pytest.mark.parametrize("classes", [2, 5, 200])
def test_noise_saves_nothing(classes):
    generator = np.random.default_rng(0)
    assert abs(saved(generator.integers(0, 2, (2000, 64)), generator.integers(0, classes, 2000))) < 0.02


def test_images_without_a_value_do_not_count():
    generator = np.random.default_rng(0)
    bits, labels = generator.integers(0, 2, (400, 5)), generator.integers(0, 2, 400)
    bits[:, 0] ^= labels ^ (generator.random(400) < 0.2)
    some = labels.copy()
    some[300:] = -1
    assert saved(bits, some) == pytest.approx(saved(bits[np.r_[:300]], labels[:300]), abs=0.3)
    assert saved(bits, np.where(np.arange(400) < 200, labels, -1)) == 0.0


def test_the_weight_has_the_least_loss():
    from codelab.statistics import naive_bayes

    generator = np.random.default_rng(1)
    evidence = (3 * generator.normal(size=(500, 4))).astype(np.float32)
    labels = (evidence * 0.4 + generator.gumbel(size=(500, 4))).argmax(axis=1)
    prior = np.log(np.full(4, 0.25)).astype(np.float32)
    best = naive_bayes._weight(evidence, labels, prior)
    losses = [naive_bayes._loss(evidence, labels, prior, weight) for weight in (best - 0.05, best, best + 0.05)]
    assert best == pytest.approx(0.4, abs=0.06)
    assert losses[1] < min(losses[0], losses[2])


@pytest.mark.parametrize("size", [12, 3000])
def test_the_log_odds_of_small_classes_are_those_of_the_formula(size):
    from codelab.statistics import naive_bayes

    generator = np.random.default_rng(0)
    class_n = generator.integers(0, size, 40)
    ones = generator.integers(0, class_n[:, None] + 1, (40, 50))
    p = (ones + 0.5) / (class_n[:, None] + 1)
    odds, off = naive_bayes._log_odds(ones.astype(np.float64), class_n)
    assert np.array_equal(odds, np.log(p / (1 - p)))
    assert np.array_equal(off, np.log(1 - p))
