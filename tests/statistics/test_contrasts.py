"""Contrasts and their sampling variance, against the same by loops and over repeated samples."""

import numpy as np
import pytest

from codelab.statistics.contrasts import Classes, class_intervals, class_weights, one_class_each


def sample(seed=0, classes=3, n=40, bits=5, d=4):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(classes * n, d)) * [1, 2, 3, 4]
    return x, (generator.random((classes * n, bits)) < 0.4).astype(np.float32), np.arange(classes + 1) * n


def found(x, bits, edges, starts=None):
    return next(Classes.of(x, edges, starts).contrasts(bits))


def test_contrast_and_variance_are_welchs():
    x, bits, edges = sample()
    contrasts = found(x, bits, edges)
    for c in range(3):
        part = slice(edges[c], edges[c + 1])
        one, zero = x[part][bits[part, 2] == 1], x[part][bits[part, 2] == 0]
        assert contrasts.delta[c, 2] == pytest.approx(one.mean(axis=0) - zero.mean(axis=0), abs=1e-5)
        welch = (one.var(axis=0, ddof=1) / len(one) + zero.var(axis=0, ddof=1) / len(zero)).sum()
        assert contrasts.variance[c, 2] == pytest.approx(welch, rel=1e-5)
    alone = found(x, bits, edges, np.arange(len(x) + 1))
    assert alone.variance == pytest.approx(contrasts.variance, rel=1e-4)


def test_sums_over_pairs_are_those_of_loops():
    x, bits, edges = sample(classes=4)
    contrasts = found(x, bits, edges)
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    products = sum((contrasts.delta[a] * contrasts.delta[b]).sum(axis=1) for a, b in pairs)
    assert contrasts.shared() == pytest.approx(products / 12, rel=1e-6)
    length = np.sqrt(np.maximum(contrasts.squares - contrasts.variance, 0))
    lengths = sum(length[a] * length[b] for a, b in pairs)
    assert (lengths > 0).any()
    w = contrasts.consistency(np.ones((1, 4)))[0]
    assert w[lengths > 0] == pytest.approx((products / np.where(lengths > 0, lengths, 1))[lengths > 0], rel=1e-6)
    _, squares, shared = Classes.of(x, edges).totals(bits, contrasts.used)
    assert squares == pytest.approx(contrasts.squares.sum(axis=0), rel=1e-5)
    assert shared == pytest.approx(contrasts.shared(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("same_bits", [True, False])
def test_variance_by_groups_is_that_over_samples(same_bits):
    """Groups of 1 to 6 near copies: the mean estimate is the variance of the contrast over samples."""
    generator = np.random.default_rng(3)
    sizes = generator.integers(1, 7, 30)
    starts = np.append(0, np.cumsum(sizes))
    unit = np.repeat(np.arange(30), sizes)
    bit = (unit % 3 == 0) if same_bits else generator.random(len(unit)) < 0.4
    bits, edges = bit.astype(np.float32)[:, None], np.array([0, len(unit)])
    squares, estimates = [], []
    for _ in range(1500):
        x = generator.normal(size=(30, 3))[unit] + 0.3 * generator.normal(size=(len(unit), 3))
        one = found(x, bits, edges, starts)
        squares.append(one.squares[0, 0])
        estimates.append(one.variance[0, 0])
    assert np.mean(estimates) == pytest.approx(np.mean(squares), rel=0.12)


def test_whole_groups_change_places():
    x, bits, edges = sample(classes=2, n=12)
    starts = np.arange(0, 25, 3)
    whole = np.repeat(bits[::3], 3, axis=0)
    classes = Classes.of(x, edges, starts)
    drawn = next(classes.shuffled(whole, 1, np.random.default_rng(1)))
    assert (drawn.reshape(8, 3, -1) == drawn[::3, None]).all()
    assert (np.sort(drawn[:12], axis=0) == np.sort(whole[:12], axis=0)).all()
    assert not (drawn == whole).all()
    mixed = next(classes.shuffled(bits, 1, np.random.default_rng(1)))
    assert mixed[:12].sum(axis=0) == pytest.approx(bits[:12].sum(axis=0), rel=1e-5)


def test_each_group_is_kept_in_one_class():
    generator = np.random.default_rng(0)
    groups, labels = generator.integers(0, 300, 2000), generator.integers(0, 4, 2000)
    kept = one_class_each(groups, labels, generator)
    assert set(groups[kept]) == set(groups)
    assert all(len(set(labels[kept & (groups == g)])) == 1 for g in set(groups))
    assert np.bincount(labels[kept]) == pytest.approx(np.full(4, kept.sum() / 4), rel=0.25)  # no class is favoured


def test_intervals_need_six_classes():
    generator = np.random.default_rng(0)
    weights = class_weights(6, generator)
    values = weights @ np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) / weights.sum(axis=1)
    used = np.array([[True, True]] * 5 + [[True, False]])
    low, high = class_intervals(np.stack([values, values], axis=1), used, np.array([True, True]))
    assert (0.05 < low[0] < 0.25, 0.45 < high[0] < 0.65) == (True, True)
    assert np.isnan([low[1], high[1]]).all()
    assert np.isnan(class_intervals(values[:, None], used[:, :1], np.array([False]))).all()
